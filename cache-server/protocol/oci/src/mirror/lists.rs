//! Tags and referrers of another registry, as it lists them; only the link to the next
//! page leads back to us.

use cache_core::Digest;
use cache_http::Reply;
use cache_upstream::{Answer as Asked, Class};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::Value;

use crate::{
    answer::{Answer, plain},
    document::OCI_INDEX,
    error::{JSON, OciError},
    name::{Reference, Repository},
};

use super::reader::Reader;

const OCI_FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

/// The longest list: a hundred thousand tags are a few MiB.
const LONGEST: u64 = 32 << 20;
/// The longest query that is passed on.
const LONGEST_QUERY: usize = 1024;

/// Which list is asked for.
pub(super) enum List {
    Tags,
    Referrers(Digest),
}

impl List {
    fn path(&self) -> String {
        match self {
            Self::Tags => "tags/list".to_owned(),
            Self::Referrers(subject) => format!("referrers/{subject}"),
        }
    }

    fn judge(&self) -> fn(&HeaderMap, &[u8]) -> Result<(), String> {
        match self {
            Self::Tags => |_, bytes| has_list(bytes, "tags"),
            Self::Referrers(_) => |_, bytes| has_list(bytes, "manifests"),
        }
    }

    /// Which answer of ours says that the origin has none. A client takes it for a
    /// registry without referrers, and looks for their tag.
    fn unknown(&self) -> OciError {
        match self {
            Self::Tags => OciError::NameUnknown,
            Self::Referrers(subject) => OciError::ManifestUnknown(Reference::Digest(*subject)),
        }
    }
}

impl Reader<'_> {
    /// `asked` is the repository as the client calls it, `repository` as its registry does.
    pub(super) async fn list(
        &self,
        asked: &Repository,
        repository: &Repository,
        list: &List,
    ) -> Result<Answer, OciError> {
        let path = list.path();
        let query = query(self.parts.uri.query().unwrap_or_default())?;
        let whole = match &*query {
            "" => path.clone(),
            query => format!("{path}?{query}"),
        };
        let class = Class::Index(self.mirror.freshness);
        let name = format!("list/{repository}/{whole}");
        let resource = self.mirror.resource(&name, (repository, &whole), class);
        let mut resource = resource.checked(list.judge());
        resource.limit = Some(LONGEST);
        let found = match self.fetch(&resource).await? {
            Asked::Found(found) => found,
            Asked::Refused(refused) => return Ok(self.refused(&refused, list.unknown())),
        };
        let mut headers = HeaderMap::with_capacity(8);
        let content_type = match list {
            List::Tags => JSON,
            List::Referrers(_) => HeaderValue::from_static(OCI_INDEX),
        };
        headers.insert(header::CONTENT_TYPE, content_type);
        if let Some(applied) = found.headers.get(&OCI_FILTERS_APPLIED) {
            headers.insert(OCI_FILTERS_APPLIED, applied.clone());
        }
        if let Some(next) = next(&found.headers, &path) {
            headers.insert(header::LINK, self.link_to(asked, &path, next));
        }
        let reply = Reply {
            content: found.content(),
            size: found.size,
            headers,
        };
        let response = reply.respond(&self.parts.method, &self.parts.headers);
        Ok(self.read(response, &found))
    }

    fn link_to(&self, asked: &Repository, path: &str, query: &str) -> HeaderValue {
        let (place, parameter) = self.place(asked);
        let parameter = parameter.map(|it| format!("&{it}")).unwrap_or_default();
        plain(format!("<{place}/{path}?{query}{parameter}>; rel=\"next\""))
    }
}

/// The client's query without what it says of us.
fn query(asked: &str) -> Result<String, OciError> {
    let passed = asked.split('&').filter(|pair| !pair.is_empty());
    let passed = passed.filter(|pair| *pair != "ns" && !pair.starts_with("ns="));
    let passed = passed.collect::<Vec<_>>().join("&");
    let plain = passed.bytes().all(|byte| byte.is_ascii_graphic());
    if !plain || passed.len() > LONGEST_QUERY {
        let reason = format!("expected at most {LONGEST_QUERY} characters, escaped");
        return Err(OciError::QueryInvalid(reason));
    }
    Ok(passed)
}

/// The query of the next page, if `Link` leads to one of the same list.
fn next<'a>(headers: &'a HeaderMap, path: &str) -> Option<&'a str> {
    let links = headers.get_all(header::LINK).iter();
    let mut links = links.filter_map(|link| link.to_str().ok());
    links.find_map(|link| {
        let (target, rest) = link.trim().strip_prefix('<')?.split_once('>')?;
        let (place, query) = target.split_once('?')?;
        let is_next = rest.replace(' ', "").contains("rel=\"next\"");
        (is_next && place.ends_with(path)).then_some(query)
    })
}

fn has_list(bytes: &[u8], name: &str) -> Result<(), String> {
    let document: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    // Some registries say `null` for none.
    let listed = document.get(name);
    if listed.is_some_and(|it| it.is_array() || it.is_null()) {
        Ok(())
    } else {
        Err(format!("it has no {name}"))
    }
}
