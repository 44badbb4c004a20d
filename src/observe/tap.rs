//! Lines of the gateway's own log for one who reads along, beside standard error. While nobody does, a line costs one look at
//! a number. Writing the log never waits for the reader: what it does not take is dropped and counted.

use jiff::Timestamp;
use parking_lot::Mutex;
use std::{
    fmt::{self, Write as _},
    sync::atomic::{AtomicU8, AtomicU64, Ordering},
};
use tokio::sync::mpsc;
use tracing::{Event, Level, Subscriber, field};
use tracing_subscriber::{Layer, layer::Context};

/// Lines that may wait for the reader.
const WAITING: usize = 1024;

/// Lines about lines that could not be sent would make more of themselves.
const OWN: &str = "crossway_sdk::batch";

/// The most verbose level that is wanted, as a number; 0 while nobody reads.
static WANTED: AtomicU8 = AtomicU8::new(0);
static DROPPED: AtomicU64 = AtomicU64::new(0);
static READER: Mutex<Option<mpsc::Sender<String>>> = Mutex::new(None);

/// The layer of the log that hands lines over.
pub(super) struct Tap;

/// One who reads along, until it is dropped.
pub struct Reader(mpsc::Receiver<String>);

/// Reads along from now on, in place of whoever did before.
pub fn read(level: Level) -> Reader {
    let (to, from) = mpsc::channel(WAITING);
    *READER.lock() = Some(to);
    WANTED.store(number(level), Ordering::Relaxed);
    Reader(from)
}

impl Reader {
    /// The next line, without a line feed; `None` once another reader took over.
    pub async fn next(&mut self) -> Option<String> {
        let line = self.0.recv().await?;
        match DROPPED.swap(0, Ordering::Relaxed) {
            0 => Some(line),
            dropped => Some(format!(
                "{line} ({dropped} lines after this one were dropped)"
            )),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.close();
        let mut reader = READER.lock();
        // Another one may have taken over.
        if reader.as_ref().is_some_and(mpsc::Sender::is_closed) {
            *reader = None;
            WANTED.store(0, Ordering::Relaxed);
        }
    }
}

impl<S: Subscriber> Layer<S> for Tap {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let level = number(*metadata.level());
        if level > WANTED.load(Ordering::Relaxed) || metadata.target().starts_with(OWN) {
            return;
        }
        let line = line(event);
        let reader = READER.lock().clone();
        if reader.is_some_and(|reader| reader.try_send(line).is_err()) {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn number(level: Level) -> u8 {
    match level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

/// A line as nginx begins it: `2026/11/21 10:15:00 [warn] 1234#0: module: text field=value`, in UTC.
fn line(event: &Event<'_>) -> String {
    let metadata = event.metadata();
    let at = Timestamp::now().strftime("%Y/%m/%d %H:%M:%S");
    let level = match *metadata.level() {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG | Level::TRACE => "debug",
    };
    let (pid, target) = (std::process::id(), metadata.target());
    let mut text = Text::default();
    event.record(&mut text);
    let line = format!(
        "{at} [{level}] {pid}#0: {target}: {}{}",
        text.message, text.fields
    );
    // A value may hold anything.
    line.replace(|c: char| c.is_control(), " ")
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl field::Visit for Text {
    fn record_debug(&mut self, field: &field::Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        match field.name() {
            "message" => write!(self.message, "{value:?}").ok(),
            name => write!(self.fields, " {name}={value:?}").ok(),
        };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tracing_subscriber::layer::SubscriberExt as _;

    /// One test, because there is one log in a process.
    #[tokio::test]
    async fn who_reads_along_gets_what_is_severe_enough_and_never_holds_up_the_log() {
        let log = tracing_subscriber::registry().with(Tap);
        let _log = tracing::subscriber::set_default(log);
        tracing::error!("before anybody reads");
        let mut reader = read(Level::WARN);
        tracing::warn!(target: "a", revision = 7, text = "x\ny", "trouble");
        tracing::info!(target: "a", "not severe");
        tracing::error!(target: "crossway_sdk::batch::worker", "about a line");
        tracing::error!(target: "a", "worse");
        let line = reader.next().await.unwrap();
        assert!(line.contains(" [warn] "), "{line}");
        assert!(
            line.ends_with("#0: a: trouble revision=7 text=\"x\\ny\""),
            "{line}"
        );
        assert!(reader.next().await.unwrap().ends_with("#0: a: worse"));
        for _ in 0..WAITING + 5 {
            tracing::warn!(target: "a", "many");
        }
        let line = reader.next().await.unwrap();
        assert!(
            line.ends_with("many (5 lines after this one were dropped)"),
            "{line}"
        );
        let mut other = read(Level::ERROR);
        drop(reader);
        tracing::error!(target: "a", "for the other");
        assert!(other.next().await.unwrap().ends_with("a: for the other"));
        drop(other);
        tracing::error!(target: "a", "for nobody");
        assert_eq!(WANTED.load(Ordering::Relaxed), 0);
    }
}
