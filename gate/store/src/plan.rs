//! From a fetch request to the pack that answers it.

mod answer;
mod asked;
mod choose;
mod generate;

use std::io::Write;
use std::sync::Arc;

use proto::ObjectId;

use crate::{Deepened, Filter, Interrupt, Progress, Snapshot, WriteError, Written};

use answer::Answer;
use asked::Asked;

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
    asked: Arc<Asked>,
    answer: Answer,
}

/// Decides how a request is answered: by a pack that lies there, by one that is being made for another, or by one made
/// for it alone. Only in the last case its objects are counted here, and `progress` hears [`Progress::Counting`].
///
/// # Errors
/// A want that is not in the store, a damaged store, or the interrupt.
pub fn plan(
    snapshot: &Arc<Snapshot>,
    request: PackRequest,
    interrupt: &Interrupt,
    progress: &mut dyn FnMut(Progress),
) -> Result<PackPlan, WriteError> {
    let asked = Arc::new(Asked::new(snapshot, request));
    let answer = choose::choose(snapshot, &asked, interrupt, progress)?;
    Ok(PackPlan { snapshot: Arc::clone(snapshot), asked, answer })
}

impl PackPlan {
    /// How many objects the pack holds; `None` while that is still being counted for a pack that others wait for, too.
    pub fn objects(&self) -> Option<u64> {
        self.answer.objects()
    }

    /// Writes the pack, trailer included. `progress` hears [`Progress::Writing`] (and [`Progress::Counting`] before that
    /// where [`objects`](Self::objects) is `None`); a writer that blocks holds up nobody else.
    pub fn write(
        &self,
        out: &mut dyn Write,
        interrupt: &Interrupt,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Written, WriteError> {
        self.answer.write(&self.snapshot, &self.asked, out, interrupt, progress)
    }
}
