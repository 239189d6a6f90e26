//! Calls whose answer is a stream of messages that come when there is something to say.

use std::future::Future;

use futures::{StreamExt, stream, stream::BoxStream};
use tonic::{Response, Status, Streaming};

use crate::{
    Error, Result,
    connection::{Authorized, Connection},
    retry::Repeat,
};

/// Begins such a call, again if need be. The stream itself is not begun anew: nobody
/// could say where it was. How long it may be silent is nobody's to say either; a peer
/// that vanished is noticed by HTTP/2's pings.
pub(crate) async fn streamed<Q, T, F>(
    connection: &Connection,
    call: &'static str,
    request: Q,
    attempt: impl Fn(Authorized, Q) -> F,
) -> Result<BoxStream<'static, Result<T>>>
where
    Q: Clone,
    T: Send + 'static,
    F: Future<Output = Result<Response<Streaming<T>>, Status>>,
{
    let messages = connection
        .call(call, Repeat::Safe, request, attempt)
        .await?;
    let messages = stream::try_unfold(messages, async move |mut messages| {
        let message = messages.message().await;
        let message = message.map_err(|status| Error::of(call, &status))?;
        Ok(message.map(|message| (message, messages)))
    });
    Ok(messages.boxed())
}
