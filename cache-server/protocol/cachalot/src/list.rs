//! Lists of refs, a page at a time; and taking one off.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use cache_core::{Action, Binding, Change, Durability};
use cache_proto::cachalot::v1::{
    DeleteRefRequest, DeleteRefResponse, ListRefsRequest, ListRefsResponse,
};
use prost::Message;
use tonic::Extensions;

use crate::{
    Cachalot,
    bound::Bound,
    cachalot::allow,
    error::CachalotError,
    name::{Shelf, Space},
    resolve::PAGE,
};

/// Refs of one page.
const MOST: usize = 1000;
/// A page ends with the ref that makes it as long: clients take 4 MiB, and a ref is at
/// most 66 KiB.
const MOST_BYTES: usize = 3 << 20;

impl Cachalot {
    /// A page of a shelf.
    pub(crate) async fn list_on(
        &self,
        shelf: Shelf,
        extensions: &Extensions,
        request: &ListRefsRequest,
    ) -> Result<ListRefsResponse, CachalotError> {
        let space = Space::parse("namespace", &request.namespace)?;
        allow(extensions, Action::Read, &space)?;
        let prefix = shelf.name("prefix", &request.prefix)?;
        let mut after = place(shelf, &prefix, &request.page)?;
        let asked = usize::try_from(request.page_size).unwrap_or(MOST);
        let most = if asked == 0 { MOST } else { asked.min(MOST) };

        let namespace = space.stored();
        let (mut refs, mut bytes) = (Vec::new(), 0);
        loop {
            let limit = PAGE.min(most - refs.len());
            let store = self.refs();
            let found = store
                .list(&namespace, &prefix, after.as_deref(), limit)
                .await?;
            let is_last = found.len() < limit;
            for (name, to) in found {
                if let Some(bound) = Bound::read(to) {
                    let message = bound.message(&space, shelf.key_of(&name));
                    bytes += message.encoded_len();
                    refs.push(message);
                }
                after = Some(name);
                if bytes >= MOST_BYTES {
                    return Ok(page(refs, after.as_deref()));
                }
            }
            if is_last {
                return Ok(page(refs, None));
            }
            if refs.len() == most {
                return Ok(page(refs, after.as_deref()));
            }
        }
    }

    /// Unbinds a key of a shelf.
    pub(crate) async fn delete_on(
        &self,
        shelf: Shelf,
        extensions: &Extensions,
        request: &DeleteRefRequest,
    ) -> Result<DeleteRefResponse, CachalotError> {
        let space = Space::parse("namespace", &request.namespace)?;
        allow(extensions, Action::Write, &space)?;
        let key = shelf.key(&space, "key", &request.key)?;
        let existed = self.refs().resolve(&key).await?.is_some();
        if existed {
            let bindings = vec![Binding::unset(key)];
            let durability = Durability::Barrier;
            let change = Change {
                bindings,
                durability,
            };
            self.refs().bind(change).await?;
        }
        Ok(DeleteRefResponse { existed })
    }
}

pub(crate) fn page(
    refs: Vec<cache_proto::cachalot::v1::Ref>,
    after: Option<&str>,
) -> ListRefsResponse {
    ListRefsResponse {
        refs,
        next_page: after.map_or_else(String::new, |name| BASE64_URL_SAFE_NO_PAD.encode(name)),
    }
}

/// The name behind which a page begins.
pub(crate) fn place(
    shelf: Shelf,
    prefix: &str,
    page: &str,
) -> Result<Option<String>, CachalotError> {
    if page.is_empty() {
        return Ok(None);
    }
    let decoded = BASE64_URL_SAFE_NO_PAD.decode(page).ok();
    let name = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    let name = name.filter(|name| name.starts_with(prefix));
    match name.filter(|name| shelf.name("page", shelf.key_of(name)).is_ok()) {
        Some(name) => Ok(Some(name)),
        None => Err(CachalotError::invalid(
            "page",
            "not from an answer to this list",
        )),
    }
}
