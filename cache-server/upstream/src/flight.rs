//! One transfer per object: who asks for what is under way gets what it brings.

use std::{collections::HashMap, sync::Arc};

use cache_core::{Blob, RefKey};
use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{Refused, entry::Entry, error::Failure, transfer::Transfer};

/// What a flight has brought as soon as that can be said.
#[derive(Clone, Debug)]
pub(crate) enum Landed {
    /// The origin sends it; the bytes are arriving.
    Arriving(Transfer),
    /// It was fetched and checked as a whole.
    Fetched(Entry, Blob),
    /// What is kept is still right.
    Confirmed(Entry, Blob),
    /// The store has no room for it: everyone asks for themselves.
    NoRoom,
    /// The origin says no.
    Refused(Refused),
}

/// A flight that several wait for.
pub(crate) type Landing = Shared<BoxFuture<'static, Result<Landed, Failure>>>;

/// Everything that is being asked for.
#[derive(Debug, Default)]
pub(crate) struct Flights(Mutex<HashMap<RefKey, Landing>>);

impl Flights {
    /// The flight for a key, and whether `begin` had to begin it. It goes on until its
    /// [`Lander`] is dropped.
    pub(crate) fn join(
        self: &Arc<Self>,
        key: &RefKey,
        begin: impl FnOnce(Lander),
    ) -> (Landing, bool) {
        let mut flights = self.0.lock();
        if let Some(landing) = flights.get(key) {
            return (landing.clone(), false);
        }
        let (sender, receiver) = oneshot::channel();
        let landing = receiver.map(|landed| landed.unwrap_or_else(|_| Err(lost())));
        let landing = landing.boxed().shared();
        flights.insert(key.clone(), landing.clone());
        drop(flights);
        begin(Lander {
            flights: Arc::clone(self),
            key: key.clone(),
            sender: Some(sender),
        });
        (landing, true)
    }

    /// Whether nothing is being asked for.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }
}

fn lost() -> Failure {
    Failure::Wrong {
        host: "this server".to_owned(),
        reason: "it gave the request up".to_owned(),
    }
}

/// The one who flies. Dropping it ends the flight: whoever asks then begins another.
#[derive(Debug)]
pub(crate) struct Lander {
    flights: Arc<Flights>,
    key: RefKey,
    sender: Option<oneshot::Sender<Result<Landed, Failure>>>,
}

impl Lander {
    /// Tells everyone who waits; only the first telling counts.
    pub(crate) fn land(&mut self, landed: Result<Landed, Failure>) {
        if let Some(sender) = self.sender.take() {
            // Nobody may be waiting any more: the flight goes on all the same.
            let _ = sender.send(landed);
        }
    }
}

impl Drop for Lander {
    fn drop(&mut self) {
        self.flights.0.lock().remove(&self.key);
    }
}
