//! Files that are read again when they change: passwords, tokens, certificates.

use std::{error::Error, fmt::Display, sync::Arc, time::Duration};

use cache_http::Authenticator;
use tokio::{
    task::{self, JoinHandle},
    time::{self, MissedTickBehavior},
};

use crate::tls::Certificate;

/// How often the files are looked at: a token that is taken away is refused within
/// this time.
const INTERVAL: Duration = Duration::from_secs(1);

/// Looks at the files until the handle is aborted. A bad file is logged once and
/// changes nothing.
pub(crate) fn start(
    authenticator: Arc<Authenticator>,
    certificate: Option<Arc<Certificate>>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut ticks = time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = [None, None];
        loop {
            ticks.tick().await;
            let (authenticator, certificate) = (Arc::clone(&authenticator), certificate.clone());
            let looked = task::spawn_blocking(move || {
                let users = authenticator.refresh().map_err(describe);
                let tls = certificate.map_or(Ok(false), |c| c.refresh().map_err(describe));
                [("users and tokens", users), ("the certificate", tls)]
            });
            let Ok(looked) = looked.await else { return };
            for ((what, result), last) in looked.into_iter().zip(&mut last) {
                report(what, result, last);
            }
        }
    })
}

fn describe(error: impl Error) -> String {
    error.to_string()
}

fn report(what: impl Display, result: Result<bool, String>, last: &mut Option<String>) {
    match result {
        Ok(true) => {
            tracing::info!("{what}: read again");
            *last = None;
        }
        Ok(false) => {}
        Err(error) if last.as_ref() == Some(&error) => {}
        Err(error) => {
            tracing::error!("{what}: the old ones stay in force: {error}");
            *last = Some(error);
        }
    }
}
