//! How far taking in what is new has come, for the log and for clients that wait.

use std::fmt;
use std::time::Duration;

use gate_store::IndexProgress;
use tokio::sync::watch;
use tracing::info;

use crate::dial::Words;

/// What is known of a pack on its way in from the origin. Its `Display` is fit for a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    received: u64,
    /// Deltas that became objects, of so many.
    deltas: Option<(u32, u32)>,
    /// The origin's own last line.
    said: String,
}

/// Where progress is told; `None` while nothing is on its way in.
pub(super) type Teller = watch::Sender<Option<Progress>>;

/// Deltas after which their count is told anew.
const TELL_EVERY_DELTAS: u32 = 1024;

/// Counts bytes of the pack.
pub(super) fn received(teller: &Teller, bytes: usize) {
    teller.send_modify(|progress| {
        progress.get_or_insert_default().received += bytes as u64;
    });
}

/// Keeps the last line of what the origin says.
pub(super) fn said(teller: &Teller, text: &[u8]) {
    let line = text.rsplit(|b| matches!(b, b'\r' | b'\n')).find(|line| !line.is_empty());
    if let Some(line) = line {
        let line = Words::clean(line);
        teller.send_modify(|progress| progress.get_or_insert_default().said = line);
    }
}

/// Counts resolved deltas; what arrives is counted where it arrives.
pub(super) fn indexed(teller: &Teller, progress: IndexProgress) {
    if let IndexProgress::Resolving { deltas, of } = progress
        && deltas % TELL_EVERY_DELTAS == 0
    {
        teller.send_modify(|known| known.get_or_insert_default().deltas = Some((deltas, of)));
    }
}

/// Awaits `work` and logs how far it is, `every` so often, as long as that changes.
pub(super) async fn logged<T>(
    teller: &Teller,
    every: Duration,
    work: impl Future<Output = T>,
) -> T {
    let mut work = std::pin::pin!(work);
    let mut logged = None;
    loop {
        match tokio::time::timeout(every, &mut work).await {
            Ok(done) => return done,
            Err(_) => {
                let progress = teller.borrow().clone();
                if let Some(progress) = progress.filter(|now| logged.as_ref() != Some(now)) {
                    info!(mirror.progress = %progress, "mirroring");
                    logged = Some(progress);
                }
            }
        }
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.received, self.deltas) {
            (0, _) if self.said.is_empty() => f.write_str("nothing received yet"),
            (0, _) => write!(f, "the origin says: {}", self.said),
            (bytes, None) => write!(f, "{} received", Size(bytes)),
            (bytes, Some((deltas, of))) => {
                write!(f, "{} received, {deltas} of {of} deltas resolved", Size(bytes))
            }
        }
    }
}

struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes < 1 << 20 => write!(f, "{} KiB", bytes.div_ceil(1 << 10)),
            bytes => write!(f, "{}.{} MiB", bytes >> 20, ((bytes % (1 << 20)) * 10) >> 20),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_most_that_is_known() {
        let teller = Teller::new(None);
        let told = || teller.borrow().as_ref().map(ToString::to_string).unwrap_or_default();
        said(&teller, b"Counting objects: 3\rCounting objects: 50% (5/10)\r");
        assert_eq!(told(), "the origin says: Counting objects: 50% (5/10)");
        received(&teller, 1500);
        assert_eq!(told(), "2 KiB received");
        received(&teller, (12 << 20) + (300 << 10));
        assert_eq!(told(), "12.2 MiB received");
        indexed(&teller, IndexProgress::Resolving { deltas: 2048, of: 5000 });
        indexed(&teller, IndexProgress::Resolving { deltas: 2049, of: 5000 });
        assert_eq!(told(), "12.2 MiB received, 2048 of 5000 deltas resolved");
        assert_eq!(Progress::default().to_string(), "nothing received yet");
    }
}
