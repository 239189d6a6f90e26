//! Bytes that pass unseen between a client and a host.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use prometheus::{IntCounter, IntGauge, Registry};
use tokio::{
    io::{self, AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};

/// How many tunnels there may be, and what is counted of them.
#[derive(Clone, Debug)]
pub(crate) struct Tunnels {
    places: Arc<Semaphore>,
    idle: Duration,
    open: IntGauge,
    bytes: IntCounter,
}

/// The right to one tunnel, for as long as it lasts.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    idle: Duration,
    open: IntGauge,
    bytes: IntCounter,
}

impl Tunnels {
    pub(crate) fn register(
        most: usize,
        idle: Duration,
        registry: &Registry,
    ) -> prometheus::Result<Self> {
        let open = IntGauge::new("cachalot_tunnels", "CONNECT tunnels that are open.")?;
        let bytes = IntCounter::new(
            "cachalot_tunnel_bytes_total",
            "Bytes that passed through CONNECT tunnels, both ways, unseen and not kept.",
        )?;
        registry.register(Box::new(open.clone()))?;
        registry.register(Box::new(bytes.clone()))?;
        let places = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        Ok(Self {
            places,
            idle,
            open,
            bytes,
        })
    }

    /// `None` if there are too many tunnels.
    pub(crate) fn place(&self) -> Option<Place> {
        let permit = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some(Place {
            _permit: permit,
            idle: self.idle,
            open: self.open.clone(),
            bytes: self.bytes.clone(),
        })
    }
}

impl Place {
    /// Carries bytes both ways until both ends have closed, one breaks, or neither says
    /// anything for too long: an end that vanished would have its place for ever.
    pub(crate) async fn carry(self, client: OnUpgrade, host: TcpStream) {
        // A client that left before its tunnel stood needs none.
        let Ok(client) = client.await else { return };
        let passed = Arc::<AtomicU64>::default();
        let mut host = Counted {
            host,
            passed: Arc::clone(&passed),
            bytes: self.bytes.clone(),
        };
        let mut client = TokioIo::new(client);
        self.open.inc();
        tokio::select! {
            carried = copy_bidirectional(&mut client, &mut host) => if let Err(error) = carried {
                tracing::debug!(%error, "a tunnel broke");
            },
            () = silence(&passed, self.idle) => tracing::debug!("a tunnel was not used"),
        }
        self.open.dec();
    }
}

/// Ends when nothing has passed for a while.
async fn silence(passed: &AtomicU64, idle: Duration) {
    let mut before = None;
    loop {
        let now = Some(passed.load(Ordering::Relaxed));
        if now == before {
            return;
        }
        before = now;
        sleep(idle).await;
    }
}

/// Counts what passes as it does: a tunnel may last for days, and break in the end.
struct Counted {
    host: TcpStream,
    /// Through this tunnel.
    passed: Arc<AtomicU64>,
    /// Through all.
    bytes: IntCounter,
}

impl Counted {
    fn count(&self, bytes: usize) {
        self.passed.fetch_add(bytes as u64, Ordering::Relaxed);
        self.bytes.inc_by(bytes as u64);
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = to.filled().len();
        ready!(Pin::new(&mut self.host).poll_read(cx, to))?;
        self.count(to.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.host).poll_write(cx, bytes))?;
        self.count(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.host).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.host).poll_shutdown(cx)
    }
}
