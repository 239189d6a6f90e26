//! Where a thread may wait: for files, and for databases.

use cache_core::{Error, Result};

/// Runs file and index calls where they may block.
pub(crate) async fn blocking<T: Send + 'static>(
    run: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(run).await {
        Ok(result) => result,
        // A panic goes on where it was asked for; the rest is a runtime that stops.
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(Error::backend("background task")(error.into())),
        },
    }
}
