//! Reads the lines that hits stand on, out of the objects themselves.

use std::collections::BTreeMap;

use bstr::ByteSlice;
use gate_store::Interrupt;
use proto::ObjectId;

use crate::scan::item::{NewObjects, Stop};
use crate::scan::patch::Kind;
use crate::scan::report::Hit;
use crate::scan::unpack::{self, Unpacking};
use crate::scan::views::{Place, Segments};

/// How many hits are shown with their line.
const SHOWN: usize = 200;
/// The longest text kept for one hit.
const LONGEST: usize = 64 * 1024;

/// The lines of each hit, in the order of the hits; empty where there are none.
pub(super) fn read(
    hits: &[Hit],
    objects: &dyn NewObjects,
    unpacking: &Unpacking<'_>,
    interrupt: &Interrupt,
) -> Result<Vec<Vec<u8>>, Stop> {
    let mut wanted: BTreeMap<(Kind, ObjectId), Vec<usize>> = BTreeMap::new();
    for (index, hit) in hits.iter().enumerate().filter(|(_, hit)| hit.first_line > 0).take(SHOWN) {
        if let (Kind::Blob | Kind::Commit | Kind::Tag, Some(object)) =
            (hit.label.kind, hit.label.object)
        {
            wanted.entry((hit.label.kind, object)).or_default().push(index);
        }
    }
    let mut lines = vec![Vec::new(); hits.len()];
    for ((kind, object), indices) in wanted {
        interrupt.check().map_err(|_| Stop::Interrupted)?;
        let mut reader = Lines { hits, open: indices.clone(), lines: &mut lines };
        match kind {
            Kind::Blob => {
                let mut paths: Vec<_> = indices
                    .iter()
                    .map(|&index| outer(hits[index].label.place.path.as_bstr()))
                    .collect();
                paths.dedup();
                for path in paths {
                    let shown = unpack::show(
                        objects,
                        &object,
                        path.as_bstr(),
                        &mut unpacking.clone(),
                        &mut reader,
                    );
                    stop_unless(shown, reader.done())?;
                }
            }
            _ => {
                let mut content = Vec::new();
                objects.write(&object, &mut content)?;
                unpack::show_text(&content, &mut unpacking.clone(), &mut reader);
            }
        }
    }
    Ok(lines)
}

/// A write of an object that ended because nothing more was wanted is no failure.
pub(super) fn stop_unless<T>(shown: Result<T, Stop>, done: bool) -> Result<(), Stop> {
    match shown {
        Err(stop) if !done => Err(stop),
        _ => Ok(()),
    }
}

/// The path of the blob itself. A `!` may also be part of a file's name: then the lines are looked for in vain, and the
/// finding is told without its line.
fn outer(path: &bstr::BStr) -> &[u8] {
    path.split_once_str("!").map_or(path.as_bytes(), |(outer, _)| outer)
}

struct Lines<'a> {
    hits: &'a [Hit],
    /// Hits whose lines are not found yet.
    open: Vec<usize>,
    lines: &'a mut [Vec<u8>],
}

impl Segments for Lines<'_> {
    fn segment(&mut self, place: &Place, line: u64, text: &[u8]) {
        let (hits, lines) = (self.hits, &mut *self.lines);
        self.open.retain(|&index| {
            let hit = &hits[index];
            if hit.label.place != *place || hit.first_line < line {
                return true;
            }
            let mut all = text.lines_with_terminator().skip((hit.first_line - line) as usize);
            let Some(first) = all.next() else { return true };
            let start = first.as_ptr() as usize - text.as_ptr() as usize;
            let rest = (hit.last_line - hit.first_line) as usize;
            let end = start + first.len() + all.take(rest).map(<[u8]>::len).sum::<usize>();
            let found = &text[start..end];
            // Of a line longer than a segment, the piece with the secret in it.
            let whole = found.find(hit.secret.expose()).is_some();
            if whole || lines[index].is_empty() {
                lines[index] = around(found, hit.secret.expose()).to_vec();
            }
            !whole
        });
    }

    fn done(&self) -> bool {
        self.open.is_empty()
    }
}

fn around<'a>(text: &'a [u8], secret: &str) -> &'a [u8] {
    if text.len() <= LONGEST {
        return text;
    }
    let from = text.find(secret).map_or(0, |at| at.saturating_sub(LONGEST / 2));
    &text[from..text.len().min(from + LONGEST)]
}
