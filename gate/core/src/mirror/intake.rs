//! What is new comes in: the pack streams from the origin into a quarantine, and every tip is proved whole.

use std::collections::HashSet;
use std::sync::Arc;

use gate_store::{
    Check, ConnectError, Connected, IndexError, IndexLimits, RefTable, Snapshot, Store,
};
use proto::ObjectId;
use proto::fetch_pack::FetchRequest;

use super::conversation::Conversation;
use super::{Inner, RefreshError, progress};
use crate::blocking;
use crate::dial::{Error, ErrorKind};

/// Most haves told to the origin: old values of what changed, HEAD, branches, then the rest.
const MAX_HAVES: usize = 1024;

/// What to ask the origin for.
#[derive(Debug)]
pub(super) struct Wanted {
    pub tips: Vec<ObjectId>,
    /// Whether history behind the mirror's boundary is wanted too, as far as the origin has it by now.
    pub unshallow: bool,
}

/// Fetches what is `wanted` and proves it whole. `shallow` is the boundary known so far and becomes the origin's.
pub(super) async fn take(
    mirror: &Arc<Inner>,
    store: &Arc<Store>,
    snapshot: &Arc<Snapshot>,
    conversation: &mut Conversation,
    refs: &RefTable,
    wanted: Wanted,
    shallow: &mut Vec<ObjectId>,
) -> Result<Connected, RefreshError> {
    // for a deepened pack the origin must know all that is here, or it would send the rest again each time
    let most = if wanted.unshallow { usize::MAX } else { MAX_HAVES };
    let request = FetchRequest {
        haves: haves(snapshot, refs, most),
        shallow: boundary(snapshot),
        wants: wanted.tips,
        unshallow: wanted.unshallow,
    };
    // before the origin is asked: a pack that nobody takes holds back all that shares its connection
    let permit = mirror.context.fetch.permit().await;
    let (inlet, mut source) = blocking::inward();
    let teller = mirror.progress.clone();
    let (store, base) = (Arc::clone(store), Arc::clone(snapshot));
    let index = blocking::run_with(permit, move |interrupt| {
        let mut quarantine = store.quarantine(&base).map_err(RefreshError::gate)?;
        let indexed = quarantine.index(
            &mut source,
            &IndexLimits::NONE,
            Check::Origin,
            interrupt,
            &mut |progress| progress::indexed(&teller, progress),
        );
        match indexed {
            Ok(_) if source.take_rest().is_empty() => Ok(quarantine),
            Ok(_) => Err(bad_pack("bytes follow the pack").into()),
            Err(error) => Err(index_failed(error)),
        }
    });
    let stall = mirror.context.limits.refresh.duration();
    let feed = conversation.fetch(&request, inlet, stall, |text, bytes| match bytes {
        0 => progress::said(&mirror.progress, text),
        bytes => progress::received(&mirror.progress, bytes),
    });
    let (fed, indexed) = tokio::join!(feed, index);
    let boundary = match (fed, &indexed) {
        (Ok(boundary), _) => boundary,
        // the reader left first, so that its own reason is the cause
        (Err(error), Err(_)) if error.kind() == ErrorKind::BadPack => {
            return Err(indexed.err().unwrap_or_else(|| error.into()));
        }
        (Err(error), Ok(_)) if error.kind() == ErrorKind::BadPack => {
            return Err(bad_pack("bytes follow the pack").into());
        }
        (Err(error), _) => return Err(error.into()),
    };
    let quarantine = indexed?;
    shallow.extend(boundary.shallow);
    shallow.retain(|id| !boundary.unshallow.contains(id));
    shallow.sort_unstable();
    shallow.dedup();
    let (tips, boundary) = (request.wants, shallow.clone());
    let connected = blocking::run(&mirror.context.cpu, move |interrupt| {
        quarantine.connect(&tips, &boundary, Check::Origin, interrupt)
    });
    connected.await.map_err(connect_failed)
}

/// The commits without parents here. Consolidation drops such as no ref reaches any more: of these nothing may be said,
/// or the origin would build upon them.
pub(super) fn boundary(snapshot: &Snapshot) -> Vec<ObjectId> {
    let held = |id: &ObjectId| snapshot.packs().contains(id);
    snapshot.shallow().iter().copied().filter(held).collect()
}

/// What to tell the origin that it need not send: tips it has just confirmed or had at the last refresh.
fn haves(snapshot: &Snapshot, refs: &RefTable, most: usize) -> Vec<ObjectId> {
    let known = snapshot.refs();
    let changed = known.diff(refs).filter_map(|change| change.old);
    let heads = known.prefixed(b"refs/heads/").map(|entry| entry.target);
    let rest = known.iter().filter(|entry| !entry.name.starts_with(b"refs/heads/"));
    let all =
        changed.chain(snapshot.head_target()).chain(heads).chain(rest.map(|entry| entry.target));
    let mut seen = HashSet::new();
    all.filter(|id| seen.insert(*id)).take(most).collect()
}

fn bad_pack(words: impl AsRef<[u8]>) -> Error {
    Error::new(ErrorKind::BadPack, words)
}

fn index_failed(error: IndexError) -> RefreshError {
    if error.is_senders_fault() {
        bad_pack(error.to_string()).with_source(error).into()
    } else {
        RefreshError::gate(error)
    }
}

fn connect_failed(error: ConnectError) -> RefreshError {
    if error.is_senders_fault() {
        bad_pack(error.to_string()).with_source(error).into()
    } else {
        RefreshError::gate(error)
    }
}
