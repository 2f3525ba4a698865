//! Writes packs: entries are copied deflated as they lie, only what has lost its base is encoded anew.

mod bases;
mod delta;
mod encode;
mod entry;
mod listing;
mod offsets;
mod sink;

use std::io::{self, BufRead, Write};
use std::sync::Arc;

use hashbrown::HashSet;
use proto::ObjectId;

use crate::count::Counted;
use crate::packs::Entry;
use crate::{EntryKind, Interrupt, Interrupted, Location, Pack, PackSet, ReadError};

use bases::Base;
use encode::Encoder;
use entry::Header;
use offsets::Offsets;
use sink::Sink;

pub(crate) use listing::Listing;

/// How far a pack is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Objects found so far.
    Counting { objects: u64 },
    /// Objects and bytes handed to the writer so far.
    Writing { objects: u64, total: u64, bytes: u64 },
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    pub objects: u64,
    pub bytes: u64,
    /// The pack's trailer.
    pub checksum: ObjectId,
}

/// A pack could not be written to its end.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Walk(#[from] crate::WalkError),
    #[error("write the pack")]
    Write(#[source] io::Error),
    #[error("read a pack")]
    Pack(#[source] io::Error),
    #[error("a pack holds at most 4294967295 objects, not {0}")]
    TooMany(u64),
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// What the reader of a pack understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dialect {
    /// Deltas may name a base by its distance.
    pub(crate) ofs_delta: bool,
    /// Deltas may build upon objects that the other side has and the pack does not hold.
    pub(crate) thin: bool,
}

/// Where the objects of a pack come from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    pub(crate) packs: &'a PackSet,
    pub(crate) counted: &'a Counted,
    /// A pack that comes first, whole and as it lies. It holds none of the counted objects.
    pub(crate) base: Option<&'a Arc<Pack>>,
    pub(crate) dialect: Dialect,
}

/// Bytes copied between two looks at the interrupt.
const PIECE: usize = 1 << 18;

/// The bytes at hand, no more than can be written between two looks at the interrupt; `None` at the end.
pub(crate) fn next_piece(from: &mut impl BufRead) -> io::Result<Option<&[u8]>> {
    let piece = from.fill_buf()?;
    Ok((!piece.is_empty()).then(|| &piece[..piece.len().min(PIECE)]))
}

/// Writes one pack, trailer included. Memory does not grow with the pack.
pub(crate) fn write_pack(
    source: Source<'_>,
    out: &mut dyn Write,
    listing: Option<&mut Listing>,
    interrupt: &Interrupt,
    progress: &mut dyn FnMut(Progress),
) -> Result<Written, WriteError> {
    let base_len = source.base.map_or(0, |base| u64::from(base.len()));
    let total = source.counted.send.len() + base_len;
    let count = u32::try_from(total).map_err(|_| WriteError::TooMany(total))?;
    let sink = Sink::new(out, source.packs.format(), listing);
    let mut writer = Writer {
        source,
        sink,
        offsets: Offsets::new(source.packs.packs().len()),
        pinned: HashSet::new(),
        encoder: Encoder::new(source.packs),
        interrupt,
        progress,
        written: 0,
        total,
    };
    writer.sink.write(&[b"PACK\0\0\0\x02", &count.to_be_bytes()[..]].concat())?;
    if let Some(base) = source.base {
        writer.copy_base(base)?;
    }
    for pack in 0..source.packs.packs().len() as u32 {
        writer.copy_pack(pack)?;
    }
    writer.report();
    let (bytes, checksum) = writer.sink.finish()?;
    Ok(Written { objects: total, bytes, checksum })
}

struct Writer<'a> {
    source: Source<'a>,
    sink: Sink<'a>,
    offsets: Offsets,
    /// Objects that an earlier delta builds upon: they must not build upon anything earlier.
    pinned: HashSet<Location>,
    encoder: Encoder,
    interrupt: &'a Interrupt,
    progress: &'a mut dyn FnMut(Progress),
    written: u64,
    total: u64,
}

impl Writer<'_> {
    fn report(&mut self) {
        let (objects, total, bytes) = (self.written, self.total, self.sink.at());
        (self.progress)(Progress::Writing { objects, total, bytes });
    }

    fn copy_base(&mut self, base: &Pack) -> Result<(), WriteError> {
        let mut body = base.stretch(crate::PACK_HEADER_LEN..base.end());
        while let Some(piece) = next_piece(&mut body).map_err(WriteError::Pack)? {
            self.interrupt.check()?;
            self.sink.write(piece)?;
            let len = piece.len();
            body.consume(len);
            self.written = u64::from(base.len()) * self.sink.at() / base.end().max(1);
            self.report();
        }
        self.written = u64::from(base.len());
        Ok(())
    }

    /// Writes the chosen entries of one pack in the order in which they lie, so that bases come first.
    fn copy_pack(&mut self, number: u32) -> Result<(), WriteError> {
        let send = &self.source.counted.send;
        let chosen = send.len_in(number);
        if chosen == 0 {
            return Ok(());
        }
        let pack = Arc::clone(&self.source.packs.packs()[number as usize]);
        let order = pack.order();
        if chosen > pack.len() / 8 {
            for (rank, position) in (0..).zip(order.positions()) {
                let at = Location { pack: number, position: *position };
                if send.contains(at) {
                    self.copy_entry(at, &pack, pack.nth_entry(rank)?)?;
                }
            }
        } else {
            let mut ranks: Vec<_> =
                send.positions(number).filter_map(|at| order.rank(pack.offset_at(at))).collect();
            ranks.sort_unstable();
            for rank in ranks {
                let at = Location { pack: number, position: order.positions()[rank as usize] };
                self.copy_entry(at, &pack, pack.nth_entry(rank)?)?;
            }
        }
        self.sink.flush_run()
    }

    fn copy_entry(
        &mut self,
        at: Location,
        pack: &Arc<Pack>,
        entry: Entry<'_>,
    ) -> Result<(), WriteError> {
        if self.written.is_multiple_of(256) {
            self.interrupt.check()?;
            self.report();
        }
        self.written += 1;
        self.sink.begin(|| pack.id_at(at.position));
        self.offsets.note(at.pack, entry.offset, self.sink.at());
        match self.header_for(at, pack, &entry)? {
            Some(Header::AsItLies) => self.sink.copy(pack, &entry)?,
            Some(header) => {
                self.sink.write(header.bytes(entry.size, self.sink.at()).as_slice())?;
                self.sink.write(entry.deflated)?;
            }
            None => self.encode(at)?,
        }
        self.sink.end();
        Ok(())
    }

    fn encode(&mut self, at: Location) -> Result<(), WriteError> {
        let older = self.older(at);
        let encoded = self.encoder.encode(at, older.map(|(at, _)| at))?;
        let header = match (encoded.kind, older) {
            (EntryKind::Whole(kind), _) => Header::Whole(kind),
            (_, Some((_, Base::Written(offset)))) if self.source.dialect.ofs_delta => {
                Header::OfsDelta(offset)
            }
            (EntryKind::OfsDelta { .. } | EntryKind::RefDelta { .. }, Some((base, _))) => {
                Header::RefDelta(self.source.packs.id_at(base))
            }
            (_, None) => unreachable!("a delta was made against an older version"),
        };
        self.sink.write(header.bytes(encoded.size, self.sink.at()).as_slice())?;
        self.sink.write(&encoded.deflated)
    }
}
