//! Why settings were refused.

use std::{io, path::PathBuf};

/// Why settings were refused, with all that is needed to mend them.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("settings: cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file or the value of a variable is no YAML.
    #[error("settings: {origin} is not valid YAML: {message}")]
    Syntax {
        /// The file or the variable.
        origin: String,
        /// What the parser says.
        message: String,
    },
    /// There is no such key.
    #[error("settings: unknown key \"{key}\" in {origin} (expected one of {})", expected.join(", "))]
    UnknownKey {
        /// Its path, e.g. `listen.htpp`.
        key: String,
        /// The file or the variable.
        origin: String,
        /// The keys at this place.
        expected: Vec<String>,
    },
    /// There is no such variable.
    #[error("settings: unknown environment variable {name} (did you mean {nearest}?)")]
    UnknownVariable {
        /// Its name.
        name: String,
        /// The name of a variable that exists.
        nearest: String,
    },
    /// The value of a key cannot be used.
    #[error("settings: {key} in {origin}: {message}")]
    Value {
        /// Its path, e.g. `admin.allow[0]`.
        key: String,
        /// The file or the variable.
        origin: String,
        /// What is wrong and what was expected.
        message: String,
    },
    /// What can change while the gateway runs does not go with what cannot.
    #[error(
        "settings: {key}: {message}, as long as what needs a restart is as it was ({}): nothing is changed before a restart",
        awaiting.join(", ")
    )]
    NeedsRestart {
        /// The path of the key that does not fit.
        key: String,
        /// What is wrong.
        message: String,
        /// The keys that await a restart.
        awaiting: Vec<String>,
    },
}
