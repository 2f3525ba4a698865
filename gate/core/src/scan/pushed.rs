//! The new objects of a push, as the store has connected them.

use std::io::Write;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bstr::{BStr, BString, ByteSlice};
use gate_store::{ConnectError, Connected, Interrupt, IntroducedBy, KnownBases, ReadError, Reader};
use proto::{ObjectId, RefName};

use super::item::{At, Item, NewObjects, Stop};

/// Trees and blobs at paths in one push; a few trees can name millions.
const MAX_PATHS: usize = 2_000_000;
/// Up to so many objects are weighed, to tell a waiting client how much there is.
const WEIGHED: u64 = 20_000;
/// How many of the origin's commits are looked at for an old message.
const OLD_COMMITS: usize = 1_000;
/// How many of its commits have their trees looked at for an old content.
const OLD_TREES: usize = 4_000;

/// One ref that a push creates or moves.
#[derive(Clone, Debug)]
pub struct PushedRef {
    pub name: RefName,
    /// What the origin has there; `None` if the push creates it.
    pub old: Option<ObjectId>,
    pub new: ObjectId,
}

/// A connected push, to be scanned.
pub struct Pushed {
    connected: Arc<Connected>,
    refs: Vec<PushedRef>,
    options: Vec<BString>,
    bases: OnceLock<KnownBases>,
    reader: Mutex<Reader>,
}

impl Pushed {
    /// What `connected` holds that is new, the names of the refs it creates, and the push options.
    pub fn new(connected: Arc<Connected>, refs: Vec<PushedRef>, options: Vec<BString>) -> Self {
        let reader = Mutex::new(connected.reader());
        Self { connected, refs, options, bases: OnceLock::new(), reader }
    }

    fn bases(&self) -> Result<&KnownBases, Stop> {
        if let Some(bases) = self.bases.get() {
            return Ok(bases);
        }
        let replaced: Vec<ObjectId> = self.refs.iter().filter_map(|pushed| pushed.old).collect();
        let bases = self.connected.known_bases(&replaced, &Interrupt::default()).map_err(walk)?;
        Ok(self.bases.get_or_init(|| bases))
    }

    fn read<T>(
        &self,
        id: &ObjectId,
        read: impl FnOnce(&mut Reader) -> Result<T, ReadError>,
    ) -> Result<T, Stop> {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        read(&mut reader).map_err(|source| Stop::Object { id: *id, source: source.into() })
    }
}

impl std::fmt::Debug for Pushed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pushed").field("refs", &self.refs).finish_non_exhaustive()
    }
}

impl NewObjects for Pushed {
    fn bytes(&self) -> u64 {
        match self.connected.len() {
            0..=WEIGHED => self.connected.new_bytes().unwrap_or(0),
            _ => 0,
        }
    }

    fn each(
        &self,
        interrupt: &Interrupt,
        visit: &mut dyn FnMut(Item<'_>) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        for pushed in self.refs.iter().filter(|pushed| pushed.old.is_none()) {
            visit(Item::Ref { name: &pushed.name, target: pushed.new })?;
        }
        let target = self.refs.first().map(|pushed| pushed.new);
        for text in &self.options {
            visit(Item::Option { text: text.as_bstr(), target })?;
        }
        for id in self.connected.commits() {
            visit(Item::Commit { id: *id })?;
        }
        for id in self.connected.tags() {
            visit(Item::Tag { id: *id })?;
        }
        let mut stopped = Ok(());
        let walked = self.connected.blobs(MAX_PATHS, interrupt, &mut |seen| {
            let commit = match seen.by {
                IntroducedBy::Commit(id) => Some(id),
                IntroducedBy::Tag(_) | IntroducedBy::Ref => None,
            };
            stopped = visit(Item::Path { path: seen.path, commit });
            if stopped.is_ok() && seen.is_new {
                stopped = visit(Item::Blob { id: seen.id, path: seen.path, commit });
            }
            if stopped.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        stopped?;
        walked.map(|_| ()).map_err(walk)
    }

    fn size(&self, id: &ObjectId) -> Result<u64, Stop> {
        self.read(id, |reader| reader.header(id)).map(|(_, size)| size)
    }

    fn write(&self, id: &ObjectId, out: &mut dyn Write) -> Result<(), Stop> {
        self.read(id, |reader| reader.read_to(id, out)).map(|_| ())
    }

    fn is_object(&self, id: &ObjectId) -> bool {
        self.connected.packs().contains(id)
    }

    fn origin_has_path(&self, path: &BStr) -> Result<bool, Stop> {
        self.connected.has_known_path(self.bases()?, path).map_err(walk)
    }

    fn origin_blobs(
        &self,
        at: At<'_>,
        interrupt: &Interrupt,
        visit: &mut dyn FnMut(&BStr, &ObjectId) -> ControlFlow<()>,
    ) -> Result<(), Stop> {
        let bases = self.bases()?;
        let shown = match at {
            At::Path(path) => self.connected.known_blobs(bases, Some(path), interrupt, visit),
            At::Anywhere => self.connected.known_blobs(bases, None, interrupt, visit),
            At::Earlier(paths) => {
                self.connected.earlier_blobs(bases, paths, OLD_TREES, interrupt, visit)
            }
        };
        shown.map_err(walk)
    }

    fn origin_commits(
        &self,
        interrupt: &Interrupt,
        visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), Stop> {
        self.connected.known_commits(self.bases()?, OLD_COMMITS, interrupt, visit).map_err(walk)
    }
}

fn walk(error: ConnectError) -> Stop {
    match error {
        ConnectError::Interrupted(_) => Stop::Interrupted,
        error if error.is_senders_fault() => Stop::Limit { what: error.to_string() },
        error => Stop::Walk { source: error.into() },
    }
}
