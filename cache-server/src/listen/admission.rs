//! Who may connect: only so many at once, and only so many from one address.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use parking_lot::Mutex;
use prometheus::{IntCounter, IntGauge, Registry};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::LimitsConfig;

/// Counts connections.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionMetrics {
    open: IntGauge,
    refused: IntCounter,
}

impl ConnectionMetrics {
    /// Registers the families.
    ///
    /// # Errors
    /// If the registry has them already.
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let open = IntGauge::new("cachalot_connections", "Connections to the data listener.")?;
        let refused = IntCounter::new(
            "cachalot_connections_refused_total",
            "Connections closed because their address had too many.",
        )?;
        registry.register(Box::new(open.clone()))?;
        registry.register(Box::new(refused.clone()))?;
        Ok(Self { open, refused })
    }

    /// Counts that nobody sees, for the admin listener.
    ///
    /// # Errors
    /// None: the names are valid.
    pub(crate) fn unseen() -> prometheus::Result<Self> {
        Self::register(&Registry::new())
    }
}

/// The connections that there are.
#[derive(Debug)]
pub(super) struct Admission {
    all: Arc<Semaphore>,
    per_address: usize,
    addresses: Addresses,
    metrics: ConnectionMetrics,
}

type Addresses = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// Room for one connection.
pub(super) type Room = OwnedSemaphorePermit;

impl Admission {
    pub(super) fn new(limits: &LimitsConfig, metrics: ConnectionMetrics) -> Self {
        let all = limits.connections.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            all: Arc::new(Semaphore::new(all)),
            per_address: limits.connections_per_address,
            addresses: Addresses::default(),
            metrics,
        }
    }

    /// Waits until one more connection may be: the others stay in the system's queue.
    pub(super) async fn room(&self) -> Room {
        let permit = Arc::clone(&self.all).acquire_owned().await;
        permit.expect("the semaphore is never closed")
    }

    /// Admits a connection, unless its address has too many.
    pub(super) fn admit(&self, room: Room, address: IpAddr) -> Option<Ticket> {
        let network = network(address);
        let mut addresses = self.addresses.lock();
        let held = addresses.entry(network).or_default();
        if *held >= self.per_address {
            self.metrics.refused.inc();
            tracing::debug!(%address, "too many connections from one address");
            return None;
        }
        *held += 1;
        self.metrics.open.inc();
        Some(Ticket {
            network,
            addresses: Arc::clone(&self.addresses),
            metrics: self.metrics.clone(),
            _room: room,
        })
    }
}

/// An IPv4 address, or the /64 that one IPv6 host can choose its addresses from.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
    }
}

/// A connection's right to be; given back when dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    network: IpAddr,
    addresses: Addresses,
    metrics: ConnectionMetrics,
    _room: Room,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.metrics.open.dec();
        let mut addresses = self.addresses.lock();
        if let Some(held) = addresses.get_mut(&self.network) {
            *held -= 1;
            if *held == 0 {
                addresses.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(connections: usize, connections_per_address: usize) -> Admission {
        let limits = LimitsConfig {
            connections,
            connections_per_address,
            ..LimitsConfig::default()
        };
        Admission::new(&limits, ConnectionMetrics::unseen().unwrap())
    }

    #[tokio::test]
    async fn an_address_has_its_share_and_gets_it_back() {
        let admission = admission(10, 2);
        let ask = async |address: &str| {
            let room = admission.room().await;
            admission.admit(room, address.parse().unwrap())
        };
        let first = ask("10.0.0.1").await.unwrap();
        let _second = ask("::ffff:10.0.0.1").await.unwrap();
        assert!(ask("10.0.0.1").await.is_none());
        let _other = ask("10.0.0.2").await.unwrap();
        drop(first);
        let _again = ask("10.0.0.1").await.unwrap();

        let _six = ask("2001:db8::1").await.unwrap();
        let _same = ask("2001:db8::2:1").await.unwrap();
        assert!(ask("2001:db8::3").await.is_none(), "one /64 is one host");
        ask("2001:db8:0:1::3").await.unwrap();
    }

    #[tokio::test]
    async fn nothing_is_left_of_those_who_left() {
        let admission = admission(10, 2);
        let room = admission.room().await;
        drop(admission.admit(room, "10.0.0.1".parse().unwrap()));
        assert!(admission.addresses.lock().is_empty());
        assert_eq!(admission.all.available_permits(), 10);
    }
}
