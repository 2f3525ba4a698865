//! From a fetch request to the pack that answers it.

use std::io::Write;
use std::sync::Arc;

use proto::ObjectId;

use crate::count::{Counted, Question, count};
use crate::walk::Commits;
use crate::write::{Dialect, Source, write_pack};
use crate::{Deepened, Filter, Interrupt, Progress, Snapshot, WriteError, Written};

/// What a client asked for, its words understood and its wants judged.
#[derive(Clone, Debug, Default)]
pub struct PackRequest {
    /// Every one [reachable](Snapshot::reachable).
    pub wants: Vec<ObjectId>,
    /// What the negotiation found common.
    pub common: Vec<ObjectId>,
    /// Deltas may build upon what is common.
    pub thin: bool,
    /// Deltas may name their base by its distance.
    pub ofs_delta: bool,
    /// Annotated tags come along when what they point to is sent.
    pub include_tag: bool,
    pub filter: Option<Filter>,
    /// Commits whose parents the client lacks, as it told.
    pub client_shallow: Vec<ObjectId>,
    /// What [`deepen`](crate::deepen) answered, if it was asked.
    pub deepened: Option<Deepened>,
}

/// A pack that is ready to be written.
#[derive(Debug)]
pub struct PackPlan {
    snapshot: Arc<Snapshot>,
    counted: Counted,
    dialect: Dialect,
}

/// Finds the objects that answer a request. `progress` hears [`Progress::Counting`].
///
/// # Errors
/// A want that is not in the store, a damaged store, or the interrupt.
pub fn plan(
    snapshot: &Arc<Snapshot>,
    request: PackRequest,
    interrupt: &Interrupt,
    progress: &mut dyn FnMut(Progress),
) -> Result<PackPlan, WriteError> {
    let asked = Asked::new(snapshot, request);
    let mut commits =
        Commits::new(snapshot.packs(), snapshot.shared.graph.arena(), &asked.boundary);
    let counted = count(&mut commits, &asked.question(), interrupt, &mut |objects| {
        progress(Progress::Counting { objects });
    })?;
    Ok(PackPlan { snapshot: Arc::clone(snapshot), counted, dialect: asked.dialect })
}

impl PackPlan {
    /// How many objects the pack holds.
    pub fn objects(&self) -> u64 {
        self.counted.send.len()
    }

    /// Writes the pack, trailer included. `progress` hears [`Progress::Writing`]; a writer that blocks holds it up.
    pub fn write(
        &self,
        out: &mut dyn Write,
        interrupt: &Interrupt,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Written, WriteError> {
        let source = Source {
            packs: self.snapshot.packs(),
            counted: &self.counted,
            base: None,
            dialect: self.dialect,
        };
        write_pack(source, out, None, interrupt, progress)
    }
}

/// A request in the terms of the count.
struct Asked {
    wants: Vec<ObjectId>,
    common: Vec<ObjectId>,
    /// Where history ends: for the origin, for the client, and by what was just agreed.
    boundary: Vec<ObjectId>,
    edges: Vec<ObjectId>,
    filter: Option<Filter>,
    tags: Vec<(ObjectId, ObjectId)>,
    dialect: Dialect,
}

impl Asked {
    fn new(snapshot: &Snapshot, request: PackRequest) -> Self {
        let deepened = request.deepened.unwrap_or_default();
        let mut wants = request.wants;
        wants.extend(deepened.parents);
        wants.sort_unstable();
        wants.dedup();
        let mut boundary = request.client_shallow;
        boundary.retain(|id| snapshot.packs().contains(id));
        boundary.extend(deepened.shallow);
        boundary.extend_from_slice(snapshot.shallow());
        boundary.sort_unstable();
        boundary.dedup();
        let tags = if request.include_tag {
            let tags = snapshot.refs().prefixed(b"refs/tags/");
            tags.filter_map(|tag| tag.peeled.map(|peeled| (tag.target, peeled))).collect()
        } else {
            Vec::new()
        };
        // Who filters lacks objects below what it has: nothing there may be built upon.
        let thin = request.thin && request.filter.is_none();
        let dialect = Dialect { ofs_delta: request.ofs_delta, thin };
        let (common, filter) = (request.common, request.filter);
        Self { wants, common, boundary, edges: deepened.unshallow, filter, tags, dialect }
    }

    fn question(&self) -> Question<'_> {
        Question {
            wants: &self.wants,
            common: &self.common,
            edges: &self.edges,
            filter: self.filter,
            tags: &self.tags,
        }
    }
}
