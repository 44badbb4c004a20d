//! The gateway's own log, on standard error: `tracing`, and through it whatever the libraries say with `log`.

use super::tap::Tap;
use crate::settings::{Log, LogFormat};
use std::{
    io::{self, IsTerminal},
    sync::OnceLock,
};
use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::ParseError,
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
    reload,
    util::SubscriberInitExt,
};

/// Libraries whose chatter is of no use below a warning, whatever level was asked for. Pingora logs an error for each failed
/// request: the proxy suppresses those and writes its own.
const QUIET: [&str; 9] = [
    "pingora", "h2", "hyper", "rustls", "tokio", "hickory", "reqwest", "rskafka", "mio",
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

/// The filter of the log of this process, which can be exchanged.
static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

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
    let (filter, handle) = reload::Layer::new(filter(settings)?);
    let colours = io::stderr().is_terminal();
    let done = subscriber(settings.format, filter, colours, io::stderr).try_init();
    if done.is_err() {
        return Ok(Installed::Already);
    }
    FILTER.get_or_init(|| handle);
    Ok(Installed::Now)
}

/// Goes over to another level, unless `RUST_LOG` has the say. Without effect where the log is another one than ours.
///
/// # Errors
/// `RUST_LOG` is set and is not a filter.
pub fn set_level(settings: &Log) -> Result<(), LogError> {
    let filter = filter(settings)?;
    if let Some(handle) = FILTER.get()
        && let Err(error) = handle.reload(filter)
    {
        tracing::warn!(%error, "the level of the log could not be changed");
    }
    Ok(())
}

fn filter(settings: &Log) -> Result<EnvFilter, LogError> {
    let directives = match std::env::var(VARIABLE) {
        Ok(directives) if !directives.is_empty() => directives,
        _ => directives(settings),
    };
    Ok(EnvFilter::try_new(directives)?)
}

fn subscriber<F, W>(
    format: LogFormat,
    filter: F,
    colours: bool,
    to: W,
) -> impl Subscriber + Send + Sync + use<F, W>
where
    F: Layer<Registry> + Send + Sync + 'static,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = fmt::layer().with_writer(to);
    let lines: Box<dyn Layer<_> + Send + Sync> = match format {
        LogFormat::Text => lines.with_ansi(colours).boxed(),
        LogFormat::Json => lines.with_ansi(false).json().flatten_event(true).boxed(),
    };
    Registry::default().with(filter).with(lines).with(Tap)
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
    use std::sync::{Arc, Mutex};

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

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(text)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn said(settings: &Log) -> String {
        let lines = Lines::default();
        let to = lines.clone();
        let filter = EnvFilter::try_new(directives(settings)).unwrap();
        let log = subscriber(settings.format, filter, false, move || to.clone());
        tracing::subscriber::with_default(log, || {
            tracing::info!(target: "pingora_core::server", "chatter");
            tracing::warn!(target: "pingora_proxy", "trouble");
            tracing::info!(revision = 7, "applied");
            tracing::debug!("detail");
        });
        let text = lines.0.lock().unwrap().clone();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn lines_are_for_people_or_json() {
        let text = said(&Log::default());
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(
            text.contains("trouble") && text.contains("applied revision=7"),
            "{text}"
        );
        let json = said(&Log {
            level: LogLevel::Debug,
            format: LogFormat::Json,
        });
        let lines: Vec<serde_json::Value> = json
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let messages: Vec<_> = lines
            .iter()
            .map(|line| line["message"].as_str().unwrap())
            .collect();
        assert_eq!(messages, ["trouble", "applied", "detail"]);
        assert_eq!(
            (&lines[1]["revision"], &lines[1]["level"]),
            (&7.into(), &"INFO".into())
        );
    }

    #[test]
    fn installing_twice_does_no_harm() {
        install(&Log::default()).unwrap();
        assert_eq!(install(&Log::default()).unwrap(), Installed::Already);
        ::log::warn!("reaches whoever was first");
    }
}
