//! What all snapshots of one store have in common.

use proto::ObjectFormat;

use crate::graph::Graph;

/// Knowledge that no change of refs makes wrong.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) graph: Graph,
}

impl Shared {
    pub(crate) fn new(format: ObjectFormat) -> Self {
        Self { graph: Graph::new(format) }
    }
}
