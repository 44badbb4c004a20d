//! One line for each request, through bounded buffers to one thread that writes. A request never waits for a disk, a pipe or
//! another request: what does not fit is dropped and counted.

mod clock;
mod escape;
mod line;
mod queue;
mod sink;
mod writer;

#[cfg(test)]
mod tests;

pub use line::Line;

use crate::settings::{self, LogTarget};
use crossway_sdk::expr::{Lookup, TemplateError};
use prometheus::IntCounter;
use queue::Queue;
use sink::Sink;
use std::{
    cell::RefCell,
    io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};
use writer::Writer;

/// The access log. Ask each of its methods from any thread.
pub struct AccessLog {
    line: Line,
    queue: Arc<Queue>,
    writer: Writer,
}

/// Why there is no access log.
#[derive(Debug, thiserror::Error)]
pub enum AccessLogError {
    /// A template names something that is no variable.
    #[error("access_log: {0}")]
    Template(#[from] TemplateError),
    /// The file cannot be written.
    #[error("access_log.path: cannot write {}: {source}", path.display())]
    Open {
        /// The file, or `stdout`.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The operating system gives no thread.
    #[error("access_log: cannot start the writing thread: {0}")]
    Thread(io::Error),
}

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What a thread's scratch buffer may keep, in bytes.
const KEEP: usize = 64 * 1024;

impl AccessLog {
    /// Opens the log and starts its writer; `None` when the settings want none. Dropped lines are counted in `dropped`.
    ///
    /// # Errors
    /// A template is not valid, or the file cannot be opened.
    pub fn open(
        settings: &settings::AccessLog,
        dropped: IntCounter,
    ) -> Result<Option<Self>, AccessLogError> {
        if !settings.enabled || settings.path == LogTarget::Off {
            return Ok(None);
        }
        let line = Line::compile(settings)?;
        let sink = Sink::open(&settings.path).map_err(|source| AccessLogError::Open {
            path: match &settings.path {
                LogTarget::File(path) => path.clone(),
                _ => "standard output".into(),
            },
            source,
        })?;
        let queue = Arc::new(Queue::new(settings.queue, dropped));
        let writer = Writer::start(queue.clone(), sink).map_err(AccessLogError::Thread)?;
        Ok(Some(Self {
            line,
            queue,
            writer,
        }))
    }

    /// Logs a request that is over. Never waits.
    pub fn write(&self, request: &dyn Lookup) {
        self.write_at(request, SystemTime::now());
    }

    fn write_at(&self, request: &dyn Lookup, at: SystemTime) {
        let pushed = SCRATCH.try_with(|scratch| {
            let mut text = scratch.try_borrow_mut().ok()?;
            text.clear();
            self.line.write(request, at, &mut text);
            let pushed = self.queue.push(&text);
            if text.capacity() > KEEP {
                text.shrink_to(KEEP);
            }
            Some(pushed)
        });
        match pushed {
            Ok(Some(queue::Pushed::Quietly)) => {}
            Ok(Some(queue::Pushed::WorthWriting)) => self.writer.wake(),
            // The thread is ending, or a variable's lookup logs a request itself.
            Ok(None) | Err(_) => self.queue.drop_line(),
        }
    }

    /// Opens the file anew: it was moved away.
    pub fn reopen(&self) {
        self.writer.reopen();
    }

    /// Writes what is waiting and ends the writer; `false` when it takes longer than `patience`, because nobody reads the pipe
    /// or the disk hangs. Lines of later requests are dropped.
    pub fn close(&self, patience: Duration) -> bool {
        self.queue.close();
        self.writer.wake();
        self.writer.ended(patience)
    }
}

/// Tells the writer to end, without waiting for it: [`AccessLog::close`] does.
impl Drop for AccessLog {
    fn drop(&mut self) {
        self.queue.close();
        self.writer.wake();
    }
}
