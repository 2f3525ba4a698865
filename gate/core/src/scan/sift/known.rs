//! Drops hits on what the origin has already: a secret is not held against a push that only carries it along.

use std::collections::HashMap;
use std::ops::ControlFlow;

use bstr::{BStr, BString, ByteSlice};
use gate_store::Interrupt;
use memchr::memmem;
use proto::ObjectId;

use super::lines::stop_unless;
use crate::scan::item::{At, NewObjects, Stop};
use crate::scan::patch::Kind;
use crate::scan::report::Hit;
use crate::scan::unpack::{self, Unpacking};
use crate::scan::views::{Place, Segments};

/// How much of the origin's content is looked through for one push; past it, what is not found counts as new.
const LOOKED_THROUGH: u64 = 128 << 20;
/// A secret shorter than this may stand in a text by chance.
const SHORTEST: usize = 6;
/// A secret shorter than this must stand there as a word of its own.
const SHORT: usize = 20;

/// Drops the hits whose secret, whole, stands in content that the origin has, where the push builds upon it or at the same
/// path, and those that are the id of an object.
pub(super) fn drop_known(
    hits: &mut Vec<(Hit, Vec<u8>)>,
    objects: &dyn NewObjects,
    unpacking: &Unpacking<'_>,
    interrupt: &Interrupt,
) -> Result<(), Stop> {
    let mut known = Vec::with_capacity(hits.len());
    for (hit, _) in hits.iter() {
        let names_object = ObjectId::from_hex(hit.secret.expose().as_bytes())
            .is_some_and(|id| objects.is_object(&id));
        known.push(names_object || hit.label.kind == Kind::Path && known_path(hit, objects)?);
    }
    let mut search = Search::new(hits, &known);
    let mut left = LOOKED_THROUGH;
    let paths: Vec<BString> = search.paths(hits);
    let paths: Vec<&BStr> = paths.iter().map(|path| path.as_bstr()).collect();
    for at in paths.iter().map(|path| At::Path(path)).chain([At::Earlier(&paths), At::Anywhere]) {
        if search.is_over() || left == 0 {
            break;
        }
        let mut stopped = Ok(());
        objects.origin_blobs(at, interrupt, &mut |path, id| {
            let size = objects.size(id);
            let shown = unpack::show(objects, id, path, &mut unpacking.clone(), &mut search);
            let looked = stop_unless(shown, search.is_over()).and(size);
            left = left.saturating_sub(looked.as_ref().map_or(0, |size| size + 1));
            let over = search.is_over() || left == 0 || looked.is_err();
            stopped = looked.map(|_| ());
            if over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        stopped?;
    }
    if search
        .open
        .iter()
        .any(|needle| matches!(hits[needle.hit].0.label.kind, Kind::Commit | Kind::Tag))
    {
        objects.origin_commits(interrupt, &mut |text| {
            unpack::show_text(text, &mut unpacking.clone(), &mut search);
            if search.is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
    }
    interrupt.check().map_err(|_| Stop::Interrupted)?;
    for hit in search.found {
        known[hit] = true;
    }
    let mut known = known.into_iter();
    hits.retain(|_| !known.next().unwrap_or(false));
    Ok(())
}

/// Whether the part of the path that holds the secret exists at the origin.
fn known_path(hit: &Hit, objects: &dyn NewObjects) -> Result<bool, Stop> {
    let path = &hit.label.place.path;
    let Some(at) = path.find(hit.secret.expose()).filter(|_| !hit.secret.expose().is_empty())
    else {
        return Ok(false);
    };
    let end = at + hit.secret.expose().len();
    let end = path[end..].find_byte(b'/').map_or(path.len(), |slash| end + slash);
    objects.origin_has_path(path[..end].as_bstr())
}

/// What is looked for.
struct Needle {
    hit: usize,
    /// The secret, or the lines it is spelled in, trimmed line by line.
    text: Vec<u8>,
}

struct Search {
    open: Vec<Needle>,
    found: Vec<usize>,
}

impl Search {
    fn new(hits: &[(Hit, Vec<u8>)], known: &[bool]) -> Self {
        let open = hits.iter().enumerate().filter(|(index, _)| !known[*index]).filter_map(
            |(index, (hit, lines))| {
                // What gitleaks decoded stands in the file in other letters: there the lines must be the same.
                let text =
                    trimmed(if hit.decoded { lines } else { hit.secret.expose().as_bytes() });
                let matters = matches!(hit.label.kind, Kind::Blob | Kind::Commit | Kind::Tag)
                    && text.len() >= SHORTEST;
                matters.then_some(Needle { hit: index, text })
            },
        );
        Self { open: open.collect(), found: Vec::new() }
    }

    /// The paths at which what is looked for stands now, each once.
    fn paths(&self, hits: &[(Hit, Vec<u8>)]) -> Vec<BString> {
        let mut paths = HashMap::new();
        for needle in &self.open {
            let path = &hits[needle.hit].0.label.place.path;
            let path = path.split_once_str("!").map_or(path.as_bytes(), |(outer, _)| outer);
            let order = paths.len();
            paths.entry(BString::from(path)).or_insert(order);
        }
        let mut paths: Vec<(BString, usize)> = paths.into_iter().collect();
        paths.sort_by_key(|(_, order)| *order);
        paths.into_iter().map(|(path, _)| path).collect()
    }

    fn is_over(&self) -> bool {
        self.open.is_empty()
    }
}

impl Segments for Search {
    fn segment(&mut self, _place: &Place, _line: u64, text: &[u8]) {
        let mut trimmed_text = None;
        let found = &mut self.found;
        self.open.retain(|needle| {
            let several = needle.text.contains(&b'\n');
            let text =
                if several { &**trimmed_text.get_or_insert_with(|| trimmed(text)) } else { text };
            let here = memmem::find_iter(text, &needle.text)
                .any(|at| stands_alone(text, at, &needle.text));
            if here {
                found.push(needle.hit);
            }
            !here
        });
    }

    fn done(&self) -> bool {
        self.open.is_empty()
    }
}

fn stands_alone(text: &[u8], at: usize, needle: &[u8]) -> bool {
    let word = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let before = word(needle.first()) && at > 0 && word(text.get(at - 1));
    let after = word(needle.last()) && word(text.get(at + needle.len()));
    needle.len() >= SHORT || !(before || after)
}

/// The lines without the space around them, and without the empty ones: so CRLF and indentation make no difference.
fn trimmed(text: &[u8]) -> Vec<u8> {
    let lines = text.lines().map(ByteSlice::trim).filter(|line| !line.is_empty());
    bstr::join("\n", lines)
}
