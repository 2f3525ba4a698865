//! One refresh: ask for the refs, and if they differ take in what is new, in one transaction.

use std::sync::Arc;
use std::time::Duration;

use gate_config::ResolvedRepo;
use gate_store::{CommitError, Connected, RefTable, Snapshot, Store};
use proto::fetch_pack::Advertisement;
use proto::{Head, ObjectId, Service, Version};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{debug, info, warn};

use super::conversation::Conversation;
use super::listing::{Comparison, Listing};
use super::{Inner, RefreshError, holds_anything, intake, lock, progress};
use crate::blocking;
use crate::dial::{Connection, Error, ErrorKind};

/// How often the refs are listed anew because they moved while their objects were fetched.
const ATTEMPTS: usize = 3;

/// What the origin listed, and the conversation in which it may be asked for the objects.
struct Answer {
    conversation: Conversation,
    listing: Listing,
    known: Arc<RefTable>,
}

impl Inner {
    /// Brings the store up to the origin's state.
    pub(super) async fn update(self: &Arc<Self>) -> Result<Arc<Snapshot>, RefreshError> {
        let started = Instant::now();
        let outcome = self.try_update().await;
        self.progress.send_if_modified(|progress| progress.take().is_some());
        let took = started.elapsed().as_millis();
        match &outcome {
            Ok(snapshot) => debug!(refs = snapshot.refs().len(), took_ms = took, "refreshed"),
            Err(error) => {
                lock(&self.manners).forget();
                let chain = crate::Error::from(error.clone()).chain();
                warn!(
                    kind = error.kind().as_str(),
                    error = chain,
                    took_ms = took,
                    "refresh failed"
                );
            }
        }
        outcome
    }

    async fn try_update(self: &Arc<Self>) -> Result<Arc<Snapshot>, RefreshError> {
        let mut store = self.open_store().await?;
        let (limit, patience) = self.patience(store.as_deref());
        let (mut attempt, mut before) = (1, None);
        loop {
            let deadline = Instant::now() + patience;
            let answer = timeout_at(deadline, self.list(store.as_deref())).await;
            let answer = answer.map_err(|_| Error::timed_out(limit, patience))??;
            let format = answer.conversation.format();
            let current = match store {
                Some(store) if store.format() == format => store,
                old => self.make_store(old, format).await?,
            };
            store = Some(Arc::clone(&current));
            // a push that was committed meanwhile is newer than the list
            let overtaken =
                !Arc::ptr_eq(current.snapshot().refs(), &answer.known) && !answer.known.is_empty();
            // kept where it may be asked for: whether what failed twice was a race
            let listed = (attempt > 1).then(|| answer.listing.table.clone());
            let outcome =
                if overtaken { Err(moved()) } else { self.take_in(&current, answer).await };
            match outcome {
                Err(error) if attempt < ATTEMPTS && may_be_a_race(&error) => {
                    debug!(%error, attempt, "the origin's refs moved: listing them again");
                    (attempt, before) = (attempt + 1, listed);
                }
                Err(error) if listed.is_some() && listed == before => return Err(error),
                Err(error) if may_be_a_race(&error) && error.kind() != ErrorKind::BadPack => {
                    return Err(Error::new(ErrorKind::Moved, error.words())
                        .with_source(error)
                        .into());
                }
                outcome => return outcome,
            }
        }
    }

    /// How long the origin may take to list its refs; a first mirror's limit counts where it is the shorter one.
    fn patience(&self, store: Option<&Store>) -> (&'static str, Duration) {
        let limits = &self.context.limits;
        let (refresh, first) = (limits.refresh.duration(), limits.first_mirror.duration());
        if first <= refresh && !store.is_some_and(holds_anything) {
            ("first_mirror", first)
        } else {
            ("refresh", refresh)
        }
    }

    /// Lists the refs. The repository is named, and the origin asked, after all who share the answer have come.
    async fn list(self: &Arc<Self>, store: Option<&Store>) -> Result<Answer, Error> {
        self.flights.depart();
        let rule = Arc::clone(&lock(&self.rule));
        let assumed = lock(&self.manners).assume(&rule);
        let is_assumed = assumed.is_some();
        let link = self.dial(&rule).await?;
        let error = match self.ask(link, store, assumed).await {
            // it wants to be asked otherwise, or a connection that was kept had died without a sign
            Err(error) if is_assumed || error.kind() == ErrorKind::Lost => {
                debug!(%error, "asking the origin anew");
                error
            }
            outcome => {
                if is_assumed {
                    lock(&self.manners).hit();
                }
                return outcome;
            }
        };
        lock(&self.manners).forget();
        // told at once: the deadline may come before the second answer
        let was_unheard = matches!(error.kind(), ErrorKind::TimedOut { .. });
        if was_unheard {
            lock(&self.manners).missed();
        }
        let link = self.dial(&rule).await?;
        let answer = self.ask(link, store, None).await?;
        // one that fails in the same way was not misunderstood
        if is_assumed && !was_unheard {
            lock(&self.manners).missed();
        }
        Ok(answer)
    }

    async fn dial(&self, rule: &ResolvedRepo) -> Result<Connection, Error> {
        self.context.dial.dial(rule, Service::UploadPack, Version::V2).await
    }

    /// Asks over `link`, in the first breath if it is `assumed` how the origin wants to be asked.
    async fn ask(
        &self,
        link: Connection,
        store: Option<&Store>,
        assumed: Option<Arc<Advertisement>>,
    ) -> Result<Answer, Error> {
        let mut conversation = Conversation::begin(link, assumed).await?;
        let known = match store {
            Some(store) if store.format() == conversation.format() => {
                Arc::clone(store.snapshot().refs())
            }
            _ => Arc::new(RefTable::empty(conversation.format())),
        };
        let mut comparison = Comparison::new(Arc::clone(&known), conversation.tells_symrefs());
        let patience = self.context.limits.connect.duration();
        conversation.list(patience, |listed| comparison.add(listed)).await?;
        let listing = comparison
            .finish()
            .map_err(|error| Error::new(ErrorKind::Garbage, error.to_string()))?;
        lock(&self.manners).heard(conversation.manners());
        Ok(Answer { conversation, listing, known })
    }

    /// Says good-bye in the background.
    fn close(&self, conversation: Conversation) {
        tokio::spawn(timeout(self.context.limits.connect.duration(), conversation.close()));
    }

    /// Takes in what was listed and answers the state that results.
    async fn take_in(
        self: &Arc<Self>,
        store: &Arc<Store>,
        answer: Answer,
    ) -> Result<Arc<Snapshot>, RefreshError> {
        let Answer { mut conversation, listing, .. } = answer;
        let snapshot = store.snapshot();
        let outcome = self.commit(store, &snapshot, &mut conversation, listing).await;
        if outcome.is_ok() {
            self.close(conversation);
        }
        outcome
    }

    async fn commit(
        self: &Arc<Self>,
        store: &Arc<Store>,
        snapshot: &Arc<Snapshot>,
        conversation: &mut Conversation,
        listing: Listing,
    ) -> Result<Arc<Snapshot>, RefreshError> {
        let Listing { table, head } = listing;
        let same = table.is_none() && head.as_ref() == snapshot.head();
        let Some(boundary) = Boundary::look(snapshot, conversation, same) else {
            return Ok(store.snapshot());
        };
        let refs = table.unwrap_or_else(|| RefTable::clone(snapshot.refs()));
        let wants = match boundary {
            Boundary::Ask => all_tips(&refs, head.as_ref()),
            Boundary::Told(_) => wants(snapshot, &refs, head.as_ref()),
        };
        let mut shallow = match &boundary {
            Boundary::Ask => intake::boundary(snapshot),
            Boundary::Told(shallow) => shallow.clone(),
        };
        let connected = if wants.is_empty() {
            None
        } else {
            let unshallow = matches!(boundary, Boundary::Ask);
            let taken = intake::take(
                self,
                store,
                snapshot,
                conversation,
                &refs,
                intake::Wanted { tips: wants, unshallow },
                &mut shallow,
            );
            let limits = &self.context.limits;
            let taken = progress::logged(&self.progress, limits.keepalive.duration(), taken);
            let limit = limits.fetch.duration();
            let taken = timeout(limit, taken).await;
            Some(taken.map_err(|_| Error::timed_out("fetch", limit))??)
        };
        if same
            && *shallow == *snapshot.shallow()
            && connected.as_ref().is_none_or(Connected::is_empty)
        {
            return Ok(store.snapshot());
        }
        shallow.sort_unstable();
        shallow.dedup();
        let store = Arc::clone(store);
        let fetched = connected.is_some();
        let committed = blocking::run(&self.context.cpu, move |_| {
            // the list was complete, so that an empty one is the truth
            store.commit_mirror(connected.as_ref(), refs, head, &shallow, true)
        });
        let snapshot = committed.await.map_err(|error| match error {
            CommitError::Moved => moved(),
            error => RefreshError::gate(error),
        })?;
        info!(refs = snapshot.refs().len(), fetched, "mirror updated");
        self.tidy();
        Ok(snapshot)
    }
}

/// How the origin's boundary is found out.
enum Boundary {
    /// Only a fetch tells it; so does every refresh of a mirror that has one.
    Ask,
    /// It is this one, or there was none.
    Told(Vec<ObjectId>),
}

impl Boundary {
    /// `None` if there is nothing to be done: the refs are the `same`, and the boundary too.
    fn look(snapshot: &Snapshot, conversation: &Conversation, same: bool) -> Option<Self> {
        let known = intake::boundary(snapshot);
        let Some(told) = conversation.advertised_shallow() else {
            let asks = !known.is_empty() && conversation.deepens();
            return match (asks, same) {
                (true, _) => Some(Self::Ask),
                (false, false) => Some(Self::Told(known)),
                (false, true) => None,
            };
        };
        // the origin tells commits as well that no ref reaches
        let mut told = told.to_vec();
        told.sort_unstable();
        told.dedup();
        let moved_down = known.iter().any(|id| told.binary_search(id).is_err());
        let is_known = |id: &ObjectId| known.binary_search(id).is_ok();
        let moved_up = told.iter().any(|id| !is_known(id) && snapshot.packs().contains(id));
        match (moved_down && conversation.deepens(), same && !moved_up) {
            (true, _) => Some(Self::Ask),
            (false, true) => None,
            (false, false) => Some(Self::Told(told)),
        }
    }
}

/// What every ref, and a detached HEAD, points to.
fn all_tips(refs: &RefTable, head: Option<&Head>) -> Vec<ObjectId> {
    let detached = match head {
        Some(Head::Detached(id)) => Some(*id),
        Some(Head::Symbolic(_)) | None => None,
    };
    let mut tips: Vec<_> = refs.iter().map(|entry| entry.target).chain(detached).collect();
    tips.sort_unstable();
    tips.dedup();
    tips
}

/// The tips that the store lacks. One that it holds is whole, since a store is closed.
fn wants(snapshot: &Snapshot, refs: &RefTable, head: Option<&Head>) -> Vec<ObjectId> {
    let changed = snapshot.refs().diff(refs).filter_map(|change| change.new);
    let detached = head.and_then(|head| match head {
        Head::Detached(id) => Some(*id),
        Head::Symbolic(_) => None,
    });
    let mut wants: Vec<_> =
        changed.chain(detached).filter(|id| !snapshot.packs().contains(id)).collect();
    wants.sort_unstable();
    wants.dedup();
    wants
}

/// The refs moved while they were taken in.
fn moved() -> RefreshError {
    Error::new(ErrorKind::Moved, "").into()
}

/// A ref that moved between list and fetch shows as a want the origin does not know, or as a pack that lacks it.
fn may_be_a_race(error: &RefreshError) -> bool {
    match error.kind() {
        ErrorKind::BadPack | ErrorKind::Moved => true,
        ErrorKind::Refused | ErrorKind::UnknownRepository => error.words().contains("not our ref"),
        _ => false,
    }
}
