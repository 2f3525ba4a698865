//! Turns the new objects into the patch that the scanner reads, with a canary at each end.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};

use bstr::{BStr, BString, ByteSlice};
use gate_store::Interrupt;
use proto::ObjectId;

use super::item::{Item, NewObjects, Stop};
use super::name;
use super::patch::{Kind, Label, Patch};
use super::report::Secret;
use super::rules::PathClasses;
use super::unpack::{self, Unpacking, Unscanned};
use super::views::{Place, Segments, View, Views};

/// What was fed, to compare with what the scanner says it saw.
#[derive(Debug)]
pub(super) struct Fed {
    /// Bytes of text.
    pub(super) scanned: u64,
    pub(super) canaries: [Secret; 2],
    /// Archives that no scan could see through, and the blob and commit they are.
    pub(super) unscanned: Vec<(Unscanned, ObjectId, Option<ObjectId>)>,
}

/// Feeds everything; returns when the last byte is in the pipe and the pipe is closed.
pub(super) fn feed(
    objects: &dyn NewObjects,
    classes: &PathClasses,
    unpacking: Unpacking<'_>,
    out: impl Write,
    interrupt: &Interrupt,
    progress: &mut dyn FnMut(u64),
) -> Result<Fed, Stop> {
    let canaries = [canary(), canary()];
    let mut feeder = Feeder {
        patch: Patch::new(out),
        failed: None,
        interrupt,
        objects,
        classes,
        unpacking,
        shown: 0,
        fed: HashSet::new(),
        names: HashSet::new(),
        hasher: RandomState::new(),
        unscanned: Vec::new(),
        progress,
    };
    feeder.canary(&canaries[0])?;
    objects.each(interrupt, &mut |item| feeder.item(item))?;
    feeder.canary(&canaries[1])?;
    let scanned = feeder.patch.finish().map_err(Stop::Feed)?;
    Ok(Fed { scanned, canaries, unscanned: feeder.unscanned })
}

struct Feeder<'a, W: Write> {
    patch: Patch<W>,
    /// The first write that failed.
    failed: Option<io::Error>,
    interrupt: &'a Interrupt,
    objects: &'a dyn NewObjects,
    classes: &'a PathClasses,
    unpacking: Unpacking<'a>,
    /// Bytes of objects shown.
    shown: u64,
    /// Hashes of the blobs that were fed, each with what the rules see in its path.
    fed: HashSet<u64>,
    /// Hashes of the paths that were fed as names.
    names: HashSet<u64>,
    hasher: RandomState,
    unscanned: Vec<(Unscanned, ObjectId, Option<ObjectId>)>,
    progress: &'a mut dyn FnMut(u64),
}

impl<W: Write> Feeder<'_, W> {
    fn item(&mut self, item: Item<'_>) -> Result<(), Stop> {
        self.interrupt.check().map_err(|_| Stop::Interrupted)?;
        match item {
            Item::Blob { id, path, commit } => self.blob(id, path, commit)?,
            Item::Commit { id } => self.object(Kind::Commit, id, Some(id))?,
            Item::Tag { id } => self.object(Kind::Tag, id, None)?,
            Item::Path { path, commit } => {
                if name::may_hold_a_secret(path) && self.names.insert(self.hasher.hash_one(path)) {
                    self.text(Kind::Path, None, commit, path.into(), &name::spell(path));
                }
            }
            Item::Ref { name, target } => {
                let name = name.as_bstr();
                self.text(Kind::Ref, Some(target), None, name.into(), &name::spell(name));
            }
            Item::Option { text, target } => {
                self.text(Kind::Option, target, None, text.into(), text);
            }
        }
        (self.progress)(self.shown);
        self.failed.take().map_or(Ok(()), |error| Err(Stop::Feed(error)))
    }

    /// At several paths that all rules see alike, a blob is fed once: a few trees can name one blob a million times.
    fn blob(&mut self, id: ObjectId, path: &BStr, commit: Option<ObjectId>) -> Result<(), Stop> {
        if !self.fed.insert(self.hasher.hash_one((id, self.classes.of(path)))) {
            return Ok(());
        }
        let before = self.shown;
        let objects = self.objects;
        let mut unpacking = self.unpacking.clone();
        let mut sink = Sink { feeder: self, kind: Kind::Blob, object: Some(id), commit };
        let shown = unpack::show(objects, &id, path, &mut unpacking, &mut sink);
        if let Some(error) = self.failed.take() {
            return Err(Stop::Feed(error));
        }
        self.unscanned.extend(shown?.into_iter().map(|archive| (archive, id, commit)));
        self.unpacking = unpacking;
        self.shown = before + objects.size(&id)?;
        Ok(())
    }

    fn object(&mut self, kind: Kind, id: ObjectId, commit: Option<ObjectId>) -> Result<(), Stop> {
        let mut text = Vec::new();
        self.objects.write(&id, &mut text)?;
        self.shown += text.len() as u64;
        let text = readable(&text);
        let mut unpacking = self.unpacking.clone();
        let mut sink = Sink { feeder: self, kind, object: Some(id), commit };
        let unscanned = unpack::show_text(&text, &mut unpacking, &mut sink);
        self.unscanned.extend(unscanned.into_iter().map(|archive| (archive, id, commit)));
        self.unpacking = unpacking;
        Ok(())
    }

    fn text(
        &mut self,
        kind: Kind,
        object: Option<ObjectId>,
        commit: Option<ObjectId>,
        name: BString,
        text: &[u8],
    ) {
        let mut sink = Sink { feeder: self, kind, object, commit };
        let mut views = Views::new(name);
        views.push(text, &mut sink);
        views.finish(&mut sink);
    }

    fn canary(&mut self, secret: &Secret) -> Result<(), Stop> {
        let label = Label {
            kind: Kind::Canary,
            object: None,
            commit: None,
            place: Place { path: BString::default(), view: View::Plain },
        };
        let text = format!("canary = '{}'\n", secret.expose());
        self.patch.segment(&label, 1, text.as_bytes()).map_err(Stop::Feed)
    }
}

struct Sink<'a, 'b, W: Write> {
    feeder: &'a mut Feeder<'b, W>,
    kind: Kind,
    object: Option<ObjectId>,
    commit: Option<ObjectId>,
}

impl<W: Write> Segments for Sink<'_, '_, W> {
    fn segment(&mut self, place: &Place, line: u64, text: &[u8]) {
        if self.done() {
            return;
        }
        let label = Label {
            kind: self.kind,
            object: self.object,
            commit: self.commit,
            place: place.clone(),
        };
        if let Err(error) = self.feeder.patch.segment(&label, line, text) {
            self.feeder.failed = Some(error);
        }
        // Within a large blob, as far as can be told without counting twice what is read in two ways.
        if place.view == View::Plain {
            self.feeder.shown += text.len() as u64;
            (self.feeder.progress)(self.feeder.shown);
        }
    }

    fn done(&self) -> bool {
        self.feeder.failed.is_some() || self.feeder.interrupt.is_set()
    }
}

/// A secret that the rule `github-pat` knows, made anew for each end of each scan.
fn canary() -> Secret {
    const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let random = RandomState::new();
    let start = random.hash_one(0_u8) as usize;
    // A walk over the alphabet in steps of a random odd number repeats no letter, so its entropy is always enough.
    let step = [1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29]
        [random.hash_one(1_u8) as usize % 15];
    let body = (0..36).map(|i| char::from(LETTERS[(start % 62 + i * step) % 62]));
    Secret::new(
        ["gh", "p_"]
            .into_iter()
            .map(str::to_owned)
            .chain(body.map(String::from))
            .collect::<String>(),
    )
}

/// A commit's or tag's raw text, line by line, as the rules can read it.
///
/// Without the ids of its tree, parents and target: no secrets, but 40 hex digits, which some rules take for a token where
/// the message has the right word. And with white space around the parts of a mail address: most rules want some after a
/// token.
fn readable(text: &[u8]) -> Vec<u8> {
    let mut readable = Vec::with_capacity(text.len());
    let mut in_headers = true;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        in_headers &= line != b"\n";
        let begins = |names: [&'static str; 3]| {
            names.into_iter().find(|name| in_headers && line.starts_with_str(name))
        };
        let is_id = |name: &str| {
            ObjectId::from_hex(line[name.len()..].trim_end_with(|c| c == '\n').as_bytes()).is_some()
        };
        if let Some(name) = begins(["tree ", "parent ", "object "]).filter(|name| is_id(name)) {
            readable.extend_from_slice(name.trim_end().as_bytes());
            readable.push(b'\n');
        } else if begins(["author ", "committer ", "tagger "]).is_some() {
            let (name, address) = line.split_at(line.rfind_byte(b'<').unwrap_or(line.len()));
            readable.extend_from_slice(name);
            let apart = |byte: &u8| if b"<@>".contains(byte) { b' ' } else { *byte };
            readable.extend(address.iter().map(apart));
        } else {
            readable.extend_from_slice(line);
        }
    }
    readable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canaries_are_all_different() {
        let some: HashSet<String> = (0..50).map(|_| canary().expose().to_owned()).collect();
        assert!(some.len() > 40);
        assert!(some.iter().all(|canary| canary.len() == 40));
    }

    #[test]
    fn ids_in_headers_are_left_out_and_addresses_taken_apart() {
        let id = "0123456789abcdef0123456789abcdef01234567";
        let commit = format!(
            "tree {id}\nparent {id}\nauthor a@b <c@d> 1 +0000\ntree x\n\nparent {id} <e@f>\n"
        );
        assert_eq!(
            readable(commit.as_bytes()).as_bstr(),
            format!("tree\nparent\nauthor a@b  c d  1 +0000\ntree x\n\nparent {id} <e@f>\n")
        );
    }
}
