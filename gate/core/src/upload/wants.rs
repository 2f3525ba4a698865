//! Judges what a client wants before anything is done for it.

use std::sync::Arc;

use gate_store::{Deepen, Deepened, Filter, Interrupt, PackRequest, Snapshot, WalkError};
use proto::ObjectId;
use proto::upload_pack::{Deepen as Asked, Fetch, WantRef};

use super::Ground;
use crate::{Error, blocking};

type WantedRefs = Vec<(WantRef, ObjectId)>;

/// A fetch whose wants may be had.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) request: PackRequest,
    /// What the refs wanted by name stand at.
    pub(super) wanted_refs: WantedRefs,
}

impl Ground<'_> {
    /// Checks that every want is a confirmed tip or reachable from one, and finds the new shallow boundary.
    ///
    /// `unasked` says that a client of v2 hears of the origin's own boundary without asking for a depth.
    pub(super) async fn judge(
        &self,
        snapshot: &Arc<Snapshot>,
        fetch: &Fetch,
        unasked: bool,
    ) -> Result<Judged, Error> {
        let (mut wants, wanted_refs) = self.wanted(snapshot, fetch)?;
        let filter = match &fetch.filter {
            Some(spec) => Some(Filter::parse(spec).map_err(|e| Error::client(e.to_string()))?),
            None => None,
        };
        let deepen = match &fetch.deepen {
            Some(asked) => Some(resolve(snapshot, asked)?),
            None if unasked && !snapshot.shallow().is_empty() => Some(Deepen::Infinite),
            None => None,
        };
        let (at, shallow) = (Arc::clone(snapshot), fetch.shallow.clone());
        let judged = blocking::run(&self.context.pools.cpu, move |interrupt| {
            if let Some(want) = first_unreachable(&at, &wants, interrupt)? {
                return Ok(Err(want));
            }
            let deepened = match deepen {
                Some(deepen) => {
                    Some(gate_store::deepen(&at, &wants, &shallow, &deepen, interrupt)?)
                }
                None => None,
            };
            wants.sort_unstable();
            wants.dedup();
            Ok(Ok((wants, deepened)))
        });
        let (wants, deepened) = match judged.await {
            Ok(Ok(judged)) => judged,
            Ok(Err(want)) => return Err(Error::client(format!("upload-pack: not our ref {want}"))),
            Err(gate_store::DeepenError::Nothing) => {
                return Err(Error::client(gate_store::DeepenError::Nothing.to_string()));
            }
            Err(error @ gate_store::DeepenError::Walk(_)) => return Err(self.internal(error)),
        };
        let request = PackRequest {
            wants,
            common: Vec::new(),
            thin: fetch.thin_pack,
            ofs_delta: fetch.ofs_delta,
            include_tag: fetch.include_tag,
            filter,
            client_shallow: fetch.shallow.clone(),
            deepened,
        };
        Ok(Judged { request, wanted_refs })
    }

    /// All wants by id, and those that came by name.
    fn wanted(
        &self,
        snapshot: &Snapshot,
        fetch: &Fetch,
    ) -> Result<(Vec<ObjectId>, WantedRefs), Error> {
        let mut wants = fetch.wants.clone();
        let mut by_name = Vec::with_capacity(fetch.want_refs.len());
        for want in &fetch.want_refs {
            let target = match want {
                // judged below with the other ids
                WantRef::Id(id) => *id,
                WantRef::Name(name) => {
                    let target = match name.as_bytes() {
                        b"HEAD" => snapshot.head_target(),
                        name => snapshot.refs().get(name).map(|entry| entry.target),
                    };
                    target.ok_or_else(|| Error::client(format!("unknown ref {name}")))?
                }
            };
            wants.push(target);
            by_name.push((want.clone(), target));
        }
        Ok((wants, by_name))
    }
}

fn first_unreachable(
    snapshot: &Snapshot,
    wants: &[ObjectId],
    interrupt: &Interrupt,
) -> Result<Option<ObjectId>, WalkError> {
    for want in wants {
        if !snapshot.reachable(want, interrupt)? {
            return Ok(Some(*want));
        }
    }
    Ok(None)
}

/// Names become ids: `deepen-not` takes what `git rev-parse` would find for it, if it is but one ref.
fn resolve(snapshot: &Snapshot, asked: &Asked) -> Result<Deepen, Error> {
    Ok(match asked {
        Asked::Depth(Asked::INFINITE) => Deepen::Infinite,
        Asked::Depth(depth) => Deepen::Depth(*depth),
        Asked::Relative(depth) => Deepen::Relative(*depth),
        Asked::Revs { since, not } => Deepen::RevList {
            since: *since,
            not: not.iter().map(|name| expand(snapshot, name)).collect::<Result<_, _>>()?,
        },
    })
}

/// git's `expand_ref`: the rules of gitrevisions(7), and no ambiguity.
fn expand(snapshot: &Snapshot, name: &[u8]) -> Result<ObjectId, Error> {
    let mut found = None;
    for prefix in ["", "refs/", "refs/tags/", "refs/heads/", "refs/remotes/"] {
        let full = [prefix.as_bytes(), name].concat();
        let target = match &full[..] {
            b"HEAD" => snapshot.head_target(),
            full => snapshot.refs().get(full).map(|entry| entry.target),
        };
        if let Some(target) = target
            && found.replace(target).is_some()
        {
            return Err(unusable("ambiguous deepen-not:", name));
        }
    }
    found.ok_or_else(|| unusable("deepen-not is not a ref:", name))
}

fn unusable(what: &str, name: &[u8]) -> Error {
    Error::client(format!("upload-pack: {what} {}", name.escape_ascii()))
}

/// What a client is told of the boundary's move.
pub(super) fn boundary(deepened: Option<&Deepened>) -> (&[ObjectId], &[ObjectId]) {
    deepened.map_or((&[], &[]), |deepened| (&deepened.shallow, &deepened.unshallow))
}
