//! What a server's package routes have. They speak HTTP and share gRPC's connections.

use std::{future::poll_fn, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use tonic::{Response, Status, body::Body, client::GrpcService};

use crate::{Error, Result, connection::Connection, retry::Repeat};

/// How long one file may take to come from its origin.
const PATIENCE: Duration = Duration::from_secs(600);

const CACHE_STATUS: &str = "cache-status";
const ROUTES: &str = "package routes";

/// What became of a file that was to be in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warmed {
    /// It was there.
    Present,
    /// It was fetched, and is there now.
    Fetched,
    /// Its origin has it not.
    Absent,
}

/// The package routes of a server.
#[derive(Clone, Debug)]
pub struct Packages {
    connection: Connection,
}

impl Packages {
    pub(crate) fn new(connection: &Connection) -> Self {
        Self {
            connection: connection.within(PATIENCE),
        }
    }

    /// The document at a path, as `/pypi/simple/six/`, in a form that `accept` names;
    /// `None` if there is none.
    ///
    /// # Errors
    /// [`Error::TooLarge`] above `limit` bytes, [`Error::Configuration`] if it is no
    /// path, and those of any call.
    pub async fn read(&self, path: &str, accept: &str, limit: u64) -> Result<Option<Bytes>> {
        let asked = self.ask(path, header::ACCEPT, accept).await?;
        let Some((_, mut body)) = asked else {
            return Ok(None);
        };
        let mut document = BytesMut::new();
        while let Some(part) = self.part(&mut body).await? {
            if (document.len() + part.len()) as u64 > limit {
                return Err(Error::TooLarge { limit });
            }
            document.extend_from_slice(&part);
        }
        Ok(Some(document.freeze()))
    }

    /// Sees to it that the file at a path is in the cache, as `/npm/whale/-/whale-1.0.0.tgz`.
    /// Only its last byte comes here, which the server gives out when it has all.
    ///
    /// # Errors
    /// As of [`Packages::read`].
    pub async fn warm(&self, path: &str) -> Result<Warmed> {
        let asked = self.ask(path, header::RANGE, "bytes=-1").await?;
        let Some((headers, mut body)) = asked else {
            return Ok(Warmed::Absent);
        };
        // Whatever answers without it is no cache that keeps what it was asked for.
        if !headers.contains_key(CACHE_STATUS) {
            return Err(Error::Unsupported { call: ROUTES });
        }
        while self.part(&mut body).await?.is_some() {}
        Ok(if is_hit(&headers) {
            Warmed::Present
        } else {
            Warmed::Fetched
        })
    }

    /// The answer at a path; `None` if there is nothing.
    async fn ask(
        &self,
        path: &str,
        name: header::HeaderName,
        value: &str,
    ) -> Result<Option<(HeaderMap, Answer)>> {
        let mut request = http::Request::get(path).body(());
        if let (Ok(request), Ok(value)) = (&mut request, value.parse()) {
            request.headers_mut().insert(name, value);
        }
        let request = request.map_err(|error| Error::configuration("path", &error))?;
        let answer = self.connection.status_of(Repeat::Safe, request, {
            |mut channel, request| async move {
                let request = request.map(|()| Body::empty());
                let broken = Status::from_error;
                let ready = poll_fn(|cx| GrpcService::<Body>::poll_ready(&mut channel, cx));
                ready.await.map_err(|error| broken(error.into()))?;
                let answer = GrpcService::<Body>::call(&mut channel, request).await;
                let answer = answer.map_err(|error| broken(error.into()))?;
                judged(answer.status())?;
                Ok(Response::new(answer))
            }
        });
        match answer.await {
            Ok(answer) => {
                let (parts, body) = answer.into_parts();
                Ok(Some((parts.headers, body)))
            }
            Err(status) if status.code() == tonic::Code::NotFound => Ok(None),
            Err(status) => Err(Error::of(ROUTES, &status)),
        }
    }

    async fn part(&self, body: &mut Answer) -> Result<Option<Bytes>> {
        let next = async {
            let frame = body.frame().await.transpose();
            frame.map_err(|error| Status::from_error(error.into()))
        };
        let frame = self.connection.unless_silent(next).await;
        let frame = frame.map_err(|status| Error::of(ROUTES, &status))?;
        // Trailers say nothing here.
        Ok(frame.map(|frame| frame.into_data().unwrap_or_default()))
    }
}

type Answer = <crate::connection::Authorized as GrpcService<Body>>::ResponseBody;

/// What a status means, in gRPC's words, which the rest of this library knows.
fn judged(status: StatusCode) -> Result<(), Status> {
    let said = || format!("HTTP {status}");
    Err(match status {
        status if status.is_success() => return Ok(()),
        StatusCode::NOT_FOUND | StatusCode::GONE => Status::not_found(said()),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Status::permission_denied(said()),
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            Status::unavailable(said())
        }
        StatusCode::INSUFFICIENT_STORAGE => Status::resource_exhausted(said()),
        _ => Status::unknown(said()),
    })
}

/// Whether the answer came without asking further (RFC 9211 2.1), by the cache nearest
/// to us, which is the last of the list.
fn is_hit(headers: &HeaderMap) -> bool {
    let statuses = headers.get_all(CACHE_STATUS).iter();
    let last = statuses.filter_map(|value| value.to_str().ok()).next_back();
    let nearest = last.and_then(|list| list.rsplit(',').next());
    nearest.is_some_and(|one| one.split(';').any(|part| part.trim() == "hit"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_cache_says_whether_it_is_a_hit() {
        let hit = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("cache-status", value.parse().unwrap());
            is_hit(&headers)
        };
        assert!(hit("Cachalot; hit"));
        assert!(hit("Origin; fwd=miss, Cachalot; hit; detail=stale"));
        assert!(!hit("Origin; hit, Cachalot; fwd=miss"));
        assert!(!is_hit(&HeaderMap::new()));
    }
}
