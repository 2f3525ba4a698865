//! Wants and haves by kind, with annotated tags followed.

use proto::ObjectId;

use crate::graph::Nr;
use crate::walk::{Commits, WalkError};
use crate::{Kind, Location};

/// What a list of ids comes down to.
#[derive(Debug, Default)]
pub(super) struct Tips {
    pub(super) commits: Vec<Nr>,
    pub(super) trees: Vec<Location>,
    pub(super) blobs: Vec<Location>,
    /// Every tag on the way.
    pub(super) tags: Vec<Location>,
}

impl Tips {
    pub(super) fn of(commits: &mut Commits, ids: &[ObjectId]) -> Result<Self, WalkError> {
        let mut tips = Self::default();
        for id in ids {
            let mut tags = Vec::new();
            let (id, kind) = commits.peel(id, |tag| tags.push(*tag))?;
            for tag in tags {
                tips.tags.push(super::locate(commits, &tag)?);
            }
            match kind {
                Kind::Commit => tips.commits.push(commits.number(&id)),
                Kind::Tree => tips.trees.push(super::locate(commits, &id)?),
                Kind::Blob => tips.blobs.push(super::locate(commits, &id)?),
                Kind::Tag => {}
            }
        }
        tips.commits.sort_unstable();
        tips.commits.dedup();
        Ok(tips)
    }
}
