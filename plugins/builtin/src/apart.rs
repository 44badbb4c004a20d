//! Work whose length a client chooses, kept from the threads that serve requests.

use crossway_sdk::flow::Error;

/// Bytes up to which hashing or reading a body is done sooner than another thread is asked: well under a millisecond.
const SHORT: usize = 64 * 1024;

/// Does work over so many bytes, in a thread that serves no requests when they are many.
///
/// # Errors
/// The work panicked there, or the process is about to end.
pub(crate) async fn apart<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    if bytes <= SHORT {
        return Ok(work());
    }
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| Error::new(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[tokio::test]
    async fn long_work_is_done_by_another_thread_and_short_work_is_not() {
        let here = thread::current().id();
        let done_by = |bytes| apart(bytes, || thread::current().id());
        assert_eq!(done_by(SHORT).await.unwrap(), here);
        assert_ne!(done_by(SHORT + 1).await.unwrap(), here);
    }

    #[tokio::test]
    async fn a_panic_there_is_an_error_here() {
        let failed = apart(SHORT + 1, || assert_ne!(1, 1)).await;
        assert!(failed.is_err());
    }
}
