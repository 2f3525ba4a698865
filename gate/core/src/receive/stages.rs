//! The stages of a push. Each is made from the one before, and by nothing else.

use std::sync::Arc;

use bstr::BString;
use gate_config::{Policy, RepoName};
use gate_store::{CommitError, Connected, Interrupt, PackOptions, RefEdit, Snapshot, Store};
use gate_store::{ConnectError, write_objects};
use proto::send_pack::Update;
use tokio::sync::watch;

use crate::blocking::Pool;
use crate::forward::{Answer, Fate, Opened, Order, Tell, WritePack, WritePackError, send};
use crate::policy::{Move, Refusal, judge_content, judge_moves, wants_moves};
use crate::scan::{self, Progress, Pushed, PushedRef, Running, ScanError, Summary, Verdict};

/// A push whose new objects hold no secret, as far as the scanner can tell.
#[derive(Debug)]
pub struct Scanned {
    connected: Arc<Connected>,
    updates: Vec<Update>,
    options: Vec<BString>,
    summary: Option<Summary>,
}

/// Why a push is not [`Scanned`].
#[derive(Debug)]
pub enum Unscanned {
    Found(Summary, scan::Refusal),
    /// No outcome that could be believed.
    Failed(ScanError),
}

impl Scanned {
    /// Scans what is new, and the push options: they go to the origin's hooks.
    ///
    /// # Errors
    /// See [`Unscanned`].
    pub async fn scan(
        running: Running,
        connected: Arc<Connected>,
        updates: Vec<Update>,
        options: Vec<BString>,
        progress: watch::Sender<Progress>,
    ) -> Result<Self, Unscanned> {
        let pushed = |update: &Update| {
            let (name, old) = (update.name.clone(), update.old);
            update.new.map(|new| PushedRef { name, old, new })
        };
        let refs = updates.iter().filter_map(pushed).collect();
        let objects = Arc::new(Pushed::new(Arc::clone(&connected), refs, options.clone()));
        match running.scan(objects, progress).await {
            Ok(Verdict::Clean(summary)) => {
                Ok(Self { connected, updates, options, summary: Some(summary) })
            }
            Ok(Verdict::Found(summary, refusal)) => Err(Unscanned::Found(summary, refusal)),
            Err(error) => Err(Unscanned::Failed(error)),
        }
    }

    /// A push that only deletes, and has no options, has nothing to scan; `None` if this is no such push.
    pub fn of_deletions(connected: Arc<Connected>, updates: Vec<Update>) -> Option<Self> {
        let deletes = updates.iter().all(|update| update.new.is_none());
        let options = Vec::new();
        (deletes && connected.is_empty()).then_some(Self {
            connected,
            updates,
            options,
            summary: None,
        })
    }

    pub fn summary(&self) -> Option<Summary> {
        self.summary
    }
}

/// A push that may go to the origin.
#[derive(Debug)]
pub struct Accepted {
    connected: Arc<Connected>,
    updates: Vec<Update>,
    options: Vec<BString>,
}

impl Accepted {
    /// Judges how refs move and what the new commits bring. Blocks.
    ///
    /// # Errors
    /// A damaged store. What policy refuses is the inner error, with the reason for each ref.
    pub fn judge(
        scanned: Scanned,
        policy: &Policy,
        repo: &RepoName,
        interrupt: &Interrupt,
    ) -> Result<Result<Self, Vec<Refusal>>, ConnectError> {
        let Scanned { connected, updates, options, .. } = scanned;
        let mut moves = Vec::new();
        for update in updates.iter().filter(|update| wants_moves(policy, repo, update)) {
            let (Some(old), Some(new)) = (&update.old, &update.new) else { continue };
            let is_branch = !update.name.is_below("refs/tags/");
            let forward = is_branch && connected.is_ancestor(old, new, interrupt)?;
            moves.push((update, if forward { Move::Forward } else { Move::Forced }));
        }
        let mut refusals = judge_moves(policy, repo, moves);
        if let Some(reason) = judge_content(policy, &connected, interrupt)? {
            let created = updates.iter().filter(|update| update.new.is_some());
            refusals
                .extend(created.map(|update| Refusal::new(update.name.as_bstr(), reason.clone())));
        }
        Ok(if refusals.is_empty() {
            Ok(Self { connected, updates, options })
        } else {
            Err(refusals)
        })
    }

    pub fn updates(&self) -> &[Update] {
        &self.updates
    }

    /// The push options that were scanned.
    pub fn options(&self) -> &[BString] {
        &self.options
    }

    /// Sends it to the origin: a pack of the scanned set, never the client's bytes.
    ///
    /// `order` must name this push's own updates and options; its order of the updates may differ.
    ///
    /// # Errors
    /// The gate could not make the pack; nothing was done at the origin.
    pub(crate) async fn deliver(
        self,
        opened: Opened,
        order: &Order,
        pool: &Pool,
        silence: std::time::Duration,
        tell: &dyn Tell,
    ) -> Result<Receipt, WritePackError> {
        let options =
            PackOptions { thin: !opened.offers("no-thin"), ofs_delta: opened.offers("ofs-delta") };
        let connected = Arc::clone(&self.connected);
        let pack: Option<WritePack> = order.sends_pack().then(|| -> WritePack {
            Box::new(move |out, interrupt| {
                write_objects(&connected, options, out, interrupt, &mut |_| {})?;
                Ok(())
            })
        });
        let answer = send(opened, order, pack, pool, silence, tell).await?;
        Ok(Receipt { connected: self.connected, updates: order.updates.clone(), answer })
    }
}

/// What the origin said of a push.
#[derive(Debug)]
pub struct Receipt {
    connected: Arc<Connected>,
    updates: Vec<Update>,
    answer: Answer,
}

impl Receipt {
    /// Each update with what the origin said of it.
    pub(crate) fn fates(&self) -> impl Iterator<Item = (&Update, &Fate)> {
        self.updates.iter().zip(&self.answer.fates)
    }

    pub(crate) fn answer(&self) -> &Answer {
        &self.answer
    }

    /// Takes into the store what the origin took, in one transaction. Blocks. `None` if that is nothing.
    ///
    /// # Errors
    /// The store can't; the next refresh brings what the origin has.
    pub fn commit(&self, store: &Store) -> Result<Option<Arc<Snapshot>>, CommitError> {
        let edits: Vec<_> = self
            .fates()
            // what the origin rewrote is not what was connected
            .filter(|(_, fate)| matches!(fate, Fate::Done(rewrites) if rewrites.is_empty()))
            .map(|(Update { name, old, new }, _)| RefEdit {
                name: name.clone(),
                old: *old,
                new: *new,
            })
            .collect();
        if edits.is_empty() {
            return Ok(None);
        }
        store.commit_push(&self.connected, &edits).map(Some)
    }
}
