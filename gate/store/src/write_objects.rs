//! The pack that goes to the origin: exactly the objects that were proved new, whatever the client sent.

use std::io::Write;

use crate::count::{Counted, Question, count};
use crate::walk::Commits;
use crate::write::{Dialect, Source, write_pack};
use crate::{Connected, Interrupt, Progress, WriteError, Written};

/// What an origin's receive-pack understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackOptions {
    /// Deltas may build upon objects that the refs of the snapshot reach.
    pub thin: bool,
    /// Deltas may name their base by its distance (the capability `ofs-delta`).
    pub ofs_delta: bool,
}

/// Writes a pack of exactly the new objects of `connected`, trailer included; one of no objects if there are none.
///
/// # Errors
/// A damaged store, the writer's error, or the interrupt.
pub fn write_objects(
    connected: &Connected,
    options: PackOptions,
    out: &mut dyn Write,
    interrupt: &Interrupt,
    progress: &mut dyn FnMut(Progress),
) -> Result<Written, WriteError> {
    let counted = if options.thin {
        with_bases(connected, interrupt)?
    } else {
        Counted::of(connected.packs(), connected.new_objects().clone())
    };
    let source = Source {
        packs: connected.packs(),
        counted: &counted,
        base: None,
        dialect: Dialect { ofs_delta: options.ofs_delta, thin: options.thin },
    };
    write_pack(source, out, None, interrupt, progress)
}

/// The new objects with what the origin has at their paths.
fn with_bases(connected: &Connected, interrupt: &Interrupt) -> Result<Counted, WriteError> {
    let new = connected.new_objects().clone();
    let edges: Vec<_> = connected.edges().collect();
    if edges.is_empty() {
        return Ok(Counted::of(connected.packs(), new));
    }
    let snapshot = connected.snapshot();
    let arena = snapshot.shared.graph.arena();
    let mut commits = Commits::new(connected.packs(), arena, snapshot.shallow());
    let question = Question { wants: connected.tips(), common: &edges, ..Question::default() };
    let counted = count(&mut commits, &question, interrupt, &mut |_| {})?;
    // The count may name a few objects more; the proof alone says what is sent.
    Ok(Counted { send: new, ..counted })
}
