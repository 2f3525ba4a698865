//! Protocol v0 and v1: the refs first, then one fetch.

use std::sync::Arc;

use gate_store::{Interrupt, Negotiation, Snapshot, WalkError};
use proto::pktline;
use proto::upload_pack::{Fetch, Have, V0, V0Event};

use super::Conversation;
use super::pack::Framing;
use super::wants::{Judged, boundary};
use crate::{Error, Mode, blocking};

impl Conversation<'_> {
    pub(super) async fn v0(&mut self) -> Result<(), Error> {
        let snapshot = self.refresh.snapshot(self.client, false).await?;
        if self.ground.advertises() {
            let stateless = self.ground.session.mode == Mode::Advertise;
            self.advertise_refs(&snapshot, stateless).await?;
            self.client.flush().await?;
        }
        if self.ground.session.mode == Mode::Advertise {
            return Ok(());
        }
        let stateless = self.ground.session.mode == Mode::Request;
        let mut machine = V0::new(snapshot.format(), self.ground.limits(), stateless);
        let Some(fetch) = self.needs(&mut machine).await? else { return Ok(()) };
        let mut judged = self.ground.judge(&snapshot, &fetch, false).await?;
        if fetch.deepen.is_some() {
            self.send_boundary(&judged).await?;
        }
        let Some(head) = self.haves(machine, &snapshot, &fetch, &mut judged).await? else {
            return Ok(());
        };
        let framing = Framing {
            sideband: fetch.sideband,
            progress: fetch.sideband.is_some() && !fetch.no_progress,
        };
        self.send_pack(&snapshot, judged.request, framing, head).await
    }

    /// Reads what the client needs; `None` if it only came to look.
    async fn needs(&mut self, machine: &mut V0) -> Result<Option<Fetch>, Error> {
        loop {
            match machine.poll_event().map_err(|e| Error::client(e.to_string()))? {
                Some(V0Event::Needs(fetch)) => return Ok(Some(*fetch)),
                Some(_) => return Ok(None),
                None => self.more(machine).await?,
            }
        }
    }

    async fn more(&mut self, machine: &mut V0) -> Result<(), Error> {
        match self.client.recv().await? {
            Some(input) => machine.handle_input(&input),
            None => machine.handle_end(),
        }
        Ok(())
    }

    async fn send_boundary(&mut self, judged: &Judged) -> Result<(), Error> {
        let (shallow, unshallow) = boundary(judged.request.deepened.as_ref());
        let mut out = Vec::new();
        for id in shallow {
            pktline::encode(&mut out, format!("shallow {id}").as_bytes());
        }
        for id in unshallow {
            pktline::encode(&mut out, format!("unshallow {id}").as_bytes());
        }
        pktline::flush(&mut out);
        self.client.send(&out).await?;
        self.client.flush().await
    }

    /// Hears what the client has. The last acknowledgments go before the pack; `None` if no pack is due.
    async fn haves(
        &mut self,
        mut machine: V0,
        snapshot: &Arc<Snapshot>,
        fetch: &Fetch,
        judged: &mut Judged,
    ) -> Result<Option<Vec<u8>>, Error> {
        let mut negotiation = Negotiation::new(snapshot, &judged.request.wants)
            .map_err(|error| self.ground.internal(error))?;
        negotiation.client_shallow(&fetch.shallow);
        loop {
            let work = blocking::run(&self.ground.context.pools.cpu, move |interrupt| {
                let step = negotiate(&mut machine, &mut negotiation, interrupt);
                (machine, negotiation, step)
            });
            let (machine_back, negotiation_back, step) = work.await;
            (machine, negotiation) = (machine_back, negotiation_back);
            let out = machine.take_output();
            match step {
                Ok(Step::Pack) => {
                    judged.request.common = negotiation.common().to_vec();
                    return Ok(Some(out));
                }
                Ok(step) => {
                    self.client.send(&out).await?;
                    self.client.flush().await?;
                    if step == Step::End {
                        return Ok(None);
                    }
                    self.more(&mut machine).await?;
                }
                Err(Failure::Client(error)) => {
                    self.client.send(&out).await?;
                    return Err(Error::client(error.to_string()));
                }
                Err(Failure::Store(error)) => return Err(self.ground.internal(error)),
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// More input is needed.
    More,
    Pack,
    End,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Client(#[from] proto::upload_pack::Error),
    #[error(transparent)]
    Store(#[from] WalkError),
}

/// Answers every have that has come so far.
fn negotiate(
    machine: &mut V0,
    negotiation: &mut Negotiation,
    interrupt: &Interrupt,
) -> Result<Step, Failure> {
    loop {
        interrupt.check().map_err(WalkError::from)?;
        match machine.poll_event()? {
            None => return Ok(Step::More),
            Some(V0Event::Have(id)) => {
                let common = negotiation.have(&id)?;
                let have = Have { common, news: negotiation.common().len() };
                machine.answer_have(&id, have, || negotiation.ready(interrupt))?;
            }
            Some(V0Event::Round) => {
                let next = machine.answer_round(|| negotiation.ready(interrupt))?;
                if next == Some(V0Event::Pack) {
                    return Ok(Step::Pack);
                }
            }
            Some(V0Event::Pack) => return Ok(Step::Pack),
            Some(V0Event::Needs(_) | V0Event::End) => return Ok(Step::End),
        }
    }
}
