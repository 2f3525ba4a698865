//! The pack: read into a quarantine under limits, and connected.

use std::sync::Arc;

use bytes::Bytes;
use gate_config::Limits;
use gate_store::{
    Check, ConnectError, Connected, FileError, IndexError, IndexLimits, IndexProgress, Indexed,
    Quarantine,
};
use proto::send_pack::Update;

use super::Push;
use super::notes::Status;
use super::refused::{By, Refused};
use super::wait::Companion;
use crate::blocking::{Inlet, ReaderGone, inward, run};
use crate::{Error, chain};

impl Push<'_> {
    /// Takes the pack in, if there is one, and proves that the tips of `updates` are whole.
    pub(super) async fn take_in(
        &mut self,
        updates: &[Update],
        rest: Vec<u8>,
    ) -> Result<Result<Arc<Connected>, Refused>, Error> {
        let quarantine = match self.index(rest).await? {
            Ok(quarantine) => quarantine,
            Err(error) => return Ok(Err(self.unpacked(&error))),
        };
        let tips: Vec<_> = updates.iter().filter_map(|update| update.new).collect();
        let work = run(&self.context.pools.cpu, move |interrupt| {
            quarantine.connect(&tips, &[], Check::Push, interrupt)
        });
        let status = Status::new("checking connectivity");
        let connected = self.companion().during(&|| status.get(), None, work).await?;
        Ok(match connected {
            Ok(connected) => {
                self.audit.new_objects = connected.len();
                Ok(Arc::new(connected))
            }
            Err(error) => Err(self.take_broken().unwrap_or_else(|| self.unconnected(&error))),
        })
    }

    async fn index(&mut self, rest: Vec<u8>) -> Result<Result<Quarantine, IndexError>, Error> {
        let missing = || Error::gate(&self.session.id, "a refreshed mirror has no store");
        let store = self.context.mirror.store().ok_or_else(missing)?;
        let snapshot = Arc::clone(&self.snapshot);
        if !self.request.expects_pack() {
            let work = run(&self.context.pools.cpu, move |_| store.quarantine(&snapshot));
            return Ok(work.await.map_err(|error: FileError| IndexError::File(error)));
        }
        let limits = index_limits(&self.context.config.limits);
        let status = Status::default();
        let shown = status.clone();
        let (inlet, mut source) = inward();
        let work = run(&self.context.pools.io, move |interrupt| {
            let mut quarantine = store.quarantine(&snapshot)?;
            let mut show = show(&shown);
            let indexed =
                quarantine.index(&mut source, &limits, Check::Push, interrupt, &mut show)?;
            Ok::<_, IndexError>((quarantine, indexed))
        });
        let result = feed(&mut self.companion(), &status, inlet, rest, work).await?;
        let result = result.map(|(quarantine, Indexed { objects, bytes, broken })| {
            (self.audit.pack_objects, self.audit.pack_bytes) = (objects, bytes);
            self.broken = broken;
            quarantine
        });
        self.is_heard = result.is_ok();
        Ok(result)
    }

    /// The refusal for an object that breaks one of git's rules, if there is one.
    pub(super) fn take_broken(&mut self) -> Option<Refused> {
        let broken = self.broken.take()?;
        Some(self.unpacked(&broken))
    }

    fn unpacked(&self, error: &IndexError) -> Refused {
        if error.is_senders_fault() {
            Refused::pack(&chain(error))
        } else {
            Refused::gate(&self.session.id, error)
        }
    }

    fn unconnected(&self, error: &ConnectError) -> Refused {
        if !error.is_senders_fault() {
            return Refused::gate(&self.session.id, error);
        }
        // git's own words
        let reason = match error {
            ConnectError::Missing { .. } if !self.request.shallow.is_empty() => {
                "shallow update not allowed"
            }
            ConnectError::Missing { .. } => "missing necessary objects",
            _ => "bad objects",
        };
        Refused::all(By::Pack, reason, chain(error))
    }
}

/// Hands the client's bytes to `work` until that has its pack, and keeps the client company.
async fn feed<T>(
    companion: &mut Companion<'_>,
    status: &Status,
    inlet: Inlet,
    rest: Vec<u8>,
    work: impl Future<Output = T>,
) -> Result<T, Error> {
    let mut work = std::pin::pin!(work);
    let mut inlet = Some(inlet);
    let mut pending = Some(Bytes::from(rest)).filter(|rest| !rest.is_empty());
    loop {
        tokio::select! {
            biased;
            done = &mut work => {
                companion.end_line().await?;
                return Ok(done);
            }
            sent = hand_over(inlet.as_ref(), pending.as_ref()), if pending.is_some() => {
                pending = None;
                if sent.is_err() {
                    // its result says why
                    inlet = None;
                }
            }
            () = tokio::time::sleep_until(companion.next()) => {
                companion.speak(&|| status.get()).await?;
            }
            received = companion.client.recv(), if pending.is_none() && inlet.is_some() => {
                pending = received?;
                if pending.is_none() && let Some(inlet) = inlet.take() {
                    inlet.finish().await;
                }
            }
        }
    }
}

async fn hand_over(inlet: Option<&Inlet>, piece: Option<&Bytes>) -> Result<(), ReaderGone> {
    match (inlet, piece) {
        (Some(inlet), Some(piece)) => inlet.send(piece.clone()).await,
        _ => Err(ReaderGone),
    }
}

fn index_limits(limits: &Limits) -> IndexLimits {
    IndexLimits {
        pack_bytes: limits.pack.bytes(),
        objects: u32::MAX,
        object_bytes: limits.object.bytes(),
        delta_depth: u32::try_from(limits.delta_depth).unwrap_or(u32::MAX),
        inflate_ratio: limits.inflate_ratio as u64,
    }
}

/// Puts the progress of an index into words, a percent at a time.
fn show(status: &Status) -> impl FnMut(IndexProgress) + use<> {
    let status = status.clone();
    let mut last = None;
    move |progress| {
        let (word, done, of) = match progress {
            IndexProgress::Receiving { objects, of, .. } => ("indexing", objects, of),
            IndexProgress::Resolving { deltas, of } => ("indexing", deltas, of),
        };
        let percent = u64::from(done) * 100 / u64::from(of.max(1));
        if last != Some((word, percent)) {
            last = Some((word, percent));
            status.set(format!("{word} {percent} %"));
        }
    }
}
