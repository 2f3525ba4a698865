//! Protocol v2: one command after the other, each answered by itself.

use std::sync::Arc;

use gate_store::{Negotiation, Snapshot};
use proto::pktline;
use proto::sideband::Width;
use proto::upload_pack::{Fetch, ObjectInfo, V2, V2Event, Writer, advert, fetch};

use super::pack::Framing;
use super::wants::{Judged, boundary};
use super::{Conversation, Ground, server};
use crate::client::Voice;
use crate::{Error, Mode, blocking};

impl Conversation<'_> {
    pub(super) async fn v2(&mut self) -> Result<(), Error> {
        let format = self.refresh.format(self.client).await?;
        if self.ground.advertises() {
            let mut out = Vec::new();
            advert::v2(&mut out, server(format, &self.ground.session.id.to_string()));
            self.client.send(&out).await?;
            self.client.flush().await?;
        }
        if self.ground.session.mode == Mode::Advertise {
            return Ok(());
        }
        let mut requests = V2::new(format, self.ground.limits());
        loop {
            let event = requests.poll_event().map_err(|e| Error::client(e.to_string()))?;
            self.client.voice = Voice::Packet;
            let Some(event) = event else {
                match self.client.recv().await? {
                    Some(input) => requests.handle_input(&input),
                    None => requests.handle_end(),
                }
                continue;
            };
            match event {
                V2Event::LsRefs(request) => {
                    let snapshot = self.refresh.snapshot_to_list(self.client).await?;
                    self.list_refs(&snapshot, &request).await?;
                }
                V2Event::Fetch(request) => self.fetch(&request).await?,
                V2Event::ObjectInfo(request) => self.object_info(request).await?,
                V2Event::End => return Ok(()),
            }
            self.client.flush().await?;
            if self.ground.session.mode == Mode::Request {
                return Ok(());
            }
        }
    }

    async fn fetch(&mut self, request: &Fetch) -> Result<(), Error> {
        if request.sideband_all {
            self.client.voice = Voice::Band(Width::Large);
        }
        if request.wants.is_empty() && request.want_refs.is_empty() && !request.wait_for_done {
            // git guesses that such a client wants nothing, and answers nothing
            return Ok(());
        }
        let snapshot = self.refresh.snapshot(self.client, request.no_progress).await?;
        let mut judged = self.ground.judge(&snapshot, request, true).await?;
        let writer = Writer::new(request.sideband_all);
        let mut out = Vec::new();
        if !request.haves.is_empty() {
            let (acknowledged, ready) =
                self.ground.negotiate(&snapshot, request, &mut judged).await?;
            if !request.done {
                fetch::acknowledgments(&mut out, writer, &acknowledged, ready);
                if !ready {
                    self.client.send(&out).await?;
                    return self.client.flush().await;
                }
            }
        }
        let shallow_asked = request.deepen.is_some() || !request.shallow.is_empty();
        if shallow_asked || judged.request.deepened.is_some() {
            let (shallow, unshallow) = boundary(judged.request.deepened.as_ref());
            fetch::shallow_info(&mut out, writer, shallow, unshallow);
        }
        fetch::wanted_refs(&mut out, writer, &judged.wanted_refs);
        fetch::packfile(&mut out, writer);
        let framing = Framing { sideband: Some(Width::Large), progress: !request.no_progress };
        self.send_pack(&snapshot, judged.request, framing, out).await
    }

    async fn object_info(&mut self, request: ObjectInfo) -> Result<(), Error> {
        let snapshot = self.refresh.snapshot(self.client, true).await?;
        let work = blocking::run(&self.ground.context.pools.cpu, move |interrupt| {
            let mut reader = snapshot.packs().reader();
            let mut out = Vec::new();
            request.head(&mut out);
            for id in &request.ids {
                // what no ref reaches is not here, whatever the packs hold
                let size = if snapshot.reachable(id, interrupt).map_err(Box::new)? {
                    Some(reader.header(id)?.1)
                } else {
                    None
                };
                request.line(&mut out, id, size);
            }
            pktline::flush(&mut out);
            Ok(out)
        });
        let result: Result<_, Box<dyn std::error::Error + Send + Sync>> = work.await;
        let out = result.map_err(|error| self.ground.internal(error))?;
        self.client.send(&out).await?;
        self.client.flush().await
    }
}

impl Ground<'_> {
    /// The haves to acknowledge, and whether they suffice for a good pack.
    async fn negotiate(
        &self,
        snapshot: &Arc<Snapshot>,
        request: &Fetch,
        judged: &mut Judged,
    ) -> Result<(Vec<proto::ObjectId>, bool), Error> {
        let (at, haves) = (Arc::clone(snapshot), request.haves.clone());
        let (wants, shallow) = (judged.request.wants.clone(), request.shallow.clone());
        let asks = !request.done && !request.wait_for_done;
        let work = blocking::run(&self.context.pools.cpu, move |interrupt| {
            let mut negotiation = Negotiation::new(&at, &wants)?;
            negotiation.client_shallow(&shallow);
            let mut acknowledged = Vec::new();
            for have in &haves {
                interrupt.check()?;
                if negotiation.have(have)? {
                    acknowledged.push(*have);
                }
            }
            let ready = asks && negotiation.ready(interrupt)?;
            Ok((acknowledged, ready, negotiation.common().to_vec()))
        });
        let result: Result<_, gate_store::WalkError> = work.await;
        let (acknowledged, ready, common) = result.map_err(|error| self.internal(error))?;
        judged.request.common = common;
        Ok((acknowledged, ready))
    }
}
