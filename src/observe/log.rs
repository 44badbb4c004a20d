//! The gateway's own log, on standard error: `tracing`, and through it whatever the libraries say with `log`.

use crate::settings::{Log, LogFormat};
use std::io::{self, IsTerminal};
use tracing_subscriber::{
    EnvFilter, Layer, Registry, filter::ParseError, fmt, layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// Libraries whose chatter is of no use below a warning, whatever level was asked for. Pingora logs an error for each failed
/// request: the proxy suppresses those and writes its own.
const QUIET: [&str; 8] = [
    "pingora", "h2", "hyper", "rustls", "tokio", "hickory", "reqwest", "mio",
];

/// The variable that takes precedence over the settings.
const VARIABLE: &str = "RUST_LOG";

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The variable is no filter.
    #[error(
        "RUST_LOG: {0} (expected a level such as debug, or modules such as crossway::store=debug,info)"
    )]
    Filter(#[from] ParseError),
}

/// What came of installing the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Installed {
    /// It is this one from now on.
    Now,
    /// The process had one, which stays: another gateway in this process, or a program that embeds us.
    Already,
}

/// Installs the log for the whole process. May be called again, without effect.
///
/// # Errors
/// `RUST_LOG` is set and is not a filter.
pub fn install(settings: &Log) -> Result<Installed, LogError> {
    let filter = match std::env::var(VARIABLE) {
        Ok(directives) if !directives.is_empty() => EnvFilter::try_new(directives)?,
        _ => EnvFilter::try_new(directives(settings))?,
    };
    let lines = fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    let lines: Box<dyn Layer<_> + Send + Sync> = match settings.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.with_ansi(false).json().flatten_event(true).boxed(),
    };
    let done = Registry::default()
        .with(lines.with_filter(filter))
        .try_init();
    Ok(if done.is_ok() {
        Installed::Now
    } else {
        Installed::Already
    })
}

fn directives(settings: &Log) -> String {
    let level = settings.level.name();
    let quiet = if matches!(level, "off" | "error") {
        level
    } else {
        "warn"
    };
    QUIET.iter().fold(level.to_owned(), |all, library| {
        format!("{all},{library}={quiet}")
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::settings::LogLevel;

    #[test]
    fn libraries_never_say_more_than_they_may() {
        let of = |level| {
            directives(&Log {
                level,
                format: LogFormat::Text,
            })
        };
        assert!(of(LogLevel::Debug).starts_with("debug,pingora=warn,"));
        assert!(of(LogLevel::Error).starts_with("error,pingora=error,"));
        assert!(of(LogLevel::Off).ends_with("mio=off"));
        for level in [LogLevel::Off, LogLevel::Info, LogLevel::Trace] {
            EnvFilter::try_new(of(level)).unwrap();
        }
    }

    #[test]
    fn installing_twice_does_no_harm() {
        install(&Log::default()).unwrap();
        assert_eq!(install(&Log::default()).unwrap(), Installed::Already);
        ::log::warn!("reaches whoever was first");
    }
}
