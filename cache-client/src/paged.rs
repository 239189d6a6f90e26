//! Lists that a server tells a page at a time.

use std::future::Future;

use cache_proto::cachalot::v1::{ListRefsRequest, ListRefsResponse};
use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};

use crate::{Error, Ref, Result};

/// What `ask` tells of the keys that begin with `prefix`; a page is asked for when what
/// came before it was read.
pub(crate) fn paged<F>(
    namespace: String,
    prefix: String,
    ask: impl Fn(ListRefsRequest) -> F + Send + 'static,
) -> BoxStream<'static, Result<Ref>>
where
    F: Future<Output = Result<ListRefsResponse>> + Send + 'static,
{
    let request = ListRefsRequest {
        namespace,
        prefix,
        page_size: 0,
        page: String::new(),
    };
    let pages = stream::try_unfold((ask, Some(request)), |(ask, request)| {
        let asked = request.map(|request| (ask(request.clone()), request));
        async move {
            let Some((answer, request)) = asked else {
                return Ok(None);
            };
            let ListRefsResponse { refs, next_page } = answer.await?;
            Ok(Some((refs, (ask, following(request, next_page)?))))
        }
    });
    pages
        .map_ok(|page| stream::iter(page.into_iter().map(Ref::parse)))
        .try_flatten()
        .boxed()
}

/// The request for the next page, if there is one.
fn following(before: ListRefsRequest, page: String) -> Result<Option<ListRefsRequest>> {
    // It would never end.
    if !page.is_empty() && page == before.page {
        return Err(Error::Corrupt("a page that follows itself".to_owned()));
    }
    Ok((!page.is_empty()).then_some(ListRefsRequest { page, ..before }))
}
