//! Serves a push: what is reported `ok` is what the origin said `ok` to, after all that is new was connected, scanned and
//! accepted.
//!
//! The order is kept by types. [`Scanned`] is made by a scan alone, [`Accepted`] from a `Scanned` alone, and only an
//! `Accepted` goes to the origin; what it answered is a [`Receipt`], and only a `Receipt` is committed to the store:
//!
//! ```compile_fail
//! # fn skip(scanned: gate_core::receive::Scanned) -> gate_core::receive::Receipt {
//! gate_core::receive::Receipt::from(scanned)
//! # }
//! ```
//! ```compile_fail
//! # fn skip(connected: std::sync::Arc<gate_store::Connected>) -> gate_core::receive::Scanned {
//! gate_core::receive::Scanned { connected, updates: Vec::new(), options: Vec::new(), summary: None }
//! # }
//! ```

mod advertise;
mod ahead;
mod answer;
mod ask;
mod audit;
mod intake;
mod judge;
mod notes;
mod refused;
mod settle;
mod stages;
mod tail;
mod wait;

use std::sync::Arc;

use gate_config::{Config, ResolvedRepo};
use gate_store::{IndexError, Snapshot};
use proto::receive_pack::{PushRequest, Reply, Report};
use proto::send_pack::Update;
use tokio_util::task::TaskTracker;

use crate::blocking::Pools;
use crate::client::Voice;
use crate::company::Company;
use crate::dial::Dial;
use crate::mirror::Mirror;
use crate::policy::{Refusal, judge_commands};
use crate::scan::Scanner;
use crate::{Client, Error, Mode, Session};

use ahead::Ahead;
use audit::Audit;
use refused::{By, Refused};
use wait::Companion;

pub use stages::{Accepted, Receipt, Scanned, Unscanned};

/// What a push needs beside the session itself.
#[derive(Clone, Debug)]
pub struct Context {
    pub config: Arc<Config>,
    pub rule: Arc<ResolvedRepo>,
    pub mirror: Mirror,
    pub dial: Arc<dyn Dial>,
    pub pools: Pools,
    pub scanner: Scanner,
    /// Where work goes that outlives its session.
    pub tails: TaskTracker,
}

/// What a session of receive-pack came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pushed {
    /// Refs asked for; none if the client only looked.
    pub refs: usize,
    /// Refs the origin took.
    pub ok: usize,
}

/// What the client is told in the end.
#[derive(Debug)]
struct Settled {
    report: Report,
    lines: Vec<String>,
}

/// Serves one session of receive-pack, and logs one event `pushed` or `refused` if it was a push.
///
/// # Errors
/// What ended it before there was an outcome. The client has not been told yet, unless its
/// [`voice`](Client::voice) is silent.
pub async fn serve(
    session: &Session,
    client: &mut Client,
    context: &Context,
) -> Result<Pushed, Error> {
    let asked = context.mirror.refresh();
    if session.mode != Mode::Request {
        context.scanner.warm();
    }
    let company = Company {
        every: context.config.limits.keepalive.duration(),
        progress: context.mirror.progress(),
    };
    let (snapshot, request) = match (session.mode, context.mirror.format()) {
        // what is a mere probe need not wait for the origin
        (Mode::Request, Some(format)) => {
            let request = ask::read(client, context, format).await?;
            if request.is_none() {
                return Ok(Pushed::default());
            }
            (company.during(client, false, asked).await??, request)
        }
        (mode, _) => {
            let snapshot = company.during(client, false, asked).await??;
            if mode != Mode::Request {
                advertise::advertise(session, client, context, &snapshot).await?;
            }
            if mode == Mode::Advertise {
                return Ok(Pushed::default());
            }
            let request = ask::read(client, context, snapshot.format()).await?;
            (snapshot, request)
        }
    };
    match request {
        Some((request, rest)) => {
            let pushed = Push::new(session, client, context, snapshot, request).serve(rest).await;
            context.scanner.warm();
            pushed
        }
        None => Ok(Pushed::default()),
    }
}

/// One push under way; its steps are in the modules below.
struct Push<'a> {
    session: &'a Session,
    client: &'a mut Client,
    context: &'a Context,
    snapshot: Arc<Snapshot>,
    request: PushRequest,
    reply: Reply,
    audit: Audit,
    /// An object of the pack that breaks one of git's rules: the push is refused, after its scan has had its say.
    broken: Option<IndexError>,
    /// Refs that were refused while the others go on.
    dropped: Vec<Refusal>,
    /// Whether the client has sent all it will send before it hears the report.
    is_heard: bool,
}

impl<'a> Push<'a> {
    fn new(
        session: &'a Session,
        client: &'a mut Client,
        context: &'a Context,
        snapshot: Arc<Snapshot>,
        request: PushRequest,
    ) -> Self {
        let reply = Reply::new(&request.asked);
        if reply.has_sideband() {
            client.voice = Voice::Band(proto::sideband::Width::Large);
        }
        let (audit, is_heard) = (Audit::new(&request), !request.expects_pack());
        Self {
            session,
            client,
            context,
            snapshot,
            request,
            reply,
            audit,
            broken: None,
            dropped: Vec::new(),
            is_heard,
        }
    }

    /// `rest` is the head of the pack, as far as it came with the commands.
    async fn serve(mut self, rest: Vec<u8>) -> Result<Pushed, Error> {
        let updates = match self.judge_commands() {
            Ok(updates) => updates,
            Err(refused) => return self.refuse(*refused).await,
        };
        let is_scanned = self.request.expects_pack() || !self.request.options.is_empty();
        let scanner = is_scanned.then(|| self.context.scanner.start());
        let origin = Ahead::open(self.context, self.snapshot.format(), &updates);
        let connected = match self.take_in(&updates, rest).await? {
            Ok(connected) => connected,
            Err(refused) => return self.refuse(refused).await,
        };
        match self.judge(connected, updates, scanner).await? {
            Ok(accepted) => self.forward(accepted, origin).await,
            Err(refused) => self.refuse(refused).await,
        }
    }

    /// What may go on; the rest is refused alone where refs stand for themselves, else together.
    fn judge_commands(&mut self) -> Result<Vec<Update>, Box<Refused>> {
        let policy = &self.context.config.policy;
        // another push may have moved what this session's snapshot still shows
        let store = self.context.mirror.store();
        let latest = store.map_or_else(|| Arc::clone(&self.snapshot), |store| store.snapshot());
        let judged =
            judge_commands(policy, &self.context.rule.name, latest.refs(), &self.request.commands);
        let (updates, refusals): (Vec<_>, Vec<_>) =
            (judged.updates().cloned().collect(), judged.refusals().cloned().collect());
        if refusals.is_empty() || !self.is_atomic() && !updates.is_empty() {
            self.dropped = refusals;
            return Ok(updates);
        }
        Err(Box::new(Refused::refs(By::Command, refusals)))
    }

    /// Talks to the client while it waits.
    fn companion(&mut self) -> Companion<'_> {
        let keepalive = self.context.config.limits.keepalive.duration();
        let speaks = self.is_heard || self.session.mode == Mode::Stateful;
        Companion::new(self.client, &self.reply, keepalive, speaks)
    }

    /// Whether the refs of this push stand or fall together.
    fn is_atomic(&self) -> bool {
        self.request.asked.atomic || self.context.config.policy.atomic
    }
}
