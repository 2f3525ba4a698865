//! Mirrors kept fresh: a refresh asks the origin for its refs and takes in what is new; those who come together share one.

mod conversation;
mod disk;
mod error;
mod flight;
mod intake;
mod listing;
mod manners;
mod probe;
mod progress;
mod tidy;
mod update;

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gate_config::{Limits, ResolvedRepo};
use gate_store::{Snapshot, Store};
use proto::ObjectFormat;
use tokio::sync::watch;

use self::flight::Flights;
use self::manners::Manners;
use self::tidy::Tidying;
use crate::blocking::Pool;
use crate::dial::{self, Dial};

pub use error::RefreshError;
pub use probe::{Probe, probe};
pub use progress::Progress;

/// What every mirror needs from outside.
#[derive(Clone, Debug)]
pub struct Context {
    pub dial: Arc<dyn Dial>,
    pub limits: Limits,
    /// For packs on their way in: such work waits for the origin's bytes.
    pub fetch: Pool,
    /// For work that waits for nobody.
    pub cpu: Pool,
    /// For work that nobody waits for: consolidation, one at a time.
    pub background: Pool,
}

/// The mirror of one repository. Cheap to clone; all clones are the same mirror.
#[derive(Clone)]
pub struct Mirror {
    inner: Arc<Inner>,
}

struct Inner {
    dir: PathBuf,
    context: Context,
    rule: Mutex<Arc<ResolvedRepo>>,
    /// `None` until it was opened, or made after the origin's first answer.
    store: Mutex<Option<Arc<Store>>>,
    flights: Flights,
    manners: Mutex<Manners>,
    progress: progress::Teller,
    used: Mutex<Instant>,
    tidying: Tidying,
}

impl Mirror {
    /// The mirror that lies, or will lie, in `dir`. Touches neither disk nor network.
    pub fn open(dir: PathBuf, rule: ResolvedRepo, context: Context) -> Self {
        Self {
            inner: Arc::new(Inner {
                dir,
                context,
                rule: Mutex::new(Arc::new(rule)),
                store: Mutex::new(None),
                flights: Flights::default(),
                manners: Mutex::default(),
                progress: progress::Teller::new(None),
                used: Mutex::new(Instant::now()),
                tidying: Tidying::default(),
            }),
        }
    }

    /// Brings the mirror up to date and answers the state the origin confirmed after this call.
    ///
    /// The refresh is under way when this returns, whether or not the future is polled. It never is one whose question
    /// had been put to the origin before; calls that come while one runs share the next one. The future is bounded by
    /// `limits.refresh`, or `limits.first_mirror` as long as nothing is mirrored. Who gives up, or is given up, ends
    /// nothing: the refresh goes on behind it as long as the origin sends, and who comes next gains by it.
    ///
    /// # Errors
    /// Why the origin could not be heard. Nothing stale is ever answered.
    pub fn refresh(
        &self,
    ) -> impl Future<Output = Result<Arc<Snapshot>, RefreshError>> + Send + 'static + use<> {
        *lock(&self.inner.used) = Instant::now();
        let landing = self.inner.flights.board(&self.inner);
        let limits = &self.inner.context.limits;
        let (limit, patience) = if self.store().is_some_and(|store| holds_anything(&store)) {
            ("refresh", limits.refresh.duration())
        } else {
            ("first_mirror", limits.first_mirror.duration())
        };
        let progress = self.progress();
        async move {
            match tokio::time::timeout(patience, landing.wait()).await {
                Ok(result) => result,
                Err(_) => {
                    let error = dial::Error::timed_out(limit, patience);
                    Err(match &*progress.borrow() {
                        None => error.into(),
                        Some(far) => {
                            error.and(format!("{far}: try again, the mirroring goes on")).into()
                        }
                    })
                }
            }
        }
    }

    /// Uses another rule (origin, credential) from the next refresh on.
    pub fn set_rule(&self, rule: ResolvedRepo) {
        *lock(&self.inner.rule) = Arc::new(rule);
    }

    /// The hash the repository names its objects by; `None` until a refresh has found out.
    pub fn format(&self) -> Option<ObjectFormat> {
        self.store().map(|store| store.format())
    }

    /// The store; `None` until a refresh has opened or made it.
    pub fn store(&self) -> Option<Arc<Store>> {
        lock(&self.inner.store).clone()
    }

    /// Merges packs and drops what no ref reaches, in the background, if there is anything to do. To be called after
    /// what changes the store; at most one such task runs and one waits.
    pub fn tidy(&self) {
        self.inner.tidy();
    }

    /// Whether it was not refreshed for `idle`, and nothing works with it any more: neither a refresh, nor a clone's
    /// packer, nor consolidation.
    pub(crate) fn is_idle(&self, idle: Duration) -> bool {
        let store = lock(&self.inner.store);
        !self.is_busy()
            && store.as_ref().is_none_or(|store| Arc::strong_count(store) == 1)
            && lock(&self.inner.used).elapsed() >= idle
    }

    /// How far a refresh is that takes in what is new.
    pub fn progress(&self) -> watch::Receiver<Option<Progress>> {
        self.inner.progress.subscribe()
    }

    /// Whether work goes on that outlives whoever asked for it.
    pub fn is_busy(&self) -> bool {
        Arc::strong_count(&self.inner) > 1
    }
}

impl fmt::Debug for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mirror").field("dir", &self.inner.dir).finish_non_exhaustive()
    }
}

/// Whether anything was ever mirrored into the store.
fn holds_anything(store: &Store) -> bool {
    !store.snapshot().packs().packs().is_empty()
}

/// Takes a lock that is never held across anything that could panic halfway.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
