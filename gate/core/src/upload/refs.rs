//! Lists a snapshot's refs in pieces, so that a repository of many refs is never one buffer.

use std::sync::Arc;

use bstr::{BStr, BString};
use gate_store::{RefEntry, Snapshot};
use proto::upload_pack::{LsRefs, advert};
use proto::{Head, Version, pktline};

use super::Conversation;
use crate::Error;

/// Bytes gathered before they are sent.
const PIECE: usize = 60 * 1024;

impl Conversation<'_> {
    /// Answers `ls-refs`.
    pub(super) async fn list_refs(
        &mut self,
        snapshot: &Arc<Snapshot>,
        request: &LsRefs,
    ) -> Result<(), Error> {
        let mut out = Vec::with_capacity(PIECE);
        let head = snapshot.head();
        let symref = match head {
            Some(Head::Symbolic(branch)) => Some(branch),
            Some(Head::Detached(_)) | None => None,
        };
        match (snapshot.head_target(), symref) {
            (Some(target), _) if request.matches(b"HEAD") => {
                request.line(&mut out, b"HEAD", &target, symref, None);
            }
            (None, Some(branch)) => request.unborn_head(&mut out, branch),
            _ => {}
        }
        let prefixes = covering(request.prefixes());
        for prefix in &prefixes {
            for entry in snapshot.refs().prefixed(prefix) {
                let RefEntry { name, target, peeled } = entry;
                let symref = snapshot.refs().symref(name);
                request.line(&mut out, name, &target, symref, peeled.as_ref());
                self.uploaded.refs += 1;
                if out.len() >= PIECE {
                    self.client.send(&out).await?;
                    out.clear();
                }
            }
        }
        pktline::flush(&mut out);
        self.client.send(&out).await
    }

    /// Sends the advertisement of v0 or v1.
    pub(super) async fn advertise_refs(
        &mut self,
        snapshot: &Arc<Snapshot>,
        stateless: bool,
    ) -> Result<(), Error> {
        let mut out = Vec::with_capacity(PIECE);
        if self.ground.session.version == Version::V1 {
            advert::V0::version_1(&mut out);
        }
        let id = self.ground.session.id.to_string();
        let head =
            advert::born(snapshot.head(), |branch| snapshot.refs().contains(branch.as_bytes()));
        let mut lines = advert::V0::new(super::server(snapshot.format(), &id), head, stateless);
        if let Some(target) = snapshot.head_target() {
            lines.line(&mut out, b"HEAD", &target, None);
        }
        for RefEntry { name, target, peeled } in snapshot.refs().iter() {
            lines.line(&mut out, name, &target, peeled.as_ref());
            self.uploaded.refs += 1;
            if out.len() >= PIECE {
                self.client.send(&out).await?;
                out.clear();
            }
        }
        lines.finish(&mut out, snapshot.shallow());
        self.client.send(&out).await
    }
}

/// The prefixes that no other covers, in order: listing them one after the other lists each ref once, and sorted.
fn covering(prefixes: Option<&[BString]>) -> Vec<&BStr> {
    let Some(prefixes) = prefixes else { return vec![BStr::new(b"")] };
    let mut sorted: Vec<&BStr> = prefixes.iter().map(BStr::new).collect();
    sorted.sort_unstable();
    let mut covering: Vec<&BStr> = Vec::new();
    for prefix in sorted {
        if !covering.last().is_some_and(|last| prefix.starts_with(last)) {
            covering.push(prefix);
        }
    }
    covering
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_within_another_lists_nothing_twice() {
        let prefixes: Vec<BString> =
            ["refs/tags/", "refs/heads/main", "HEAD", "refs/heads/", "refs/tags/"]
                .map(Into::into)
                .to_vec();
        assert_eq!(covering(Some(&prefixes)), ["HEAD", "refs/heads/", "refs/tags/"]);
        assert_eq!(covering(None), [""]);
    }
}
