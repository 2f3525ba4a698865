//! The lines of a fetch that v0 and v2 share, collected under limits.

use bstr::BString;

use super::Limits;
use super::error::Error;
use crate::sideband::Width;
use crate::{MAX_REF_NAME, ObjectFormat, ObjectId, RefName};

/// What a fetch asks for, in any version of the protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetch {
    /// Each id once, in the client's order.
    pub wants: Vec<ObjectId>,
    /// v2: refs wanted by name.
    pub want_refs: Vec<WantRef>,
    /// v2: what the client has. In v0 the haves come later, one event each.
    pub haves: Vec<ObjectId>,
    /// Commits whose parents the client lacks.
    pub shallow: Vec<ObjectId>,
    pub deepen: Option<Deepen>,
    /// A filter-spec as it came.
    pub filter: Option<BString>,
    /// How the pack is framed; `None` for a client of v0 that reads it raw.
    pub sideband: Option<Width>,
    pub thin_pack: bool,
    pub ofs_delta: bool,
    pub include_tag: bool,
    pub no_progress: bool,
    /// v2: no more negotiation, send the pack.
    pub done: bool,
    /// v2: never send the pack before `done`.
    pub wait_for_done: bool,
    /// v2: every line goes in band 1, so that progress may come at any time.
    pub sideband_all: bool,
}

/// How the client's shallow boundary is to move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deepen {
    /// That many commits from each want; [`Deepen::INFINITE`] for all of them.
    Depth(u32),
    /// That many commits beyond the present boundary.
    Relative(u32),
    /// Only commits younger than a time, in seconds since 1970, and not reachable from some refs.
    Revs { since: Option<u64>, not: Vec<BString> },
}

impl Deepen {
    /// The depth that git's `--unshallow` asks for (`INFINITE_DEPTH` in git's shallow.h).
    pub const INFINITE: u32 = 0x7fff_ffff;
}

/// What a `want-ref` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WantRef {
    Name(RefName),
    /// An id where a name belongs: `git fetch-pack URL ID` asks so wherever it may want by name.
    Id(ObjectId),
}

/// Longest text accepted of all `want-ref`s or all `deepen-not`s together, in bytes.
const MAX_NAMES: usize = 1 << 20;

/// Collects the lines of one fetch.
#[derive(Debug)]
pub(super) struct Collector {
    pub(super) fetch: Fetch,
    format: ObjectFormat,
    limits: Limits,
    wanted: std::collections::HashSet<ObjectId>,
    want_ref_bytes: usize,
    depth: Option<u32>,
    pub(super) relative: bool,
    since: Option<u64>,
    not: Vec<BString>,
    not_bytes: usize,
}

impl Collector {
    pub(super) fn new(format: ObjectFormat, limits: Limits) -> Self {
        Self {
            fetch: Fetch::default(),
            format,
            limits,
            wanted: Default::default(),
            want_ref_bytes: 0,
            depth: None,
            relative: false,
            since: None,
            not: Vec::new(),
            not_bytes: 0,
        }
    }

    pub(super) fn want(&mut self, id: &[u8]) -> Result<(), Error> {
        let id = self.id("an object id to want", id)?;
        if self.wanted.insert(id) {
            below(self.fetch.wants.len(), self.limits.wants, "wants", "wants")?;
            self.fetch.wants.push(id);
        }
        Ok(())
    }

    pub(super) fn want_ref(&mut self, name: &[u8]) -> Result<(), Error> {
        self.want_ref_bytes += name.len();
        short("bytes of want-refs", self.want_ref_bytes)?;
        let want = match ObjectId::from_hex(name) {
            Some(id) if id.format() == self.format => WantRef::Id(id),
            _ => RefName::parse(name)
                .map(WantRef::Name)
                .map_err(|_| Error::WantRef(super::error::shown(name)))?,
        };
        self.fetch.want_refs.push(want);
        Ok(())
    }

    pub(super) fn have(&mut self, id: &[u8]) -> Result<(), Error> {
        below(self.fetch.haves.len(), self.limits.haves, "haves", "haves")?;
        self.fetch.haves.push(self.id("an object id the client has", id)?);
        Ok(())
    }

    pub(super) fn filter(&mut self, spec: &[u8]) -> Result<(), Error> {
        if self.fetch.filter.is_some() {
            return Err(Error::line("one filter", spec));
        }
        self.fetch.filter = Some(spec.into());
        Ok(())
    }

    /// Takes the lines about depth; `false` if it is none of them.
    pub(super) fn depth_line(&mut self, line: &[u8]) -> Result<bool, Error> {
        if let Some(id) = line.strip_prefix(b"shallow ") {
            below(self.fetch.shallow.len(), self.limits.haves, "shallow lines", "haves")?;
            self.fetch.shallow.push(self.id("a shallow object id", id)?);
        } else if let Some(depth) = line.strip_prefix(b"deepen ") {
            let depth = decimal(depth).and_then(|depth| u32::try_from(depth).ok());
            let depth = depth.filter(|depth| (1..=Deepen::INFINITE).contains(depth));
            self.depth = Some(depth.ok_or_else(|| Error::line("a depth", line))?);
        } else if let Some(time) = line.strip_prefix(b"deepen-since ") {
            self.since = Some(decimal(time).ok_or_else(|| Error::line("a time", line))?);
        } else if let Some(name) = line.strip_prefix(b"deepen-not ") {
            if name.is_empty() || name.len() > MAX_REF_NAME {
                return Err(Error::line("a ref name", line));
            }
            self.not_bytes += name.len();
            short("bytes of deepen-nots", self.not_bytes)?;
            self.not.push(name.into());
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// The whole request, once its last line was seen.
    pub(super) fn finish(self) -> Result<Fetch, Error> {
        let by_revs = self.since.is_some() || !self.not.is_empty();
        let deepen = match self.depth {
            Some(_) if by_revs => return Err(Error::Deepen),
            Some(depth) if self.relative && depth != Deepen::INFINITE => {
                Some(Deepen::Relative(depth))
            }
            Some(depth) => Some(Deepen::Depth(depth)),
            None if by_revs => Some(Deepen::Revs { since: self.since, not: self.not }),
            None => None,
        };
        Ok(Fetch { deepen, ..self.fetch })
    }

    fn id(&self, expected: &'static str, hex: &[u8]) -> Result<ObjectId, Error> {
        parse_id(self.format, hex).ok_or_else(|| Error::line(expected, hex))
    }
}

/// An id of the repository's own format.
pub(super) fn parse_id(format: ObjectFormat, hex: &[u8]) -> Option<ObjectId> {
    ObjectId::from_hex(hex).filter(|id| id.format() == format)
}

pub(super) fn below(
    count: usize,
    most: usize,
    what: &'static str,
    limit: &'static str,
) -> Result<(), Error> {
    if count < most { Ok(()) } else { Err(Error::TooMany { what, most, limit }) }
}

fn short(what: &'static str, bytes: usize) -> Result<(), Error> {
    if bytes <= MAX_NAMES { Ok(()) } else { Err(Error::Excess { what, most: MAX_NAMES }) }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    let all_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| all_digits)?.parse().ok()
}
