//! The second pass: make objects of deltas, base by base, and name them.

use proto::{ObjectFormat, ObjectId};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use super::receive::Received;
use super::{IndexError, IndexLimits};
use crate::fsck::Fsck;
use crate::packs::{DeltaSizes, EntryHeader, Inflater, PackRange, apply};
use crate::{Interrupt, Kind, ObjectHasher};

/// What all workers look at.
pub(super) struct Shared<'a> {
    pub(super) format: ObjectFormat,
    pub(super) limits: &'a IndexLimits,
    pub(super) interrupt: &'a Interrupt,
    /// The pack as far as it was received, without its trailer.
    pub(super) data: &'a [u8],
    /// Set for a large pack, which is not read from the mapping: that would count as memory.
    pub(super) file: Option<&'a File>,
    pub(super) received: &'a Received,
    /// Which of the `ref_deltas` has found its base; a base may be in the pack twice.
    pub(super) claimed: Vec<AtomicBool>,
    pub(super) inflated: AtomicU64,
    pub(super) resolved: AtomicU32,
}

/// An object that a delta became: its entry, id and kind.
pub(super) type Resolved = (u32, ObjectId, Kind);

/// Resolves one tree of deltas after the other.
pub(super) struct Worker<'a> {
    shared: &'a Shared<'a>,
    inflater: Inflater,
    delta: Vec<u8>,
    path: Vec<Frame>,
    held: usize,
    pub(super) made: Vec<Resolved>,
    pub(super) fsck: Option<Fsck>,
}

/// An object on the way from a whole base to the object at hand, with what is left to do below it.
struct Frame {
    /// `None` for a base that is not in the pack.
    entry: Option<u32>,
    kind: Kind,
    /// Dropped when memory is short, and made again.
    bytes: Option<Vec<u8>>,
    ofs: Range<usize>,
    refs: Range<usize>,
}

/// The longest header of an entry: ten bytes of size and an id.
const MAX_ENTRY_HEADER: usize = 42;

/// What one worker holds of bases before it drops those that are farthest away, in bytes.
const HELD: usize = 32 << 20;

/// Objects above this size are hashed as they are made, and only made whole if something builds upon them.
const STREAM: u64 = 8 << 20;

impl<'a> Shared<'a> {
    /// The deltas upon an object, as ranges of `ofs_deltas` and `ref_deltas`, both sorted.
    fn children(&self, offset: Option<u64>, id: &ObjectId) -> (Range<usize>, Range<usize>) {
        let equal = |offset: u64| {
            let ofs = &self.received.ofs_deltas;
            let start = ofs.partition_point(|(base, _)| *base < offset);
            let len = ofs[start..].iter().take_while(|(base, _)| *base == offset).count();
            start..start + len
        };
        let refs = &self.received.ref_deltas;
        let start = refs.partition_point(|(base, _)| base < id);
        let len = refs[start..].iter().take_while(|(base, _)| base == id).count();
        (offset.map_or(0..0, equal), start..start + len)
    }

    /// Bytes that are about to be made; so many, and the pack is a bomb.
    fn count(&self, bytes: u64) -> Result<(), IndexError> {
        let before = self.inflated.fetch_add(bytes, Ordering::Relaxed);
        self.limits.check_ratio(before.saturating_add(bytes), self.received.end)
    }

    /// Where an entry begins and ends.
    fn span(&self, number: u32) -> Range<u64> {
        let offsets = &self.received.entries.offsets;
        let next = offsets.get(number as usize + 1).copied();
        offsets[number as usize]..next.unwrap_or(self.received.end)
    }

    /// Inflates what an entry holds: the object, or the delta's instructions.
    fn inflate(
        &self,
        inflater: &mut Inflater,
        number: u32,
        out: &mut Vec<u8>,
    ) -> Result<(), IndexError> {
        let span = self.span(number);
        let malformed = |what| IndexError::Malformed { offset: span.start, what };
        let parse = |bytes| EntryHeader::from_slice(span.start, self.format, bytes);
        let Some(file) = self.file else {
            let bytes = self.data.get(span.start as usize..span.end as usize).unwrap_or_default();
            let header = parse(bytes).map_err(malformed)?;
            let deflated = &bytes[header.len..];
            return inflater.inflate(deflated, header.size, out).map_err(malformed);
        };
        let mut head = [0; MAX_ENTRY_HEADER];
        let len = head.len().min((span.end - span.start) as usize);
        let read = file.read_exact_at(&mut head[..len], span.start);
        read.map_err(|_| malformed("the pack cannot be read"))?;
        let header = parse(&head[..len]).map_err(malformed)?;
        let mut deflated = PackRange::of_file(file, span.start + header.len as u64..span.end);
        inflater.inflate_long(&mut deflated, header.size, out).map_err(malformed)
    }

    fn malformed(&self, number: u32, what: &'static str) -> IndexError {
        IndexError::Malformed { offset: self.received.entries.offsets[number as usize], what }
    }
}

impl<'a> Worker<'a> {
    pub(super) fn new(shared: &'a Shared<'a>, fsck: Option<Fsck>) -> Self {
        Self {
            shared,
            inflater: Inflater::new(),
            delta: Vec::new(),
            path: Vec::new(),
            held: 0,
            made: Vec::new(),
            fsck,
        }
    }

    /// Resolves everything that builds on an entry which is whole.
    pub(super) fn resolve_entry(&mut self, number: u32) -> Result<(), IndexError> {
        let entries = &self.shared.received.entries;
        let at = number as usize;
        let (Some(id), Some(kind)) = (entries.ids[at], entries.kinds[at]) else { return Ok(()) };
        let (ofs, refs) = self.shared.children(Some(entries.offsets[at]), &id);
        if ofs.is_empty() && refs.is_empty() {
            return Ok(());
        }
        self.resolve(Frame { entry: Some(number), kind, bytes: None, ofs, refs })
    }

    /// Resolves everything that builds on an object which is not in the pack.
    pub(super) fn resolve_external(
        &mut self,
        id: &ObjectId,
        kind: Kind,
        bytes: Vec<u8>,
    ) -> Result<(), IndexError> {
        let (_, refs) = self.shared.children(None, id);
        self.resolve(Frame { entry: None, kind, bytes: Some(bytes), ofs: 0..0, refs })
    }

    fn resolve(&mut self, root: Frame) -> Result<(), IndexError> {
        self.path.clear();
        self.held = root.bytes.as_ref().map_or(0, Vec::len);
        self.path.push(root);
        while let Some(top) = self.path.last_mut() {
            self.shared.interrupt.check()?;
            match next_child(self.shared, top) {
                Some(child) => self.child(child)?,
                None => {
                    let gone = self.path.pop().and_then(|frame| frame.bytes);
                    self.held -= gone.map_or(0, |bytes| bytes.len());
                }
            }
        }
        Ok(())
    }

    /// Makes the object of entry `number` from the last frame's, and goes down if others build on it.
    fn child(&mut self, number: u32) -> Result<(), IndexError> {
        if self.path.len() > self.shared.limits.delta_depth as usize {
            return Err(IndexError::TooDeep { limit: self.shared.limits.delta_depth });
        }
        let last = self.path.len() - 1;
        self.materialize(last)?;
        self.inflate_delta(number)?;
        let sizes = self.sizes(number)?;
        self.shared.limits.check_object(sizes.result, None)?;
        self.shared.count(sizes.result)?;
        let kind = self.path[last].kind;
        let mut bytes = None;
        let mut hasher = ObjectHasher::new(self.shared.format, kind, sizes.result);
        if kind == Kind::Blob && sizes.result > STREAM {
            self.apply(number, last, |piece| hasher.update(piece))?;
        } else {
            let made = self.make(number, last, sizes.result)?;
            hasher.update(&made);
            bytes = Some(made);
        }
        let id = hasher.finish()?;
        if let (Some(fsck), Some(bytes)) = (&mut self.fsck, &bytes) {
            fsck.note(id, kind, bytes);
        }
        self.made.push((number, id, kind));
        self.shared.resolved.fetch_add(1, Ordering::Relaxed);
        let offset = self.shared.received.entries.offsets[number as usize];
        let (ofs, refs) = self.shared.children(Some(offset), &id);
        if ofs.is_empty() && refs.is_empty() {
            return Ok(());
        }
        let bytes = match bytes {
            Some(bytes) => bytes,
            None => self.make(number, last, sizes.result)?,
        };
        if self.path[last].is_done() {
            self.drop_bytes(last);
        }
        self.held += bytes.len();
        self.path.push(Frame { entry: Some(number), kind, bytes: Some(bytes), ofs, refs });
        self.shrink();
        Ok(())
    }

    /// Makes sure that the bytes of a frame are there, beginning at the nearest base that is.
    fn materialize(&mut self, wanted: usize) -> Result<(), IndexError> {
        let from = (0..=wanted).rfind(|at| self.path[*at].bytes.is_some());
        if from == Some(wanted) {
            return Ok(());
        }
        if from.is_none() {
            let number = self.path[0].entry.expect("an external base is never dropped");
            let mut bytes = Vec::new();
            self.shared.inflate(&mut self.inflater, number, &mut bytes)?;
            self.held += bytes.len();
            self.path[0].bytes = Some(bytes);
        }
        for at in from.unwrap_or(0) + 1..=wanted {
            let number = self.path[at].entry.expect("only the first base can be external");
            self.inflate_delta(number)?;
            let size = self.sizes(number)?.result;
            // Made a second time, it costs a second time: a pack can be built to have it made very often.
            self.shared.count(size)?;
            let made = self.make(number, at - 1, size)?;
            self.held += made.len();
            self.path[at].bytes = Some(made);
            if self.held > HELD || self.path[at - 1].is_done() {
                self.drop_bytes(at - 1);
            }
        }
        Ok(())
    }

    fn inflate_delta(&mut self, number: u32) -> Result<(), IndexError> {
        self.shared.inflate(&mut self.inflater, number, &mut self.delta)
    }

    /// The sizes that the delta at hand declares.
    fn sizes(&self, number: u32) -> Result<DeltaSizes, IndexError> {
        DeltaSizes::parse(&self.delta)
            .map_err(|error| self.shared.malformed(number, error.as_str()))
    }

    fn make(&self, number: u32, base: usize, size: u64) -> Result<Vec<u8>, IndexError> {
        let mut made = Vec::with_capacity(size as usize);
        self.apply(number, base, |piece| made.extend_from_slice(piece))?;
        Ok(made)
    }

    /// Applies the delta at hand to the bytes of a frame.
    fn apply(&self, number: u32, base: usize, sink: impl FnMut(&[u8])) -> Result<(), IndexError> {
        let bytes = self.path[base].bytes.as_deref().expect("materialized by the caller");
        apply(bytes, &self.delta, sink)
            .map_err(|error| self.shared.malformed(number, error.as_str()))
    }

    /// Drops what is farthest from the object at hand until the rest is small enough.
    fn shrink(&mut self) {
        for at in 0..self.path.len() - 1 {
            if self.held <= HELD {
                return;
            }
            self.drop_bytes(at);
        }
    }

    fn drop_bytes(&mut self, at: usize) {
        let frame = &mut self.path[at];
        if frame.entry.is_some() {
            self.held -= frame.bytes.take().map_or(0, |bytes| bytes.len());
        }
    }
}

impl Frame {
    fn is_done(&self) -> bool {
        self.ofs.is_empty() && self.refs.is_empty()
    }
}

/// The next delta on a frame's object that nobody took yet.
fn next_child(shared: &Shared<'_>, frame: &mut Frame) -> Option<u32> {
    if let Some(at) = frame.ofs.next() {
        return Some(shared.received.ofs_deltas[at].1);
    }
    frame
        .refs
        .find(|at| !shared.claimed[*at].swap(true, Ordering::Relaxed))
        .map(|at| shared.received.ref_deltas[at].1)
}
