//! One question for everyone who asks it at once.

use std::{collections::HashMap, fmt, hash::Hash, sync::Arc};

use cache_core::{Error, Result};
use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use parking_lot::Mutex;

/// What a question came to; an error is told to everyone.
type Asked<V> = Shared<BoxFuture<'static, Result<V, Arc<Error>>>>;

/// Questions under way, by what is asked about. Clones share them.
#[derive(Clone)]
pub(crate) struct Coalesced<K, V>(Arc<Mutex<HashMap<K, Asked<V>>>>);

impl<K, V> Default for Coalesced<K, V> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K, V> fmt::Debug for Coalesced<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Coalesced")
            .field(&self.0.lock().len())
            .finish()
    }
}

impl<K, V> Coalesced<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// The answer to the question under way, or to `ask`, which goes on though whoever
    /// asked first leaves. A question is over before its answer is told: who asks behind
    /// the answer asks anew.
    pub(crate) async fn ask<F>(&self, key: &K, ask: impl FnOnce() -> F) -> Result<V>
    where
        F: Future<Output = Result<V>> + Send + 'static,
    {
        let asked = {
            let mut under_way = self.0.lock();
            match under_way.get(key) {
                Some(asked) => asked.clone(),
                None => {
                    let asked = self.begin(key, ask());
                    under_way.insert(key.clone(), asked.clone());
                    asked
                }
            }
        };
        asked.await.map_err(shared)
    }

    fn begin(&self, key: &K, ask: impl Future<Output = Result<V>> + Send + 'static) -> Asked<V> {
        let over = Over {
            under_way: Arc::clone(&self.0),
            key: key.clone(),
        };
        let task = tokio::spawn(async move {
            let answer = ask.await;
            drop(over);
            answer
        });
        let answer = task.map(|ended| match ended {
            Ok(answer) => answer.map_err(Arc::new),
            Err(stopped) => Err(Arc::new(Error::backend("background task")(stopped.into()))),
        });
        answer.boxed().shared()
    }
}

/// Ends a question, whatever became of it.
struct Over<K: Eq + Hash, V> {
    under_way: Arc<Mutex<HashMap<K, Asked<V>>>>,
    key: K,
}

impl<K: Eq + Hash, V> Drop for Over<K, V> {
    fn drop(&mut self) {
        self.under_way.lock().remove(&self.key);
    }
}

/// An error that several get.
fn shared(error: Arc<Error>) -> Error {
    match Arc::try_unwrap(error) {
        Ok(own) => own,
        Err(shared) => match &*shared {
            Error::Backend { operation, .. } => {
                let operation = *operation;
                Error::backend(operation)(shared.into())
            }
            _ => Error::backend("answer that was shared")(shared.into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use futures::future;

    use super::*;

    async fn slow(asked: Arc<AtomicUsize>) -> Result<usize> {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Ok(asked.fetch_add(1, Ordering::SeqCst))
    }

    #[tokio::test]
    async fn those_who_ask_at_once_get_one_answer_and_later_ones_another() {
        let (coalesced, asked) = (Coalesced::default(), Arc::new(AtomicUsize::new(0)));
        let ask = || coalesced.ask(&7_u32, || slow(Arc::clone(&asked)));
        let answers = future::join_all((0..10).map(|_| ask())).await;
        assert!(answers.into_iter().all(|answer| answer.unwrap() == 0));
        assert_eq!(ask().await.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_question_goes_on_without_the_one_who_asked_first() {
        let (coalesced, asked) = (Coalesced::default(), Arc::new(AtomicUsize::new(0)));
        let mut first = Box::pin(coalesced.ask(&7_u32, || slow(Arc::clone(&asked))));
        assert!(futures::poll!(&mut first).is_pending());
        let second = coalesced.ask(&7_u32, || slow(Arc::clone(&asked)));
        drop(first);
        assert_eq!(second.await.unwrap(), 0);
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn everyone_is_told_of_a_failure_and_the_next_question_is_asked() {
        let coalesced = Coalesced::<u32, u32>::default();
        let fail = || async { Err(Error::backend("look")("it is dark".into())) };
        let answers = future::join_all((0..3).map(|_| coalesced.ask(&7, fail))).await;
        for answer in answers {
            assert!(matches!(
                answer,
                Err(Error::Backend {
                    operation: "look",
                    ..
                })
            ));
        }
        assert_eq!(coalesced.ask(&7, || async { Ok(1) }).await.unwrap(), 1);
    }
}
