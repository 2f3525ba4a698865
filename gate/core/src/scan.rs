//! The scan of a push: gitleaks as a child, over exactly what is new, and a refusal when it finds anything.
//!
//! The child runs as `gitleaks git`, and the `git` it asks for a patch is this program ([`patch_source_main`]), which
//! hands it what `feed` writes: every new blob whole, once for each path, raw commits and tags, names of files and refs.
//! Nothing is believed that was not shown: a canary stands at each end of the patch and both must be found, the bytes
//! scanned must be the bytes fed, the report must parse, and no line of the log may tell of trouble. All else is a
//! [`ScanError`], and a push with one is refused.
//!
//! Secrets stay in this module: a [`Finding`] holds none.

mod believe;
mod child;
mod cut;
mod error;
mod feed;
mod finding;
mod item;
mod name;
mod nothing;
mod patch;
mod patch_source;
mod pushed;
mod queue;
mod refusal;
mod report;
mod rules;
mod sift;
mod spare;
mod text;
mod unpack;
mod views;
mod workplace;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gate_store::Interrupt;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time;
use tokio_util::task::AbortOnDropHandle;

use crate::blocking::{self, Pool};
use child::Process;
use feed::Fed;
use nothing::Nothing;
use queue::Queue;
use report::Report;
use spare::Spare;
use unpack::Unpacking;
use workplace::Workplace;

pub use error::ScanError;
pub use finding::{Allowed, Finding, InvalidFingerprint, UNSCANNED_RULE};
pub use item::{At, Item, NewObjects, Stop};
pub use patch::Kind;
pub use patch_source::{is_patch_source, patch_source_main};
pub use pushed::{Pushed, PushedRef};
pub use refusal::{AuditFinding, Refusal};
pub use rules::{GITLEAKS_VERSION, RulesError};
pub use unpack::UnpackLimits;
pub use workplace::WorkplaceError;

/// How pushes are scanned.
#[derive(Clone, Debug)]
pub struct Options {
    /// The gitleaks binary, of version [`GITLEAKS_VERSION`].
    pub gitleaks: PathBuf,
    /// The operator's own rules, in gitleaks' format, on top of the default ones.
    pub rules: Vec<PathBuf>,
    pub allowed: Allowed,
    /// Scanners at once.
    pub scanners: usize,
    /// How long one scan may take.
    pub deadline: Duration,
    /// How long a push waits for a scanner.
    pub queue: Duration,
    /// How long a scanner in reserve waits to be used.
    pub idle: Duration,
    /// Where the scanner's small directory is made, and large archives are unpacked from; the system's temporary
    /// directory without it.
    pub scratch: Option<PathBuf>,
    /// A program that runs [`patch_source_main`] when it is called `git`: this one.
    pub patch_source: PathBuf,
    pub unpack: UnpackLimits,
}

impl Options {
    fn unpacking(&self) -> Unpacking<'_> {
        Unpacking { limits: &self.unpack, scratch: self.scratch.as_deref(), unpacked: 0 }
    }
}

/// Which scanner runs, once it has been proved to find a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build {
    pub version: &'static str,
    /// SHA-256 of the binary, in hex.
    pub digest: String,
    /// The regex engine, which decides what a scan costs.
    pub engine: &'static str,
}

/// What a push hears while it waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Progress {
    #[default]
    Idle,
    /// Other pushes are scanned first, so many.
    Queued { ahead: usize },
    /// Of so many bytes, about.
    Scanning { done: u64, total: u64 },
}

/// The outcome of a scan that can be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Clean(Summary),
    Found(Summary, Refusal),
}

/// What a scan did, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Bytes of text that the scanner looked at.
    pub bytes: u64,
    /// Secrets that the origin holds already.
    pub known: u64,
    /// Findings that the operator allows.
    pub allowed: u64,
}

/// Scans pushes, so many at once. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Scanner {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    options: Options,
    workplace: Mutex<Option<Arc<Workplace>>>,
    queue: Queue,
    /// Scanners started ahead of their turn; they hold memory and burn nothing.
    early: Arc<Semaphore>,
    spare: Spare,
    pool: Pool,
}

/// A scanner that is being started, or was started, ahead of its turn.
type Early = AbortOnDropHandle<Result<Started, ScanError>>;

#[derive(Debug)]
struct Started {
    process: Process,
    workplace: Arc<Workplace>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Scanner {
    /// Touches nothing yet: whether the scanner works shows at [`prove`](Self::prove), or else at the first push.
    pub fn new(options: Options) -> Self {
        let scanners = options.scanners.max(1);
        Self {
            shared: Arc::new(Shared {
                workplace: Mutex::new(None),
                queue: Queue::new(scanners),
                early: Arc::new(Semaphore::new(scanners)),
                spare: Spare::default(),
                pool: Pool::new(2 * scanners),
                options,
            }),
        }
    }

    /// Starts a scanner for a push whose objects are still on their way, so that its start hides behind them; or takes the
    /// one in reserve.
    ///
    /// Never waits and never fails: where none is free to be started ahead, [`Running::scan`] starts it. Must be called
    /// within the runtime.
    pub fn start(&self) -> Running {
        let early = self.shared.spare.take().or_else(|| self.shared.start_early());
        Running { shared: Arc::clone(&self.shared), early }
    }

    /// Keeps a scanner ready, for a push that is likely to come: a client that asks to push has said so, and one that has
    /// pushed often pushes again. It goes after [`Options::idle`] without use. Must be called within the runtime.
    pub fn warm(&self) {
        spare::keep(&self.shared);
    }

    /// Scans a secret made up on the spot; answers which scanner found it.
    ///
    /// # Errors
    /// Any that a push would meet.
    pub async fn prove(&self) -> Result<Build, ScanError> {
        let (progress, _) = watch::channel(Progress::Idle);
        self.start().scan(Arc::new(Nothing), progress).await?;
        let workplace = self.shared.workplace().await?;
        Ok(Build {
            version: GITLEAKS_VERSION,
            digest: workplace.digest().to_owned(),
            engine: workplace.engine(),
        })
    }
}

/// A scanner at the disposal of one push. Dropped, it is killed.
#[derive(Debug)]
pub struct Running {
    shared: Arc<Shared>,
    early: Option<Early>,
}

impl Running {
    /// Scans the new objects of a push, when it is its turn.
    ///
    /// # Errors
    /// Whenever the outcome can't be believed; the push is to be refused.
    pub async fn scan(
        self,
        objects: Arc<dyn NewObjects>,
        progress: watch::Sender<Progress>,
    ) -> Result<Verdict, ScanError> {
        let Self { shared, early } = self;
        let limit = shared.options.queue;
        let turn = shared.queue.enter(|ahead| {
            progress.send_replace(Progress::Queued { ahead });
        });
        let _turn = time::timeout(limit, turn).await.map_err(|_| ScanError::Busy { limit })?;
        let limit = shared.options.deadline;
        let scan = async {
            let mut early = match early {
                Some(early) => Some(
                    early.await.map_err(|error| ScanError::Start(io::Error::other(error)))??,
                ),
                None => None,
            };
            let workplace = shared.workplace().await?;
            let started = match early.take_if(|early| early.is_usable(&workplace)) {
                Some(started) => started,
                None => Started::new(workplace, None)?,
            };
            shared.scan(started, objects, progress).await
        };
        time::timeout(limit, scan).await.map_err(|_| ScanError::TimedOut { limit })?
    }
}

impl Started {
    fn new(
        workplace: Arc<Workplace>,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Result<Self, ScanError> {
        let process = Process::start(&workplace).map_err(ScanError::Start)?;
        Ok(Self { process, workplace, permit })
    }

    /// Whether it still runs, with the rules that hold now.
    fn is_usable(&mut self, workplace: &Arc<Workplace>) -> bool {
        Arc::ptr_eq(&self.workplace, workplace) && self.process.is_running()
    }
}

impl Shared {
    /// The workplace; made, and the scanner's version asked, when there is none or the binary has changed.
    async fn workplace(&self) -> Result<Arc<Workplace>, ScanError> {
        let mut kept = self.workplace.lock().await;
        if let Some(workplace) = kept.as_ref().filter(|workplace| workplace.is_unchanged()) {
            return Ok(Arc::clone(workplace));
        }
        let options = self.options.clone();
        let workplace = blocking::run(&self.pool, move |_| {
            Workplace::new(
                &options.gitleaks,
                &options.rules,
                &options.patch_source,
                options.scratch.as_deref(),
            )
        })
        .await?;
        let asked = time::timeout(self.options.deadline, child::version(&workplace)).await;
        let found = asked
            .map_err(|_| ScanError::TimedOut { limit: self.options.deadline })?
            .map_err(ScanError::Start)?;
        if found != GITLEAKS_VERSION {
            let found = found.chars().filter(char::is_ascii_graphic).take(40).collect();
            return Err(ScanError::WrongVersion { found });
        }
        Ok(Arc::clone(kept.insert(Arc::new(workplace))))
    }

    /// `None` if as many as may run at once were started ahead already.
    fn start_early(self: &Arc<Self>) -> Option<Early> {
        let permit = Arc::clone(&self.early).try_acquire_owned().ok()?;
        let shared = Arc::clone(self);
        Some(AbortOnDropHandle::new(tokio::spawn(async move {
            Started::new(shared.workplace().await?, Some(permit))
        })))
    }

    async fn scan(
        &self,
        started: Started,
        objects: Arc<dyn NewObjects>,
        progress: watch::Sender<Progress>,
    ) -> Result<Verdict, ScanError> {
        let Started { mut process, workplace, permit } = started;
        // its turn has come: another may be started ahead
        drop(permit);
        let (Some(patch), Some(report)) = (process.take_patch(), process.take_report()) else {
            return Err(ScanError::Start(io::Error::other("it has no pipes")));
        };
        let (options, fed_from) = (self.options.clone(), Arc::clone(&objects));
        let work = blocking::run(&self.pool, move |interrupt| {
            let total = fed_from.bytes();
            let mut tell = |done: u64| {
                let now = Progress::Scanning { done: done.min(total), total };
                progress.send_if_modified(|last| std::mem::replace(last, now) != now);
            };
            let fed = feed::feed(
                &*fed_from,
                workplace.classes(),
                options.unpacking(),
                patch,
                interrupt,
                &mut tell,
            );
            (fed, report::read(report))
        });
        let ((fed, report), ended) = tokio::join!(work, process.end());
        let (status, words) = ended.map_err(ScanError::Wait)?;
        let (fed, report) = believe::believe(fed, report, status, &words)?;
        self.sift(fed, report, objects).await
    }

    async fn sift(
        &self,
        fed: Fed,
        report: Report,
        objects: Arc<dyn NewObjects>,
    ) -> Result<Verdict, ScanError> {
        let mut summary = Summary { bytes: fed.scanned, known: 0, allowed: 0 };
        if report.hits.is_empty() && fed.unscanned.is_empty() && report.dropped == 0 {
            return Ok(Verdict::Clean(summary));
        }
        let options = self.options.clone();
        let dropped = report.dropped;
        let sift = move |interrupt: &Interrupt| {
            sift::sift(
                report.hits,
                fed.unscanned,
                &*objects,
                &options.unpacking(),
                &options.allowed,
                interrupt,
            )
        };
        let sifted = blocking::run(&self.pool, sift).await.map_err(ScanError::Objects)?;
        summary.known = sifted.known;
        summary.allowed = sifted.allowed;
        if sifted.findings.is_empty() && dropped == 0 {
            return Ok(Verdict::Clean(summary));
        }
        Ok(Verdict::Found(summary, Refusal { findings: sifted.findings, more: dropped }))
    }
}
