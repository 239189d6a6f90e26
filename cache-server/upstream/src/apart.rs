//! Work on documents that would hold up everyone else: done on a thread of its own.

/// Documents of at most so many bytes are worked on where they are asked for: parsing
/// takes about a millisecond, and changing threads costs a tenth of that.
const SHORT: usize = 256 << 10;

/// Does work on a document of `length` bytes, apart from the reactor if it is long.
///
/// # Panics
/// If the work does.
pub async fn apart<T: Send + 'static>(
    length: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    if length <= SHORT {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends, and this request with it.
            Err(_) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::thread::current;

    use super::*;

    #[tokio::test]
    async fn only_what_is_long_is_done_on_another_thread() {
        let here = current().id();
        assert_eq!(apart(SHORT, || current().id()).await, here);
        assert_ne!(apart(SHORT + 1, || current().id()).await, here);
    }

    #[tokio::test]
    #[should_panic(expected = "on the other thread")]
    async fn a_panic_is_passed_on() {
        apart(SHORT + 1, || panic!("on the other thread")).await
    }
}
