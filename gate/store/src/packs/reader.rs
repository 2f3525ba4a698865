//! Reading objects, with deltas resolved.

use proto::ObjectId;
use std::io::Write;
use std::sync::Arc;

use super::cache::{Cached, DeltaCache};
use super::delta::{self, DeltaError, DeltaSizes, MAX_DELTA_HEAD};
use super::inflate::Inflater;
use super::{EntryKind, Location, Pack, PackSet, ReadError};
use crate::Kind;

/// Reads one object after the other and remembers the last ones, since deltas build upon them.
///
/// Make one for a walk and drop it with the walk: it holds up to its cache's bytes.
#[derive(Debug)]
pub struct Reader {
    packs: PackSet,
    inflater: Inflater,
    cache: DeltaCache,
    chain: Vec<Step>,
    delta: Vec<u8>,
}

/// The largest object that is ever made from a delta, in bytes. What enters a store is bounded far below.
pub const MAX_OBJECT_SIZE: u64 = 4 << 30;

/// What a reader's cache holds unless told otherwise, in bytes.
pub const READER_CACHE: usize = 16 << 20;

/// One delta on the way from an object down to its whole base.
#[derive(Clone, Copy, Debug)]
struct Step {
    offset: u64,
    data: u64,
    size: u64,
}

impl Reader {
    pub(super) fn new(packs: PackSet, cache: usize) -> Self {
        Self {
            packs,
            inflater: Inflater::new(),
            cache: DeltaCache::new(cache),
            chain: Vec::new(),
            delta: Vec::new(),
        }
    }

    pub fn packs(&self) -> &PackSet {
        &self.packs
    }

    /// Replaces `out` by the object's bytes.
    pub fn read(&mut self, id: &ObjectId, out: &mut Vec<u8>) -> Result<Kind, ReadError> {
        let at = self.packs.locate(id).ok_or(ReadError::Missing { id: *id })?;
        self.read_at(at, out)
    }

    /// Like [`read`](Self::read), and an error if the object is of another kind.
    pub fn read_kind(
        &mut self,
        id: &ObjectId,
        expected: Kind,
        out: &mut Vec<u8>,
    ) -> Result<(), ReadError> {
        let actual = self.read(id, out)?;
        if actual == expected { Ok(()) } else { Err(ReadError::Kind { id: *id, expected, actual }) }
    }

    /// Reads the object at a place that [`PackSet::locate`] told.
    pub fn read_at(&mut self, at: Location, out: &mut Vec<u8>) -> Result<Kind, ReadError> {
        let pack = Arc::clone(self.packs.pack(at));
        self.read_offset(&pack, pack.offset_at(at.position), out)
    }

    /// Reads the object whose entry begins at `offset` of `pack`.
    pub(crate) fn read_offset(
        &mut self,
        pack: &Pack,
        offset: u64,
        out: &mut Vec<u8>,
    ) -> Result<Kind, ReadError> {
        let (kind, base) = self.base_of(pack, offset)?;
        let Some(last) = self.chain.first().copied() else {
            // Whole, or in the cache.
            out.clear();
            out.extend_from_slice(&base);
            return Ok(kind);
        };
        self.chain.remove(0);
        let base = self.apply_chain(pack, kind, base)?;
        self.inflate_delta(pack, last)?;
        make(pack, last, &base, &self.delta, out)?;
        if self.cache.takes(out.len()) {
            self.cache.put(pack.uid(), offset, kind, &Arc::new(out.clone()));
        }
        Ok(kind)
    }

    /// Writes the object's bytes without holding a whole blob; a delta's base is held.
    pub fn read_to(
        &mut self,
        id: &ObjectId,
        out: &mut dyn Write,
    ) -> Result<(Kind, u64), ReadError> {
        let at = self.packs.locate(id).ok_or(ReadError::Missing { id: *id })?;
        let pack = Arc::clone(self.packs.pack(at));
        let offset = pack.offset_at(at.position);
        let header = pack.header_alone(offset)?;
        if let EntryKind::Whole(kind) = header.kind {
            let mut deflated = pack.stretch(offset + header.len as u64..pack.end());
            self.inflater
                .stream(&mut deflated, header.size, |piece| out.write_all(piece))
                .map_err(|what| pack.corrupt(offset, what))?
                .map_err(ReadError::Write)?;
            return Ok((kind, header.size));
        }
        let (kind, base) = self.base_of(&pack, offset)?;
        let Some(last) = self.chain.first().copied() else {
            out.write_all(&base).map_err(ReadError::Write)?;
            return Ok((kind, base.len() as u64));
        };
        self.chain.remove(0);
        let base = self.apply_chain(&pack, kind, base)?;
        self.inflate_delta(&pack, last)?;
        let mut written = Ok(());
        let mut size = 0;
        delta::apply(&base, &self.delta, |piece| {
            size += piece.len() as u64;
            if written.is_ok() {
                written = out.write_all(piece);
            }
        })
        .map_err(|error| pack.corrupt(offset, error.as_str()))?;
        written.map_err(ReadError::Write)?;
        Ok((kind, size))
    }

    /// The kind and size of an object, without making it.
    pub fn header(&mut self, id: &ObjectId) -> Result<(Kind, u64), ReadError> {
        let at = self.packs.locate(id).ok_or(ReadError::Missing { id: *id })?;
        let pack = Arc::clone(self.packs.pack(at));
        let offset = pack.offset_at(at.position);
        let header = pack.header_alone(offset)?;
        if let EntryKind::Whole(kind) = header.kind {
            return Ok((kind, header.size));
        }
        let (_, deflated) = pack.header_at(offset)?;
        let mut head = [0; MAX_DELTA_HEAD];
        let sizes = self
            .inflater
            .peek(deflated, &mut head)
            .and_then(|len| DeltaSizes::parse(&head[..len]).map_err(DeltaError::as_str))
            .map_err(|what| pack.corrupt(offset, what))?;
        Ok((kind_at(&pack, offset)?, sizes.result))
    }

    /// The kind of an object, from headers alone.
    pub fn kind(&self, id: &ObjectId) -> Result<Kind, ReadError> {
        let at = self.packs.locate(id).ok_or(ReadError::Missing { id: *id })?;
        self.packs.kind_at(at)
    }

    /// The nearest base of the object at `offset` that is whole or cached; what leads to it lies in `self.chain`.
    fn base_of(&mut self, pack: &Pack, offset: u64) -> Result<Cached, ReadError> {
        self.chain.clear();
        let mut at = offset;
        loop {
            if let Some(hit) = self.cache.get(pack.uid(), at) {
                return Ok(hit);
            }
            let (header, deflated) = pack.header_at(at)?;
            if let EntryKind::Whole(kind) = header.kind {
                let mut bytes = Vec::new();
                if pack.is_long(header.size) {
                    let mut deflated = pack.stretch(at + header.len as u64..pack.end());
                    self.inflater.inflate_long(&mut deflated, header.size, &mut bytes)
                } else {
                    self.inflater.inflate(deflated, header.size, &mut bytes)
                }
                .map_err(|what| pack.corrupt(at, what))?;
                let bytes = Arc::new(bytes);
                // A commit is nobody's base, nearly always.
                if kind != Kind::Commit || !self.chain.is_empty() {
                    self.cache.put(pack.uid(), at, kind, &bytes);
                }
                return Ok((kind, bytes));
            }
            if self.chain.len() as u64 > u64::from(pack.len()) {
                return Err(pack.corrupt(offset, "deltas go round in a circle"));
            }
            self.chain.push(Step { offset: at, data: at + header.len as u64, size: header.size });
            at = base_offset(pack, at, header.kind)?;
        }
    }

    /// Applies what is left in `self.chain` to `base`, last step first.
    fn apply_chain(
        &mut self,
        pack: &Pack,
        kind: Kind,
        mut base: Arc<Vec<u8>>,
    ) -> Result<Arc<Vec<u8>>, ReadError> {
        while let Some(step) = self.chain.pop() {
            self.inflate_delta(pack, step)?;
            let mut made = Vec::new();
            make(pack, step, &base, &self.delta, &mut made)?;
            base = Arc::new(made);
            self.cache.put(pack.uid(), step.offset, kind, &base);
        }
        Ok(base)
    }

    fn inflate_delta(&mut self, pack: &Pack, step: Step) -> Result<(), ReadError> {
        let bytes = &pack.bytes()[step.data as usize..pack.end() as usize];
        self.inflater
            .inflate(bytes, step.size, &mut self.delta)
            .map_err(|what| pack.corrupt(step.offset, what))
    }
}

/// The kind of the object at `offset`, found at the end of its chain of deltas.
pub(super) fn kind_at(pack: &Pack, offset: u64) -> Result<Kind, ReadError> {
    let mut at = offset;
    for _ in 0..=pack.len() {
        let (header, _) = pack.header_at(at)?;
        if let EntryKind::Whole(kind) = header.kind {
            return Ok(kind);
        }
        at = base_offset(pack, at, header.kind)?;
    }
    Err(pack.corrupt(offset, "deltas go round in a circle"))
}

fn base_offset(pack: &Pack, offset: u64, kind: EntryKind) -> Result<u64, ReadError> {
    match kind {
        EntryKind::OfsDelta { base } => Ok(base),
        EntryKind::RefDelta { base } => match pack.position(&base) {
            Some(position) => Ok(pack.offset_at(position)),
            None => Err(pack.corrupt(offset, "a delta's base is not in its pack")),
        },
        EntryKind::Whole(_) => Ok(offset),
    }
}

fn make(
    pack: &Pack,
    step: Step,
    base: &[u8],
    delta: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), ReadError> {
    out.clear();
    let sizes =
        DeltaSizes::parse(delta).map_err(|error| pack.corrupt(step.offset, error.as_str()))?;
    if sizes.result > MAX_OBJECT_SIZE {
        return Err(pack.corrupt(step.offset, "a delta makes an object beyond any limit"));
    }
    out.reserve_exact(sizes.result as usize);
    delta::apply(base, delta, |piece| out.extend_from_slice(piece))
        .map_err(|error| pack.corrupt(step.offset, error.as_str()))
}
