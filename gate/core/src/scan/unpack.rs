//! Reads a content in every view, and what lies in it if it is an archive, under caps.

mod archive;
mod dumped;
mod encoded;
mod escaped;
mod streams;

use std::cell::RefCell;
use std::io::{self, BufReader, Cursor, Read, Seek, Write};
use std::path::Path;

use bstr::{BStr, BString, ByteSlice};
use proto::ObjectId;

use super::item::{NewObjects, Stop};
use super::name;
use super::views::{Place, Segments, View, Views};
use archive::{Archive, ReadSeek};
use encoded::Spelling;

/// How far archives are opened. Past any of these, the archive is reported as one that no scan can see through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnpackLimits {
    /// Archives within archives.
    pub depth: u32,
    /// Bytes unpacked in one push.
    pub bytes: u64,
    /// Bytes unpacked for each byte of an archive, counted past [`free`](Self::free).
    pub ratio: u64,
    /// Bytes that any archive may unpack to, however small it is.
    pub free: u64,
    /// Files within one archive.
    pub members: u64,
}

impl Default for UnpackLimits {
    fn default() -> Self {
        Self { depth: 4, bytes: 1 << 30, ratio: 200, free: 128 << 20, members: 100_000 }
    }
}

/// An archive that could not be read to its end within the limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unscanned {
    pub(super) path: BString,
    /// Which limit, in words: `more than 4 archives within each other`.
    pub(super) limit: String,
}

/// A member up to this size is held in memory, so that it may be an archive itself; half of it at each further depth.
const HELD: u64 = 32 << 20;

/// A content above this size is not held in memory but streams by; if it is an archive, it is put into a file.
const STREAMED: u64 = 16 << 20;

/// What is unpacked where, over a whole push.
#[derive(Clone, Debug)]
pub(super) struct Unpacking<'a> {
    pub(super) limits: &'a UnpackLimits,
    /// Where a large archive is put; the system's temporary directory without it.
    pub(super) scratch: Option<&'a Path>,
    /// Bytes unpacked so far.
    pub(super) unpacked: u64,
}

/// Shows an object's content to `into`, and the members of the archives in it; answers the archive that went past a limit.
///
/// A damaged or encrypted archive is read as far as it goes and is no error: its own bytes are shown all the same.
pub(super) fn show(
    objects: &dyn NewObjects,
    id: &ObjectId,
    path: &BStr,
    unpacking: &mut Unpacking<'_>,
    into: &mut dyn Segments,
) -> Result<Vec<Unscanned>, Stop> {
    let size = objects.size(id)?;
    let unpacker = Unpacker::new(size, unpacking, into);
    if size <= STREAMED {
        let mut content = Vec::with_capacity(size as usize);
        objects.write(id, &mut content)?;
        unpacker.content(path, &content, 0);
    } else {
        unpacker.large(path, unpacking.scratch, &mut |out| objects.write(id, out))?;
    }
    Ok(unpacker.end(unpacking))
}

/// The same for a text that is no blob: a commit or a tag.
pub(super) fn show_text(
    text: &[u8],
    unpacking: &mut Unpacking<'_>,
    into: &mut dyn Segments,
) -> Vec<Unscanned> {
    let unpacker = Unpacker::new(text.len() as u64, unpacking, into);
    unpacker.content(BStr::new(""), text, 0);
    unpacker.end(unpacking)
}

struct Unpacker<'a> {
    limits: &'a UnpackLimits,
    into: RefCell<&'a mut dyn Segments>,
    left: RefCell<u64>,
    total: RefCell<u64>,
    members: RefCell<u64>,
    unscanned: RefCell<Vec<Unscanned>>,
}

impl<'a> Unpacker<'a> {
    /// For a content of this size.
    fn new(size: u64, unpacking: &Unpacking<'a>, into: &'a mut dyn Segments) -> Self {
        let limits = unpacking.limits;
        let share = limits.free.max(limits.ratio.saturating_mul(size));
        Self {
            limits,
            into: RefCell::new(into),
            left: RefCell::new(share.min(limits.bytes.saturating_sub(unpacking.unpacked))),
            total: RefCell::new(0),
            members: RefCell::new(0),
            unscanned: RefCell::new(Vec::new()),
        }
    }

    fn end(self, unpacking: &mut Unpacking<'_>) -> Vec<Unscanned> {
        unpacking.unpacked += self.total.into_inner();
        self.unscanned.into_inner()
    }

    fn content(&self, path: &BStr, content: &[u8], depth: u32) {
        let mut views = Views::new(path.into());
        for piece in content.chunks(256 * 1024) {
            views.push(piece, &mut **self.into.borrow_mut());
        }
        views.finish(&mut **self.into.borrow_mut());
        for archive in Archive::detect(content, content) {
            self.archive(archive, path, &mut Cursor::new(content), depth);
        }
        if depth < self.limits.depth {
            let show = |line: u64, decoded: &[u8], how: &str| {
                if !self.into.borrow().done() {
                    let name = inner(path, format!("{how}@{line}").as_bytes());
                    self.content(BStr::new(&name), decoded, depth + 1);
                }
            };
            for spelling in [Spelling::Base64, Spelling::Hex] {
                encoded::decode(content, spelling, &mut |line, decoded| {
                    show(line, decoded, spelling.name());
                });
            }
            escaped::decode(content, &mut |line, decoded| show(line, decoded, "escapes"));
            dumped::decode(content, &mut |line, decoded| show(line, decoded, "dump"));
        }
    }

    /// A content that streams by, once as it is, and once more into a file if it is an archive.
    fn large(
        &self,
        path: &BStr,
        scratch: Option<&Path>,
        write: &mut dyn FnMut(&mut dyn Write) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let mut passing = Passing {
            views: Views::new(path.into()),
            unpacker: self,
            head: Vec::new(),
            tail: Vec::new(),
        };
        write(&mut passing)?;
        let archives = Archive::detect(&passing.head, &passing.tail);
        passing.views.finish(&mut **self.into.borrow_mut());
        let is_pdf = passing.head.starts_with(streams::PDF_MAGIC);
        if archives.is_empty() || archives == [Archive::Streams] && !is_pdf {
            return Ok(());
        }
        let file = scratch.map_or_else(tempfile::tempfile, tempfile::tempfile_in);
        let mut file = file.map_err(Stop::Spool)?;
        write(&mut file)?;
        for archive in archives {
            file.rewind().map_err(Stop::Spool)?;
            self.archive(archive, path, &mut BufReader::new(&file), 0);
        }
        Ok(())
    }

    fn archive(&self, archive: Archive, path: &BStr, content: &mut dyn ReadSeek, depth: u32) {
        if depth == self.limits.depth {
            if archive.is_guess() {
                return;
            }
            let limit = format!(
                "more than {} archives within each other (limits.archive_depth)",
                self.limits.depth
            );
            self.give_up(path, limit);
            return;
        }
        archive.members(path, content, &mut |path, reader| self.member(path, reader, depth + 1));
    }

    /// Reads one member; answers whether to go on with the next.
    fn member(&self, path: &BStr, reader: &mut dyn Read, depth: u32) -> bool {
        if self.into.borrow().done() || !self.unscanned.borrow().is_empty() {
            return false;
        }
        *self.members.borrow_mut() += 1;
        if *self.members.borrow() > self.limits.members {
            let limit = format!(
                "more than {} files in one archive (limits.archive_files)",
                self.limits.members
            );
            self.give_up(path, limit);
            return false;
        }
        self.name(path);
        let mut reader = Counted { reader, unpacker: self, over: false };
        let mut held = Vec::new();
        let limit = HELD >> (depth - 1);
        // An error here is the archive's damage: what was read before it is shown.
        let _damage = (&mut reader).take(limit).read_to_end(&mut held);
        if (held.len() as u64) < limit {
            self.content(path, &held, depth);
        } else {
            self.stream(path, &held, &mut reader, depth);
        }
        if reader.over {
            let limit = "more unpacked bytes than one archive (limits.inflate_ratio) or one push \
                 (limits.archive_bytes) may have";
            self.give_up(path, limit.to_owned());
        }
        true
    }

    /// Shows a member's own name; it has no line.
    fn name(&self, path: &BStr) {
        let name = path.split_once_str("!").map_or(path, |(_, name)| name.as_bstr());
        if name::may_hold_a_secret(name) {
            let place = Place { path: path.into(), view: View::Strings };
            self.into.borrow_mut().segment(&place, 1, &name::spell(name));
        }
    }

    /// A member too large to hold: a tar is opened as it streams by, no other archive is.
    fn stream(&self, path: &BStr, held: &[u8], rest: &mut dyn Read, depth: u32) {
        let mut tee =
            Tee { reader: held.chain(rest), views: Views::new(path.into()), unpacker: self };
        let archives = Archive::detect(held, &[]);
        if archives == [Archive::Tar] && depth < self.limits.depth {
            archive::tar_members(path, &mut tee, &mut |path, reader| {
                self.member(path, reader, depth + 1)
            });
        } else if archives.into_iter().any(|archive| !archive.is_guess() && archive != Archive::Ar)
        {
            let limit = format!("an archive of more than {} MiB in another", HELD >> 20);
            self.give_up(path, limit);
        }
        let _damage = io::copy(&mut tee, &mut io::sink());
        tee.views.finish(&mut **self.into.borrow_mut());
    }

    fn give_up(&self, path: &BStr, limit: String) {
        let mut unscanned = self.unscanned.borrow_mut();
        if unscanned.is_empty() {
            unscanned.push(Unscanned { path: path.into(), limit });
        }
    }
}

/// Shows the bytes of a large content as they pass, and keeps its ends.
struct Passing<'a, 'b> {
    views: Views,
    unpacker: &'a Unpacker<'b>,
    head: Vec<u8>,
    tail: Vec<u8>,
}

impl Write for Passing<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.unpacker.into.borrow().done() {
            return Err(io::Error::other("no more is wanted"));
        }
        self.views.push(bytes, &mut **self.unpacker.into.borrow_mut());
        let head = bytes.len().min(archive::HEAD - self.head.len());
        self.head.extend_from_slice(&bytes[..head]);
        self.tail.extend_from_slice(bytes);
        if self.tail.len() > 4 * archive::ZIP_TAIL {
            self.tail.drain(..self.tail.len() - archive::ZIP_TAIL);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Shows the bytes that someone else reads.
struct Tee<'a, 'b, R> {
    reader: R,
    views: Views,
    unpacker: &'a Unpacker<'b>,
}

impl<R: Read> Read for Tee<'_, '_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(into)?;
        self.views.push(&into[..read], &mut **self.unpacker.into.borrow_mut());
        Ok(read)
    }
}

/// Counts what is unpacked, and ends where the limit is.
struct Counted<'a, 'b, R> {
    reader: R,
    unpacker: &'a Unpacker<'b>,
    over: bool,
}

impl<R: Read> Read for Counted<'_, '_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(into)?;
        let mut left = self.unpacker.left.borrow_mut();
        if read as u64 > *left {
            self.over = true;
            return Err(io::Error::other("past the limit"));
        }
        *left -= read as u64;
        *self.unpacker.total.borrow_mut() += read as u64;
        Ok(read)
    }
}

/// `outer!inner`, as gitleaks names what lies in archives.
fn inner(outer: &BStr, name: &[u8]) -> BString {
    let mut path = BString::from(outer);
    path.push(b'!');
    path.extend_from_slice(name);
    path
}

/// What a compressed file holds is named by its own name without the ending.
fn stem(path: &BStr) -> &[u8] {
    let name = path.rsplit(|byte| b"/!".contains(byte)).next().unwrap_or_default();
    match name.rsplit_once_str(".") {
        Some((stem, _)) if !stem.is_empty() => stem,
        None if name.len() < path.len() => name,
        _ => b"content",
    }
}
