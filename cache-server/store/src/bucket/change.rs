//! Changes of refs: of one by one conditional write, of several whole or not at all.
//!
//! A change of several keys first writes into each object what it is about to become, on
//! the condition that nobody else wrote. Then it writes one object of its own, which says
//! that the change was made: from then on every reader takes what was announced. Last,
//! the objects are written as they are. Whoever meets a change that began long ago and
//! was not made says so in its object, on the condition that there is none; its maker then
//! finds that it was undone.
//!
//! A bucket that writes on no condition has plain writes, one after another, and locks in
//! this process only: of two servers that change one key at the same moment the last wins.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use cache_core::{Binding, Error, Precondition, Ref, RefKey, Result};
use futures::future;
use rand::Rng;
use tokio::time::sleep;
use uuid::Uuid;

use super::{
    State,
    cell::{Cell, Pending},
    objects::{Got, When, whole},
    refs::Current,
};

/// A change that was begun so long ago and not made has no maker any more.
const ABANDONED: Duration = Duration::from_secs(30);
/// Times that a change is tried while others are faster; with pauses some 5 s.
const TRIES: u32 = 40;
/// The pause between two tries: up to so long at first, and no longer than that.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(300);

/// Tries to end what was announced in one object.
const PUT_BACKS: usize = 3;

const MADE: &[u8] = b"made\n";
const UNDONE: &[u8] = b"undone\n";

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Made,
    Undone,
    /// Its maker is at it, or stopped.
    Open,
}

/// What one try came to.
enum Tried {
    Done,
    /// Somebody else was faster.
    Overtaken,
}

impl State {
    /// Makes a change, whole or not at all.
    pub(super) async fn bind(self: &Arc<Self>, bindings: Vec<Binding>) -> Result<()> {
        let bindings = merged(bindings);
        let keys: Vec<_> = bindings.iter().map(|it| it.key.clone()).collect();
        let made = if self.conditional {
            self.bind_on_condition(&bindings).await
        } else {
            self.bind_plainly(&bindings).await
        };
        // Of a change that failed nobody knows whether it was made.
        self.resolved.forget(&keys);
        made
    }

    async fn bind_on_condition(self: &Arc<Self>, bindings: &[Binding]) -> Result<()> {
        for tried in 0..TRIES {
            let outcome = match bindings {
                [] => Tried::Done,
                [one] => self.try_one(one).await?,
                several => self.try_several(several).await?,
            };
            match outcome {
                Tried::Done => return Ok(()),
                Tried::Overtaken => sleep(pause(tried)).await,
            }
        }
        Err(Error::Conflict)
    }

    /// What a cell leads to, now that the change in it is looked at.
    pub(super) async fn settled(&self, cell: &Cell) -> Result<Option<Ref>> {
        let Some(pending) = &cell.pending else {
            return Ok(cell.bound.clone());
        };
        Ok(match self.decision(pending.change).await? {
            Decision::Made => pending.to.clone(),
            Decision::Undone | Decision::Open => cell.bound.clone(),
        })
    }

    async fn decision(&self, change: Uuid) -> Result<Decision> {
        let key = self.keys.change(change)?;
        let Got::Found(found) = self.objects.get(&key, None).await? else {
            return Ok(Decision::Open);
        };
        let said = whole(found, 64).await?;
        Ok(match &*said {
            MADE => Decision::Made,
            _ => Decision::Undone,
        })
    }

    /// Writes what became of a change; false if something else was said before.
    pub(super) async fn decide(&self, change: Uuid, decision: Decision) -> Result<bool> {
        let said = match decision {
            Decision::Made => MADE,
            Decision::Undone | Decision::Open => UNDONE,
        };
        let key = self.keys.change(change)?;
        let put = self
            .objects
            .put(&key, Bytes::from_static(said), When::Absent);
        match put.await {
            Ok(Some(_)) => Ok(true),
            // A try whose answer got lost may have been the one that did it.
            refused_or_failed => match self.decision(change).await? {
                Decision::Open => refused_or_failed.map(|_| false),
                found => Ok(found == decision),
            },
        }
    }

    /// What the key of a binding leads to, once nobody else is changing it; `None` if
    /// somebody is.
    async fn free(&self, key: &RefKey) -> Result<Option<(Current, Option<Ref>)>> {
        let current = self.current(key).await?;
        let Some(cell) = &current.cell else {
            return Ok(Some((current, None)));
        };
        let Some(pending) = &cell.pending else {
            let bound = cell.bound.clone();
            return Ok(Some((current, bound)));
        };
        let bound = match self.decision(pending.change).await? {
            Decision::Made => pending.to.clone(),
            Decision::Undone => cell.bound.clone(),
            Decision::Open => {
                let age = self.clock.wall().duration_since(pending.begun);
                if age.unwrap_or_default() < ABANDONED {
                    return Ok(None);
                }
                match self.decide(pending.change, Decision::Undone).await? {
                    true => cell.bound.clone(),
                    false => pending.to.clone(),
                }
            }
        };
        Ok(Some((current, bound)))
    }

    async fn try_one(&self, binding: &Binding) -> Result<Tried> {
        let Binding {
            key,
            to,
            precondition,
        } = binding;
        if *precondition == Precondition::Any {
            // Whatever else is about to happen to the key, this is behind it.
            self.overwrite(key, to.as_ref()).await?;
            return Ok(Tried::Done);
        }
        let Some((current, bound)) = self.free(key).await? else {
            return Ok(Tried::Overtaken);
        };
        precondition.check(bound.as_ref())?;
        let cell = Cell::settled(to.clone());
        let written = self.write(key, &cell, current.unchanged()).await?;
        Ok(match written {
            Some(_) => Tried::Done,
            None => Tried::Overtaken,
        })
    }

    async fn try_several(self: &Arc<Self>, bindings: &[Binding]) -> Result<Tried> {
        let free = bindings.iter().map(|binding| self.free(&binding.key));
        let mut parts = Vec::with_capacity(bindings.len());
        for (binding, found) in bindings.iter().zip(future::try_join_all(free).await?) {
            let Some((current, bound)) = found else {
                return Ok(Tried::Overtaken);
            };
            binding.precondition.check(bound.as_ref())?;
            parts.push(Part {
                binding: binding.clone(),
                current,
                bound,
                tag: None,
            });
        }
        let (change, begun) = (Uuid::new_v4(), self.clock.wall());
        let announced = self.announce(&mut parts, change, begun).await;
        if !matches!(announced, Ok(true)) {
            self.take_back(&parts, change).await;
            return announced.map(|_| Tried::Overtaken);
        }
        match self.decide(change, Decision::Made).await {
            Ok(true) => {
                let state = Arc::clone(self);
                tokio::spawn(async move { state.finish(parts, change).await });
                Ok(Tried::Done)
            }
            Ok(false) => {
                self.take_back(&parts, change).await;
                Ok(Tried::Overtaken)
            }
            // Nobody knows; those who meet it will undo it, or find it made.
            Err(error) => Err(error),
        }
    }

    /// Writes into every object what it is about to become; false if somebody else was
    /// faster at one of them.
    async fn announce(&self, parts: &mut [Part], change: Uuid, begun: SystemTime) -> Result<bool> {
        let writes = parts.iter().map(|part| {
            let cell = Cell {
                bound: part.bound.clone(),
                pending: Some(Pending {
                    change,
                    begun,
                    to: part.binding.to.clone(),
                }),
            };
            async move {
                let when = part.current.unchanged();
                self.write(&part.binding.key, &cell, when).await
            }
        });
        let mut is_whole = true;
        let mut failed = None;
        for (written, part) in future::join_all(writes).await.into_iter().zip(parts) {
            match written {
                Ok(Some(tag)) => part.tag = tag,
                Ok(None) => is_whole = false,
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(is_whole), Err)
    }

    /// Writes the objects as they were. What cannot be written now is found undone later.
    async fn take_back(&self, parts: &[Part], change: Uuid) {
        let written = parts.iter().filter(|part| part.tag.is_some());
        let writes = written.map(|part| self.put_back(part, part.bound.clone(), change));
        for result in future::join_all(writes).await {
            if let Err(error) = result {
                tracing::debug!(%error, "a change that was not made stays announced");
            }
        }
    }

    /// Writes the objects as they are now, and forgets the change.
    async fn finish(&self, parts: Vec<Part>, change: Uuid) {
        let writes = parts
            .iter()
            .map(|part| self.put_back(part, part.binding.to.clone(), change));
        let mut is_finished = true;
        for result in future::join_all(writes).await {
            if let Err(error) = result {
                tracing::debug!(%error, "a change that was made stays announced");
                is_finished = false;
            }
        }
        // As long as an object names it, its end must be known.
        if is_finished
            && let Ok(key) = self.keys.change(change)
            && let Err(error) = self.objects.delete(&key).await
        {
            tracing::debug!(%error, "the record of a change stays in the bucket");
        }
    }

    /// Ends what was announced in one object, unless somebody else has written it since.
    ///
    /// # Errors
    /// If the object may still name the change.
    async fn put_back(&self, part: &Part, bound: Option<Ref>, change: Uuid) -> Result<()> {
        let Some(mut tag) = part.tag.clone() else {
            return Ok(());
        };
        let key = &part.binding.key;
        let cell = Cell::settled(bound);
        for _ in 0..PUT_BACKS {
            if self.write(key, &cell, When::Is(&tag)).await?.is_some() {
                return Ok(());
            }
            // Somebody else has written it; or it had another tag than was said.
            let current = self.current(key).await?;
            let pending = current.cell.and_then(|cell| cell.pending);
            match (pending, current.tag) {
                (Some(pending), Some(now)) if pending.change == change => tag = now,
                _ => return Ok(()),
            }
        }
        Err(Error::backend("write to the bucket")(
            "an object is there and not to be written".into(),
        ))
    }

    /// Without conditions: one change of this process at a time.
    async fn bind_plainly(&self, bindings: &[Binding]) -> Result<()> {
        let _binding = self.binding.lock().await;
        for binding in bindings {
            if binding.precondition != Precondition::Any {
                let current = self.current(&binding.key).await?;
                let bound = current.cell.and_then(|cell| cell.bound);
                binding.precondition.check(bound.as_ref())?;
            }
        }
        for Binding { key, to, .. } in bindings {
            self.overwrite(key, to.as_ref()).await?;
        }
        Ok(())
    }

    /// Makes a key lead there, whatever it leads to now.
    async fn overwrite(&self, key: &RefKey, to: Option<&Ref>) -> Result<()> {
        match to {
            Some(to) => {
                let cell = Cell::settled(Some(to.clone()));
                self.write(key, &cell, When::Always).await?;
                Ok(())
            }
            None => self.objects.delete(&self.keys.reference(key)?).await,
        }
    }
}

/// A key's part in a change that is being made.
struct Part {
    binding: Binding,
    /// What was found.
    current: Current,
    /// What the key leads to until the change is made.
    bound: Option<Ref>,
    /// The entity tag of what was announced.
    tag: Option<String>,
}

/// One binding for each key: the last one, under the first condition.
fn merged(bindings: Vec<Binding>) -> Vec<Binding> {
    let mut merged: Vec<Binding> = Vec::with_capacity(bindings.len());
    for binding in bindings {
        match merged.iter_mut().find(|it| it.key == binding.key) {
            Some(before) => {
                before.to = binding.to;
                if before.precondition == Precondition::Any {
                    before.precondition = binding.precondition;
                }
            }
            None => merged.push(binding),
        }
    }
    merged
}

/// With full jitter, so that those who were in each other's way are not again.
fn pause(tried: u32) -> Duration {
    let most = FIRST_PAUSE
        .saturating_mul(1 << tried.min(8))
        .min(LONGEST_PAUSE);
    most.mul_f64(rand::rng().random::<f64>())
}
