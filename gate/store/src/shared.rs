//! What all snapshots of one store have in common.

use std::path::Path;
use std::sync::{Arc, Mutex};

use proto::ObjectFormat;

use crate::FileError;
use crate::graph::Graph;
use crate::kept::Kept;

/// Knowledge that no change of refs makes wrong.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) graph: Graph,
    pub(crate) kept: Arc<Kept>,
    /// Held by the one who consolidates: the generation before which another look for unreachable objects is too soon.
    pub(crate) consolidating: Mutex<u64>,
}

impl Shared {
    pub(crate) fn open(dir: &Path, format: ObjectFormat) -> Result<Self, FileError> {
        Ok(Self {
            graph: Graph::new(format),
            kept: Arc::new(Kept::open(dir, format)?),
            consolidating: Mutex::new(0),
        })
    }
}
