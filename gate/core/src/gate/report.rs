//! One event for the outcome of each session.

use std::time::Duration;

use tracing::{debug, error, info, warn};

use crate::receive::Pushed;
use crate::upload::Uploaded;
use crate::{Blame, Client, Error};

/// What a session came to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome {
    Uploaded(Uploaded),
    Pushed(Pushed),
}

pub(super) fn log(
    result: Result<Outcome, Error>,
    ended: Result<(), Error>,
    client: &Client,
    took: Duration,
) {
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let (received, sent) = (client.received(), client.sent());
    match result.and_then(|outcome| ended.map(|()| outcome)) {
        Ok(Outcome::Uploaded(uploaded)) => info!(
            refs.count = uploaded.refs,
            pack.count = uploaded.packs,
            pack.objects = uploaded.pack_objects,
            pack.bytes = uploaded.pack_bytes,
            client.received = received,
            client.sent = sent,
            duration_ms,
            "served"
        ),
        // what became of a push was told by one event of its own
        Ok(Outcome::Pushed(pushed)) => debug!(
            refs.count = pushed.refs,
            refs.ok = pushed.ok,
            client.received = received,
            client.sent = sent,
            duration_ms,
            "push answered"
        ),
        Err(failure) => {
            let (blame, chain) = (failure.blame().as_str(), failure.chain());
            macro_rules! failed {
                ($level:ident) => {
                    $level!(
                        error.blame = blame,
                        error.chain = chain,
                        client.received = received,
                        client.sent = sent,
                        duration_ms,
                        "failed"
                    )
                };
            }
            match failure.blame() {
                Blame::Client => failed!(info),
                Blame::Origin => failed!(warn),
                Blame::Gate => failed!(error),
            }
        }
    }
}
