//! Settings of encryption at rest.

use super::value::Secret;
use schemars::JsonSchema;
use serde::Deserialize;

/// Encryption of secret fields where documents are stored: private keys, keys and passwords of consumers, passwords and tokens in
/// plugins, tokens of secret managers.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DataEncryption {
    /// Whether secret fields are encrypted. Documents that were stored before stay as they are until they are written again.
    #[schemars(extend("x-applies" = "restart"))]
    pub enabled: bool,
    /// Keys of 16 or 32 bytes. The first one encrypts, all of them decrypt: a new key is put in front, and the old one stays until
    /// every document was written again. Who loses the keys loses the secrets.
    #[schemars(extend("x-applies" = "restart"))]
    pub keyring: Vec<Secret>,
}
