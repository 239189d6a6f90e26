//! Connections whose bytes we do not see, for clients that encrypt to the origin itself.

use std::{io, net::SocketAddr, time::Duration};

use http::uri::Authority;
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};

use crate::{Error, Fetcher, address::is_private, error::Failure};

impl Fetcher {
    /// A connection to a host and a port that the operator named. Its address is public,
    /// or `private` says that it need not be.
    ///
    /// # Errors
    /// [`Error::Offline`]; [`Error::Unavailable`] if the host is not reached in time.
    pub async fn connect(&self, to: &Authority, private: bool) -> Result<TcpStream, Error> {
        let config = &self.0.config;
        if config.offline {
            return Err(Error::Offline);
        }
        let limit = config.connect_timeout.0;
        let connected = timeout(limit, dial(to, private)).await;
        let connected = connected.map_err(|_| late(to, limit))?;
        connected.map_err(|error| {
            let failure = Failure::Unreachable {
                host: to.to_string(),
                reason: error.to_string(),
            };
            failure.into()
        })
    }
}

async fn dial(to: &Authority, private: bool) -> io::Result<TcpStream> {
    let host = to.host().trim_matches(['[', ']']);
    let found = lookup_host((host, to.port_u16().unwrap_or(443))).await?;
    let allowed: Vec<SocketAddr> = found
        .filter(|address| private || !is_private(address.ip()))
        .collect();
    if allowed.is_empty() {
        let reason = "it has no public address";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
    }
    let stream = TcpStream::connect(&*allowed).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn late(to: &Authority, limit: Duration) -> Failure {
    Failure::Late {
        host: to.to_string(),
        seconds: limit.as_secs(),
    }
}
