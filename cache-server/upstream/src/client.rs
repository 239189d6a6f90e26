//! One request to one origin, redirects followed.

use std::{error::Error as _, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use reqwest::redirect::Policy;
use tokio::time::timeout;
use url::Url;

use crate::{
    Forward, Source, UpstreamConfig,
    address::{PublicOnly, names_private},
    error::Failure,
    fetcher::SetupError,
    headers::Validators,
    origin::Origin,
    tls,
};

/// Further hops are a loop or an attack; browsers allow 20, curl 50, npm 20.
const MOST_REDIRECTS: usize = 10;
/// An idle connection is kept below the 60 s after which most servers close theirs.
const IDLE: Duration = Duration::from_secs(50);

/// Asks origins. Connections are kept and shared; those to private addresses are apart.
#[derive(Debug)]
pub(crate) struct Client {
    public: reqwest::Client,
    private: reqwest::Client,
    answer_timeout: Duration,
}

/// What is asked besides the URL.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ask<'a> {
    pub(crate) accept: Option<&'a HeaderValue>,
    pub(crate) condition: Condition<'a>,
    /// Whether the headers are enough.
    pub(crate) head: bool,
}

/// Under which condition there is to be a body.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Condition<'a> {
    #[default]
    None,
    /// Past every cache on the way: what came before was wrong.
    Afresh,
    /// Only if it is another than this.
    Unlike(&'a Validators),
    /// From this byte on, if it is still the same.
    From(u64, &'a HeaderValue),
}

impl Client {
    /// # Errors
    /// If there are no root certificates, or TLS cannot be set up.
    pub(crate) fn new(config: &UpstreamConfig) -> Result<Self, SetupError> {
        let tls = tls::client()?;
        let builder = || {
            reqwest::Client::builder()
                .user_agent(concat!("cachalot/", env!("CARGO_PKG_VERSION")))
                // Each hop is judged by us: its address, its scheme, its credentials.
                .redirect(Policy::none())
                .connect_timeout(config.connect_timeout.0)
                .pool_idle_timeout(IDLE)
                .no_proxy()
                .referer(false)
                .tls_backend_preconfigured(tls.clone())
        };
        Ok(Self {
            public: builder().dns_resolver(Arc::new(PublicOnly)).build()?,
            private: builder().build()?,
            answer_timeout: config.answer_timeout.0,
        })
    }

    /// The head of an answer that is no redirect; its body is still to come.
    pub(crate) async fn send(
        &self,
        source: &Source,
        ask: Ask<'_>,
    ) -> Result<reqwest::Response, Failure> {
        self.within_time(source, self.follow(source, ask)).await
    }

    async fn follow(&self, source: &Source, ask: Ask<'_>) -> Result<reqwest::Response, Failure> {
        let mut url = source.url.clone();
        for _ in 0..=MOST_REDIRECTS {
            let response = self.hop(source, &url, ask).await?;
            if !is_redirect(response.status()) {
                return Ok(response);
            }
            url = target(&url, response.headers())?;
        }
        Err(too_many_redirects(source))
    }

    async fn hop(
        &self,
        source: &Source,
        url: &Url,
        ask: Ask<'_>,
    ) -> Result<reqwest::Response, Failure> {
        let client = self.allowed(&source.origin, url)?;
        let method = if ask.head { Method::HEAD } else { Method::GET };
        let request = || {
            let request = client.request(method.clone(), url.clone());
            request
                .headers(headers(ask))
                // What is stored is what the digests are of.
                .header(header::ACCEPT_ENCODING, "identity")
        };
        self.introduced(source, url, request).await
    }

    /// A request with who we are, if its URL is at the origin.
    async fn introduced(
        &self,
        source: &Source,
        url: &Url,
        request: impl Fn() -> reqwest::RequestBuilder,
    ) -> Result<reqwest::Response, Failure> {
        let origin = &source.origin;
        let is_there = url.origin() == origin.base().origin();
        match &source.scope {
            Some(scope) if is_there && !origin.has_token() => {
                self.with_pass(origin, scope, url, request).await
            }
            _ => exchange(origin.log_in(url, request()), url).await,
        }
    }

    /// The answer to a request that is passed on, and is no redirect if it reads only.
    pub(crate) async fn forward(
        &self,
        source: &Source,
        forward: &Forward,
    ) -> Result<reqwest::Response, Failure> {
        let reads = matches!(forward.method, Method::GET | Method::HEAD);
        self.within_time(source, async {
            let mut url = source.url.clone();
            for _ in 0..=MOST_REDIRECTS {
                let client = self.allowed(&source.origin, &url)?;
                let request = || {
                    let request = client.request(forward.method.clone(), url.clone());
                    let request = request.headers(forward.headers.clone());
                    request.body(forward.body.clone())
                };
                let response = self.introduced(source, &url, request).await?;
                if !reads || !is_redirect(response.status()) {
                    return Ok(response);
                }
                url = target(&url, response.headers())?;
            }
            Err(too_many_redirects(source))
        })
        .await
    }

    /// The answer to a client's own request. Redirects are followed if it reads, and if
    /// that is wanted; who the client is stays with the origin.
    pub(crate) async fn relay(
        &self,
        source: &Source,
        mut forward: Forward,
        follows: bool,
    ) -> Result<reqwest::Response, Failure> {
        let follows = follows && matches!(forward.method, Method::GET | Method::HEAD);
        self.within_time(source, async {
            let mut url = source.url.clone();
            for _ in 0..=MOST_REDIRECTS {
                let client = self.allowed(&source.origin, &url)?;
                let mut request = client.request(forward.method.clone(), url.clone());
                request = request.headers(forward.headers.clone());
                if !forward.body.is_empty() {
                    request = request.body(forward.body.clone());
                }
                let response = exchange(source.origin.log_in(&url, request), &url).await?;
                if !follows || !is_redirect(response.status()) {
                    return Ok(response);
                }
                url = target(&url, response.headers())?;
                if url.origin() != source.url.origin() {
                    forward.headers.remove(header::AUTHORIZATION);
                    forward.headers.remove(header::COOKIE);
                }
            }
            Err(too_many_redirects(source))
        })
        .await
    }

    async fn within_time(
        &self,
        source: &Source,
        answer: impl Future<Output = Result<reqwest::Response, Failure>>,
    ) -> Result<reqwest::Response, Failure> {
        let late = || Failure::Late {
            host: host(&source.url),
            seconds: self.answer_timeout.as_secs(),
        };
        let answer = timeout(self.answer_timeout, answer).await;
        answer.unwrap_or_else(|_| Err(late()))
    }

    /// The client for a URL: an origin's own host is reached at whatever address the
    /// operator allows it, every other host that it sends us to at a public one only.
    pub(crate) fn allowed(&self, origin: &Origin, url: &Url) -> Result<&reqwest::Client, Failure> {
        if origin.may_be_private(url) {
            return Ok(&self.private);
        }
        if names_private(url) {
            return Err(Failure::Wrong {
                host: host(url),
                reason: "its address is private, and no origin is configured to have one".into(),
            });
        }
        Ok(&self.public)
    }
}

pub(crate) async fn exchange(
    request: reqwest::RequestBuilder,
    url: &Url,
) -> Result<reqwest::Response, Failure> {
    request.send().await.map_err(|error| Failure::Unreachable {
        host: host(url),
        reason: chain(error),
    })
}

fn too_many_redirects(source: &Source) -> Failure {
    Failure::Wrong {
        host: host(&source.url),
        reason: format!("it redirects more than {MOST_REDIRECTS} times"),
    }
}

fn headers(ask: Ask<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut insert = |name: HeaderName, value: Option<&HeaderValue>| {
        if let Some(value) = value {
            headers.insert(name, value.clone());
        }
    };
    insert(header::ACCEPT, ask.accept);
    match ask.condition {
        Condition::None => {}
        Condition::Afresh => {
            let no_cache = HeaderValue::from_static("no-cache");
            insert(header::CACHE_CONTROL, Some(&no_cache));
        }
        Condition::Unlike(validators) => {
            insert(header::IF_NONE_MATCH, validators.etag.as_ref());
            insert(header::IF_MODIFIED_SINCE, validators.last_modified.as_ref());
        }
        Condition::From(offset, validator) => {
            let range = HeaderValue::try_from(format!("bytes={offset}-"));
            insert(header::RANGE, range.ok().as_ref());
            insert(header::IF_RANGE, Some(validator));
        }
    }
    headers
}

const fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Where a redirect leads.
fn target(from: &Url, answer: &HeaderMap) -> Result<Url, Failure> {
    let wrong = |reason: &str| Failure::Wrong {
        host: host(from),
        reason: reason.to_owned(),
    };
    let location = answer.get(header::LOCATION).map(HeaderValue::to_str);
    let Some(Ok(location)) = location else {
        return Err(wrong("it redirects to nowhere"));
    };
    let to = from.join(location);
    let to = to.map_err(|_| wrong("it redirects to what is no URL"))?;
    match (from.scheme(), to.scheme()) {
        ("http" | "https", "https") | ("http", "http") => Ok(to),
        ("https", "http") => Err(wrong("it redirects from https to http")),
        _ => Err(wrong("it redirects to another scheme")),
    }
}

/// The next part of a body that is passed on: `None` at its end, an error if it breaks
/// off or brings nothing for too long.
pub(crate) async fn next_part(
    response: &mut reqwest::Response,
    stall: Duration,
) -> cache_core::Result<Option<Bytes>> {
    let failed = |reason: String| cache_core::Error::backend("transfer")(reason.into());
    match timeout(stall, response.chunk()).await {
        Ok(part) => part.map_err(|error| failed(chain(error))),
        Err(_) => Err(failed("it stalled".to_owned())),
    }
}

pub(crate) fn host(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}

/// An error with its causes and without its URL, which may have a signature in it.
pub(crate) fn chain(error: reqwest::Error) -> String {
    let error = error.without_url();
    let (mut all, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        all = format!("{all}: {error}");
        cause = error.source();
    }
    all
}
