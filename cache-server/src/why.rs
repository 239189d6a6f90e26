//! `/why?url=`: what a request for a URL would find, and who asked for it lately.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Body,
    extract::{Query, Request, State},
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::get,
};
use cache_core::{Action, Grant, Principal};
use cache_http::{Identity, Package, PastRequest, Recent, Served};
use cache_upstream::{Step, explained};
use serde::{Deserialize, Serialize};
use tower::ServiceExt;
use url::Url;

use crate::transparent::Places;

/// As many of the last requests are told.
const TOLD: usize = 20;

/// Explains what the server would do.
#[derive(Clone, Debug)]
pub(crate) struct Why {
    router: Router,
    recent: Recent,
    own: Arc<[String]>,
    places: Places,
}

#[derive(Debug, Deserialize)]
struct Asked {
    /// A path of this server, its URL, or that of an origin.
    url: String,
}

#[derive(Debug, Serialize)]
struct Explanation {
    url: String,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<String>,
    protocol: &'static str,
    class: &'static str,
    outcome: &'static str,
    tier: &'static str,
    package: Option<String>,
    version: Option<String>,
    /// What it looks for, in this order.
    resources: Vec<Step>,
    /// The last requests for it, the newest first.
    asked_by: Vec<PastRequest>,
}

impl Why {
    /// Explains what `router` answers. `own` are the authorities that clients may call
    /// this server by.
    pub(crate) fn new(router: Router, recent: Recent, own: Vec<String>, places: Places) -> Self {
        let own = own.into();
        Self {
            router,
            recent,
            own,
            places,
        }
    }

    /// `/why`.
    pub(crate) fn routes(self) -> Router {
        Router::new().route("/why", get(why)).with_state(self)
    }

    /// The URL that a client asks this server for.
    fn local(&self, url: &str) -> Result<Uri, String> {
        let uri: Uri = url.parse().map_err(|error| format!("{error}"))?;
        let is_own = |name: &str| self.own.iter().any(|own| own.eq_ignore_ascii_case(name));
        match (uri.authority(), uri.path_and_query()) {
            (None, Some(path)) if path.as_str().starts_with('/') => Ok(uri),
            (Some(authority), Some(path)) if is_own(authority.as_str()) => {
                Ok(Uri::from(path.clone()))
            }
            (Some(_), _) if uri.scheme().is_some() => {
                let origins = Url::parse(url).ok();
                let here = origins.and_then(|url| self.places.path_of(&url));
                // Or as a forward proxy is asked.
                Ok(here.unwrap_or(uri))
            }
            _ => Err("neither a path nor a URL".to_owned()),
        }
    }

    /// The answer to a request, with no origin asked, and what it looked for.
    async fn rehearse(&self, uri: Uri, accept: &HeaderMap) -> (Response, Vec<Step>) {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = uri;
        if let Some(accept) = accept.get(header::ACCEPT) {
            let headers = request.headers_mut();
            headers.insert(header::ACCEPT, accept.clone());
        }
        let reader = Principal::anonymous(vec![Grant {
            prefix: String::new(),
            action: Action::Read,
        }]);
        let identity = Identity::Known(Arc::new(reader));
        request.extensions_mut().insert(identity);
        let (response, steps) = explained(self.router.clone().oneshot(request)).await;
        let Ok(response) = response;
        (response, steps)
    }

    /// What a request for `url` would find.
    ///
    /// # Errors
    /// Why it is neither a path nor a URL.
    async fn explain(&self, url: String, headers: &HeaderMap) -> Result<Explanation, String> {
        let uri = self.local(&url)?;
        let asked_by = self.recent.of(uri.path(), TOLD);
        let (response, resources) = self.rehearse(uri, headers).await;
        let served: Option<&Served> = response.extensions().get();
        let package: Option<&Package> = response.extensions().get();
        let location = response.headers().get(header::LOCATION);
        Ok(Explanation {
            url,
            status: response.status().as_u16(),
            location: location.and_then(|it| Some(it.to_str().ok()?.to_owned())),
            protocol: served.map_or("none", |it| it.protocol),
            class: served.map_or("other", |it| it.class.label()),
            outcome: served.map_or("bypass", |it| it.outcome.label()),
            tier: served.map_or("none", |it| it.tier.label()),
            package: package.map(|it| it.name.to_string()),
            version: package.and_then(|it| Some(it.version.as_ref()?.to_string())),
            resources,
            asked_by,
        })
    }

    /// The same as JSON.
    ///
    /// # Errors
    /// Why it is neither a path nor a URL.
    pub(crate) async fn json(&self, url: &str) -> Result<String, String> {
        let explanation = self.explain(url.to_owned(), &HeaderMap::new()).await?;
        serde_json::to_string(&explanation).map_err(|error| error.to_string())
    }
}

async fn why(
    State(why): State<Why>,
    headers: HeaderMap,
    asked: Result<Query<Asked>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let Ok(Query(Asked { url })) = asked else {
        return (StatusCode::BAD_REQUEST, "/why?url=<URL or path>\n").into_response();
    };
    match why.explain(url.clone(), &headers).await {
        Ok(explanation) => Json(explanation).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, format!("{url}: {error}\n")).into_response(),
    }
}
