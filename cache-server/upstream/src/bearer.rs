//! Docker's token flow: an origin says which tokens it wants and who gives them, and
//! one is kept until it expires (distribution, "Token Authentication Specification").

use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderValue, StatusCode, header};
use quick_cache::sync::Cache as Recent;
use reqwest::RequestBuilder;
use serde::Deserialize;
use tokio::time::Instant;
use url::Url;

use crate::{
    challenge::Challenge,
    client::{Client, chain, exchange, host},
    error::Failure,
    origin::Origin,
};

/// Scopes with a token, of one origin; others are asked for again.
const SCOPES: usize = 4096;
/// The longest answer of a token's giver: tokens are a few KiB.
const LONGEST: usize = 64 << 10;
/// A token that says nothing of its end (specification, "Token Response Fields").
const UNSAID: u64 = 60;
/// Whatever it says: what was given may be taken back.
const LONGEST_LIFE: u64 = 60 * 60;

/// What is told to an origin so that it knows us.
#[derive(Clone)]
enum Pass {
    /// User and password of the configuration, if there are any.
    Login,
    /// A token, and until when.
    Token(HeaderValue, Instant),
}

/// The passes of an origin, by what they are for.
pub(crate) struct Passes(Recent<Arc<str>, Pass>);

impl Default for Passes {
    fn default() -> Self {
        Self(Recent::new(SCOPES))
    }
}

impl fmt::Debug for Passes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passes").finish_non_exhaustive()
    }
}

impl Passes {
    /// The pass of a scope, if it still holds.
    fn valid(&self, scope: &Arc<str>) -> Option<Pass> {
        let now = Instant::now();
        self.0.remove_if(scope, |pass| pass.has_ended(now));
        self.0.get(scope)
    }
}

impl Pass {
    fn has_ended(&self, now: Instant) -> bool {
        matches!(self, Self::Token(_, until) if *until <= now)
    }

    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Token(ours, _), Self::Token(theirs, _)) => ours == theirs,
            (Self::Login, Self::Login) => true,
            (Self::Token(_, _), Self::Login) | (Self::Login, Self::Token(_, _)) => false,
        }
    }

    fn show(&self, origin: &Origin, url: &Url, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::Login => origin.log_in(url, request),
            Self::Token(token, _) => request.header(header::AUTHORIZATION, token.clone()),
        }
    }
}

/// Someone who gives tokens, and for what.
struct Giver {
    url: Url,
    service: Option<String>,
    scope: String,
}

/// What they answer; `access_token` is OAuth's name for the same.
#[derive(Deserialize)]
struct Given {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

impl Given {
    fn pass(self) -> Option<Pass> {
        let text = [self.token, self.access_token].into_iter().flatten();
        let text = text.into_iter().find(|text| !text.is_empty())?;
        let mut value = HeaderValue::try_from(format!("Bearer {text}")).ok()?;
        value.set_sensitive(true);
        let life = self.expires_in.unwrap_or(UNSAID).min(LONGEST_LIFE);
        Some(Pass::Token(
            value,
            Instant::now() + Duration::from_secs(life),
        ))
    }
}

impl Client {
    /// A request to `url`, which lies at the origin, with the pass that it wants for
    /// `scope`. A 401 is met with a new pass once, and is the answer after that.
    pub(crate) async fn with_pass(
        &self,
        origin: &Origin,
        scope: &Arc<str>,
        url: &Url,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<reqwest::Response, Failure> {
        let known = origin.passes.valid(scope);
        let first = match &known {
            Some(pass) => pass.show(origin, url, request()),
            None => request(),
        };
        let answer = exchange(first, url).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let challenge = match Challenge::of(answer.headers()) {
            Some(Challenge::Basic) if !origin.logs_in() => return Ok(answer),
            Some(challenge) => challenge,
            None => return Ok(answer),
        };
        let is_refused = |pass: &Pass| known.as_ref().is_some_and(|known| known.is_same(pass));
        origin.passes.0.remove_if(scope, is_refused);
        let pass = origin
            .passes
            .0
            .get_or_insert_async(scope, self.pass(origin, scope, challenge))
            .await?;
        if is_refused(&pass) {
            // It is all that we can say.
            return Ok(answer);
        }
        exchange(pass.show(origin, url, request()), url).await
    }

    async fn pass(
        &self,
        origin: &Origin,
        scope: &str,
        challenge: Challenge,
    ) -> Result<Pass, Failure> {
        let Challenge::Bearer {
            realm,
            service,
            scope: asked,
        } = challenge
        else {
            return Ok(Pass::Login);
        };
        let giver = Giver {
            url: trusted(origin, &realm)?,
            service,
            scope: asked.unwrap_or_else(|| scope.to_owned()),
        };
        let given = self.token(origin, &giver).await?;
        given
            .pass()
            .ok_or_else(|| wrong(&giver.url, "it gave no token"))
    }

    async fn token(&self, origin: &Origin, giver: &Giver) -> Result<Given, Failure> {
        let mut url = giver.url.clone();
        if let Some(service) = &giver.service {
            url.query_pairs_mut().append_pair("service", service);
        }
        url.query_pairs_mut().append_pair("scope", &giver.scope);
        let request = self.allowed(origin, &url)?.get(url.clone());
        let answer = exchange(origin.ask_for_token(&url, request), &url).await?;
        if answer.status() != StatusCode::OK {
            return Err(Failure::Status {
                host: host(&url),
                status: answer.status(),
                retry_after: None,
            });
        }
        let body = read(answer, &url).await?;
        serde_json::from_slice(&body).map_err(|_| wrong(&url, "its token is no JSON"))
    }
}

/// Reads what gives a token.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn read_given(json: &[u8]) {
    let given = serde_json::from_slice::<Given>(json).ok();
    if let Some(Pass::Token(value, _)) = given.and_then(Given::pass) {
        assert!(value.is_sensitive());
    }
}

/// The URL that gives tokens: encrypted, unless the origin itself is not.
pub(crate) fn trusted(origin: &Origin, realm: &str) -> Result<Url, Failure> {
    let refused = |reason: &str| wrong(origin.base(), reason);
    let url = Url::parse(realm).map_err(|_| refused("it sends us to no URL for a token"))?;
    let plain = url.username().is_empty() && url.password().is_none();
    match (origin.base().scheme(), url.scheme()) {
        (_, "https") | ("http", "http") if plain && url.has_host() => Ok(url),
        _ => Err(refused("it sends us to an unsafe place for a token")),
    }
}

async fn read(mut answer: reqwest::Response, url: &Url) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    loop {
        let part = answer.chunk().await.map_err(|error| Failure::Unreachable {
            host: host(url),
            reason: chain(error),
        })?;
        let Some(part) = part else { return Ok(body) };
        if body.len() + part.len() > LONGEST {
            return Err(wrong(url, "its token is too long"));
        }
        body.extend_from_slice(&part);
    }
}

fn wrong(url: &Url, reason: &str) -> Failure {
    Failure::Wrong {
        host: host(url),
        reason: reason.to_owned(),
    }
}
