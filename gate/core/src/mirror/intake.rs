//! What is new comes in: the pack streams from the origin into a quarantine, and every tip is proved whole.

use std::collections::HashSet;
use std::sync::Arc;

use gate_store::{
    Check, ConnectError, Connected, IndexError, IndexLimits, IndexProgress, RefTable, Snapshot,
    Store,
};
use proto::ObjectId;
use proto::fetch_pack::FetchRequest;
use tokio::sync::watch;

use super::conversation::Conversation;
use super::{Inner, RefreshError};
use crate::blocking;
use crate::dial::{Error, ErrorKind, Words};

/// Most haves told to the origin: old values of what changed, HEAD, branches, then the rest.
const MAX_HAVES: usize = 1024;

/// Fetches `wants` and proves them whole. `shallow` gains the origin's boundary.
pub(super) async fn take(
    mirror: &Arc<Inner>,
    store: &Arc<Store>,
    snapshot: &Arc<Snapshot>,
    conversation: &mut Conversation,
    refs: &RefTable,
    wants: Vec<ObjectId>,
    shallow: &mut Vec<ObjectId>,
) -> Result<Connected, RefreshError> {
    let request =
        FetchRequest { haves: haves(snapshot, refs), shallow: snapshot.shallow().to_vec(), wants };
    let (inlet, mut source) = blocking::inward();
    let words = mirror.progress.clone();
    let (store, base) = (Arc::clone(store), Arc::clone(snapshot));
    let index = blocking::run(&mirror.context.fetch, move |interrupt| {
        let mut quarantine = store.quarantine(&base).map_err(RefreshError::gate)?;
        let indexed = quarantine.index(
            &mut source,
            &IndexLimits::NONE,
            Check::Origin,
            interrupt,
            &mut |progress| tell(&words, progress),
        );
        match indexed {
            Ok(_) if source.take_rest().is_empty() => Ok(quarantine),
            Ok(_) => Err(bad_pack("bytes follow the pack").into()),
            Err(error) => Err(index_failed(error)),
        }
    });
    let stall = mirror.context.limits.refresh.duration();
    let mut received = Received::new(&mirror.progress);
    let feed = conversation.fetch(&request, inlet, stall, |text, bytes| received.add(text, bytes));
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

/// What to tell the origin that it need not send: tips it has just confirmed or had at the last refresh.
fn haves(snapshot: &Snapshot, refs: &RefTable) -> Vec<ObjectId> {
    let known = snapshot.refs();
    let changed = known.diff(refs).filter_map(|change| change.old);
    let heads = known.prefixed(b"refs/heads/").map(|entry| entry.target);
    let rest = known.iter().filter(|entry| !entry.name.starts_with(b"refs/heads/"));
    let all =
        changed.chain(snapshot.head_target()).chain(heads).chain(rest.map(|entry| entry.target));
    let mut seen = HashSet::new();
    all.filter(|id| seen.insert(*id)).take(MAX_HAVES).collect()
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

/// Tells how far the deltas are; what arrives is counted where it arrives.
fn tell(words: &watch::Sender<String>, progress: IndexProgress) {
    let IndexProgress::Resolving { deltas, of } = progress else { return };
    if deltas % TELL_EVERY_DELTAS == 0 {
        words.send_replace(format!("mirroring: {deltas} of {of} deltas resolved"));
    }
}

/// Counts what arrives and passes the origin's own progress lines on.
struct Received<'a> {
    words: &'a watch::Sender<String>,
    bytes: usize,
    told: usize,
}

/// Bytes, and deltas, after which the count is told anew.
const TELL_EVERY: usize = 1 << 20;
const TELL_EVERY_DELTAS: u32 = 4096;

impl<'a> Received<'a> {
    fn new(words: &'a watch::Sender<String>) -> Self {
        Self { words, bytes: 0, told: 0 }
    }

    fn add(&mut self, text: &[u8], bytes: usize) {
        self.bytes += bytes;
        if self.bytes >= self.told + TELL_EVERY {
            self.told = self.bytes;
            let mib = self.bytes >> 20;
            self.words.send_replace(format!("mirroring: {mib} MiB received"));
        } else if bytes == 0 {
            let line = text.rsplit(|b| matches!(b, b'\r' | b'\n')).find(|line| !line.is_empty());
            if let Some(line) = line {
                self.words.send_replace(format!("mirroring: {}", Words::clean(line)));
            }
        }
    }
}
