//! How an origin spoke when it was last heard. On the strength of that it is asked for its refs in the first breath, and
//! what it answers is as fresh as if it had been heard out before: one round trip is saved, nothing is taken over.

use std::sync::Arc;

use gate_config::ResolvedRepo;
use proto::fetch_pack::Advertisement;
use tracing::debug;

/// Requests in a row that went wrong for what was assumed, after which nothing is assumed any more: some front ends lose
/// what a client sends before it was greeted.
const MAX_MISSES: u8 = 2;

/// What may be assumed of the origin that a rule names.
#[derive(Debug, Default)]
pub(super) struct Manners {
    rule: Option<Arc<ResolvedRepo>>,
    advertised: Option<Arc<Advertisement>>,
    misses: u8,
}

impl Manners {
    /// What the origin of this very `rule` advertised last, as long as it pays to assume that it still does.
    pub(super) fn assume(&self, rule: &Arc<ResolvedRepo>) -> Option<Arc<Advertisement>> {
        let same = self.rule.as_ref().is_some_and(|known| Arc::ptr_eq(known, rule));
        self.advertised.clone().filter(|_| same && self.misses < MAX_MISSES)
    }

    /// The origin answered, and this is what it advertised; `None` if nothing may be assumed from it.
    pub(super) fn heard(
        &mut self,
        rule: &Arc<ResolvedRepo>,
        as_assumed: bool,
        now: Option<Arc<Advertisement>>,
    ) {
        if as_assumed || !self.rule.as_ref().is_some_and(|known| Arc::ptr_eq(known, rule)) {
            self.misses = 0;
        }
        self.rule = Some(Arc::clone(rule));
        self.advertised = now;
    }

    /// Assumes nothing the next time.
    pub(super) fn forget(&mut self) {
        self.advertised = None;
    }

    /// It did not answer to what was assumed.
    pub(super) fn missed(&mut self) {
        self.forget();
        self.misses = self.misses.saturating_add(1);
        if self.misses == MAX_MISSES {
            debug!("the origin is heard out before it is asked from now on");
        }
    }
}
