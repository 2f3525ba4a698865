//! Sends a pack: made on a blocking thread, framed piece by piece, with a sign of life whenever it takes long.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use gate_store::{PackPlan, PackRequest, Progress, Snapshot, Written};
use proto::pktline;
use proto::sideband::{self, Band, Width};
use tokio::time::{Instant, sleep_until};

use super::Conversation;
use crate::blocking::{self, Outlet};
use crate::client::Voice;
use crate::{Client, Error};

/// How a pack is to reach the client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Framing {
    /// `None`: raw, for the oldest clients.
    pub(super) sideband: Option<Width>,
    /// Whether the person at the other end wants to see how far it is.
    pub(super) progress: bool,
}

impl Conversation<'_> {
    /// Sends `head`, then the pack that answers `request`, then the flush that ends it.
    pub(super) async fn send_pack(
        &mut self,
        snapshot: &Arc<Snapshot>,
        request: PackRequest,
        framing: Framing,
        head: Vec<u8>,
    ) -> Result<(), Error> {
        self.client.voice = framing.sideband.map_or(Voice::Silent, Voice::Band);
        let mut sender = Sender {
            head,
            framing,
            keepalive: self.ground.context.limits.keepalive.duration(),
            client: self.client,
        };
        let plan = sender.plan(&self.ground.context.pools, snapshot, request).await;
        let plan = plan?.map_err(|error| self.ground.internal(error))?;
        let written = sender.pack(&self.ground.context.pools, plan).await?;
        let written = written.map_err(|error| self.ground.internal(error))?;
        self.uploaded.packs += 1;
        self.uploaded.pack_objects += written.objects;
        self.uploaded.pack_bytes += written.bytes;
        Ok(())
    }
}

struct Sender<'a> {
    client: &'a mut Client,
    framing: Framing,
    keepalive: std::time::Duration,
    /// What goes before the next piece, so that both leave at once.
    head: Vec<u8>,
}

type Made<T> = Result<T, gate_store::WriteError>;

impl Sender<'_> {
    /// Finds the objects, telling the client how many so far.
    async fn plan(
        &mut self,
        pools: &blocking::Pools,
        snapshot: &Arc<Snapshot>,
        request: PackRequest,
    ) -> Result<Made<PackPlan>, Error> {
        let found = Arc::new(AtomicU64::new(0));
        let (counter, snapshot) = (Arc::clone(&found), Arc::clone(snapshot));
        let work = blocking::run(&pools.cpu, move |interrupt| {
            gate_store::plan(&snapshot, request, interrupt, &mut |progress| {
                if let Progress::Counting { objects } = progress {
                    counter.store(objects, Ordering::Relaxed);
                }
            })
        });
        let plan = self.while_waiting(work, &found).await?;
        if let Some(objects) = plan.as_ref().ok().and_then(PackPlan::objects) {
            self.progress(&format!(
                "Enumerating objects: {objects}, done.\n\
                 Counting objects: 100% ({objects}/{objects}), done.\n"
            ));
        }
        Ok(plan)
    }

    async fn while_waiting<T>(
        &mut self,
        work: impl Future<Output = T>,
        found: &AtomicU64,
    ) -> Result<T, Error> {
        let mut work = pin!(work);
        loop {
            let due = Instant::now() + self.keepalive;
            tokio::select! {
                done = &mut work => return Ok(done),
                () = sleep_until(due) => {
                    self.progress(&format!(
                        "Enumerating objects: {}\r",
                        found.load(Ordering::Relaxed)
                    ));
                    self.sign_of_life().await?;
                }
            }
        }
    }

    /// Writes the pack and frames it as it comes.
    async fn pack(
        &mut self,
        pools: &blocking::Pools,
        plan: PackPlan,
    ) -> Result<Made<Written>, Error> {
        let (mut sink, mut outlet) = blocking::outward();
        let mut work = pin!(blocking::run(&pools.io, move |interrupt| {
            let written = plan.write(&mut sink, interrupt, &mut |_| {})?;
            sink.finish().map_err(gate_store::WriteError::Write)?;
            Ok(written)
        }));
        let mut written = None;
        loop {
            let due = Instant::now() + self.keepalive;
            tokio::select! {
                piece = next(&mut outlet) => match piece {
                    Some(piece) => self.piece(piece).await?,
                    None => break,
                },
                done = &mut work, if written.is_none() => written = Some(done),
                () = sleep_until(due) => self.sign_of_life().await?,
            }
        }
        let written = match written {
            Some(written) => written,
            None => work.await,
        };
        if let Ok(Written { objects, bytes, .. }) = &written {
            self.progress(&format!("Total {objects} objects, {bytes} bytes\n"));
            if self.framing.sideband.is_some() {
                pktline::flush(&mut self.head);
            }
            self.send_head().await?;
        }
        Ok(written)
    }

    async fn piece(&mut self, piece: Bytes) -> Result<(), Error> {
        match self.framing.sideband {
            Some(Width::Large) => {
                self.head.extend_from_slice(&sideband::prefix(Band::Data, piece.len()));
                self.client.send_parts(&self.head, &piece).await?;
            }
            Some(Width::Small) => {
                sideband::frame(&mut self.head, Band::Data, Width::Small, &piece);
                self.client.send(&self.head).await?;
            }
            None => self.client.send_parts(&self.head, &piece).await?,
        }
        self.head.clear();
        Ok(())
    }

    /// An empty packet, as git's own server sends it; nothing where there is no room for one.
    async fn sign_of_life(&mut self) -> Result<(), Error> {
        if self.framing.sideband.is_some() {
            pktline::encode(&mut self.head, b"\x01");
        }
        self.send_head().await
    }

    async fn send_head(&mut self) -> Result<(), Error> {
        self.client.send(&self.head).await?;
        self.head.clear();
        self.client.flush().await
    }

    fn progress(&mut self, line: &str) {
        if let Some(width) = self.framing.sideband.filter(|_| self.framing.progress) {
            sideband::frame(&mut self.head, Band::Progress, width, line.as_bytes());
        }
    }
}

async fn next(outlet: &mut Outlet) -> Option<Bytes> {
    outlet.next().await
}
