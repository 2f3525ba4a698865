//! Makes a pack to keep, in a thread of its own: no single client's pace or end holds the others up.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::flight::{End, Flight, Growing};
use super::{Certificate, Follower, Kept, Key, certificate};
use crate::count::Counted;
use crate::files::{self, FileError, failed};
use crate::write::Listing;
use crate::{Interrupt, Pack, Progress, WriteError, Written};

/// What makes the pack; the same each time it is asked.
pub(crate) trait Job: Send + 'static {
    fn count(
        &self,
        interrupt: &Interrupt,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Counted, WriteError>;

    /// Whether the pack is worth a file.
    fn is_worth_keeping(&self, counted: &Counted) -> bool;

    fn write(
        &self,
        counted: &Counted,
        out: &mut dyn Write,
        listing: &mut Listing,
        interrupt: &Interrupt,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Written, WriteError>;

    fn certificate(&self, counted: &Counted) -> Certificate;
}

/// Why nothing was kept.
#[derive(Debug, thiserror::Error)]
enum KeepError {
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Open(#[from] crate::OpenPackError),
}

/// Starts the work for a question unless somebody did already, and follows it.
pub(crate) fn start(kept: &Arc<Kept>, key: Key, job: impl Job) -> Follower {
    let (follower, first) = kept.board(&key);
    if first {
        let landing = Landing::new(kept, key, follower.flight());
        let thread = std::thread::Builder::new().name("keep-pack".into());
        // If no thread can be had, the landing is dropped, and who waits makes the pack alone.
        if let Err(error) = thread.spawn(move || run(landing, &job)) {
            tracing::warn!(error = &error as &dyn std::error::Error, "no thread to keep a pack");
        }
    }
    follower
}

/// Ends the flight however the thread ends, so that nobody waits for one that has panicked.
struct Landing {
    kept: Arc<Kept>,
    key: Key,
    flight: Arc<Flight>,
    temp: PathBuf,
    temp_idx: PathBuf,
    made: Option<(Pack, Certificate)>,
}

impl Landing {
    fn new(kept: &Arc<Kept>, key: Key, flight: &Arc<Flight>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{number}", certificate::name(&key));
        Self {
            kept: Arc::clone(kept),
            key,
            flight: Arc::clone(flight),
            temp: kept.dir.join(format!("{name}.tmp")),
            temp_idx: kept.dir.join(format!("{name}.idx-tmp")),
            made: None,
        }
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.kept.land(&self.key, &self.flight, self.made.take());
        self.flight.end(End::Failed);
        // What cannot be removed now is swept at the next start.
        drop(files::remove(&self.temp));
        drop(files::remove(&self.temp_idx));
    }
}

fn run(mut landing: Landing, job: &impl Job) {
    let flight = Arc::clone(&landing.flight);
    let counted = match job.count(&flight.interrupt, &mut |progress| flight.report(progress)) {
        Ok(counted) => Arc::new(counted),
        Err(error) => {
            tracing::debug!(error = &error as &dyn std::error::Error, "pack not counted");
            return;
        }
    };
    if !job.is_worth_keeping(&counted) {
        flight.end(End::Small(counted));
        return;
    }
    match keep(&landing, job, &counted) {
        Ok(made) => landing.made = Some(made),
        Err(error) => tracing::debug!(error = &error as &dyn std::error::Error, "pack not kept"),
    }
}

/// Pack, index, certificate, in this order and each safe on disk before the next.
fn keep(
    landing: &Landing,
    job: &impl Job,
    counted: &Counted,
) -> Result<(Pack, Certificate), KeepError> {
    let Landing { kept, key, flight, temp, .. } = landing;
    files::create_dir_all(&kept.dir)?;
    let [tips_path, idx_path, pack_path] = certificate::files(&kept.dir, key);
    let file = File::options().read(true).write(true).create_new(true).open(temp);
    let file = Arc::new(file.map_err(failed("create", temp))?);
    flight.grows_in(Arc::clone(&file));
    let mut listing = Listing::default();
    let mut out = Growing { file: &file, flight, bytes: 0 };
    let mut report = |progress| flight.report(progress);
    let written = job.write(counted, &mut out, &mut listing, &flight.interrupt, &mut report)?;
    flight.end(End::Written(written));
    file.sync_data().map_err(failed("sync", temp))?;
    listing.write_index(&landing.temp_idx, &written.checksum)?;
    files::rename(&landing.temp_idx, &idx_path)?;
    files::rename(temp, &pack_path)?;
    let pack = Pack::open(&pack_path, kept.format)?;
    let certificate = job.certificate(counted);
    files::replace(&tips_path, |out| out.write_all(certificate.render(&pack).as_bytes()))?;
    Ok((pack, certificate))
}
