//! How an origin spoke when it was last heard. On the strength of that it is asked for its refs in the first breath, and
//! what it answers is as fresh as if it had been heard out before: time is saved, nothing is taken over.

use std::sync::Arc;
use std::time::Duration;

use gate_config::ResolvedRepo;
use proto::fetch_pack::Advertisement;
use tokio::time::Instant;
use tracing::debug;

/// Requests in a row that went wrong for what was assumed, after which nothing is assumed any more: some front ends lose
/// what a client sends before it was greeted.
const MAX_MISSES: u8 = 2;
/// How long an advertisement is believed that does not come again with each answer, as over http.
const MAX_AGE: Duration = Duration::from_secs(60);

/// What may be assumed of the origin that a rule names.
#[derive(Debug, Default)]
pub(super) struct Manners {
    rule: Option<Arc<ResolvedRepo>>,
    advertised: Option<(Arc<Advertisement>, Instant)>,
    misses: u8,
}

impl Manners {
    /// What the origin of this very `rule` advertised last, as long as it pays to assume that it still does.
    pub(super) fn assume(&mut self, rule: &Arc<ResolvedRepo>) -> Option<Arc<Advertisement>> {
        if !self.rule.as_ref().is_some_and(|known| Arc::ptr_eq(known, rule)) {
            *self = Self { rule: Some(Arc::clone(rule)), ..Self::default() };
        }
        let (advertised, since) = self.advertised.as_ref()?;
        let holds = self.misses < MAX_MISSES && since.elapsed() < MAX_AGE;
        holds.then(|| Arc::clone(advertised))
    }

    /// The origin answered, and this is what it advertised; `None` if nothing may be assumed from it.
    pub(super) fn heard(&mut self, now: Option<Arc<Advertisement>>) {
        self.advertised = now.map(|now| match self.advertised.take() {
            Some((known, since)) if Arc::ptr_eq(&known, &now) => (known, since),
            _ => (now, Instant::now()),
        });
    }

    /// It answered to what was assumed.
    pub(super) fn hit(&mut self) {
        self.misses = 0;
    }

    /// It answered when it was heard out, and not to what was assumed.
    pub(super) fn missed(&mut self) {
        self.misses = self.misses.saturating_add(1);
        if self.misses == MAX_MISSES {
            debug!("the origin is heard out before it is asked from now on");
        }
    }

    /// Assumes nothing the next time.
    pub(super) fn forget(&mut self) {
        self.advertised = None;
    }
}
