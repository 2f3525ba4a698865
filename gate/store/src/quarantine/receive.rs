//! The first pass over a pack: read it once, write it to disk, hash what is whole, note what is delta.

use flate2::{Crc, Decompress, FlushDecompress, Status};
use proto::{ObjectFormat, ObjectId};
use std::fs::File;
use std::io::{BufRead, BufWriter, ErrorKind, Write};
use std::path::Path;

use super::{Check, IndexError, IndexLimits, IndexProgress};
use crate::checksum::Checksum;
use crate::files::{self, failed};
use crate::fsck::Fsck;
use crate::packs::{EntryHeader, HeaderError};
use crate::{EntryKind, Interrupt, Kind, ObjectHasher, PACK_HEADER_LEN};

/// What the first pass knows of a pack.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) entries: Entries,
    /// Entry numbers of deltas, by the offset of their base.
    pub(super) ofs_deltas: Vec<(u64, u32)>,
    /// Entry numbers of deltas, by the id of their base.
    pub(super) ref_deltas: Vec<(ObjectId, u32)>,
    /// Where the trailer begins.
    pub(super) end: u64,
    pub(super) trailer: ObjectId,
    /// Bytes made so far, for the inflate ratio.
    pub(super) inflated: u64,
    pub(super) fsck: Option<Fsck>,
}

/// One column each, since there may be millions.
#[derive(Debug, Default)]
pub(super) struct Entries {
    pub(super) offsets: Vec<u64>,
    pub(super) crcs: Vec<u32>,
    /// `None` until the object is known.
    pub(super) ids: Vec<Option<ObjectId>>,
    pub(super) kinds: Vec<Option<Kind>>,
}

/// Reads exactly one pack from `input` and copies it to the file `to`, which is returned open.
pub(super) fn receive(
    input: &mut impl BufRead,
    to: &Path,
    format: ObjectFormat,
    limits: &IndexLimits,
    check: Check,
    interrupt: &Interrupt,
    progress: &mut dyn FnMut(IndexProgress),
) -> Result<(Received, File), IndexError> {
    let file = files::create(to, 0o444)?;
    let mut stream = Stream {
        input,
        to,
        out: BufWriter::with_capacity(BUFFER, file),
        checksum: Checksum::new(format),
        crc: Crc::new(),
        offset: 0,
        limit: limits.pack_bytes,
        interrupt,
    };
    let count = header(&mut stream)?;
    if count > limits.objects {
        return Err(IndexError::TooManyObjects { count, limit: limits.objects });
    }
    let mut first = FirstPass {
        format,
        limits,
        inflate: Decompress::new(true),
        buffer: vec![0; BUFFER].into(),
        whole: Vec::new(),
        done: Received {
            entries: Entries::default(),
            ofs_deltas: Vec::new(),
            ref_deltas: Vec::new(),
            end: 0,
            trailer: ObjectId::null(format),
            inflated: 0,
            fsck: (check == Check::Push).then(|| Fsck::new(format)),
        },
    };
    for number in 0..count {
        first.entry(&mut stream, number)?;
        progress(IndexProgress::Receiving { objects: number + 1, of: count, bytes: stream.offset });
    }
    let mut done = first.done;
    done.end = stream.offset;
    done.trailer = stream.trailer(format)?;
    let file = stream.out.into_inner().map_err(|error| failed("write", to)(error.into_error()))?;
    Ok((done, file))
}

const BUFFER: usize = 64 * 1024;

fn header<R: BufRead>(stream: &mut Stream<'_, R>) -> Result<u32, IndexError> {
    let mut bytes = [0; PACK_HEADER_LEN as usize];
    for byte in &mut bytes {
        *byte = stream.byte()?;
    }
    let word =
        |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    if &bytes[..4] != b"PACK" {
        return Err(IndexError::Signature);
    }
    match word(4) {
        2 | 3 => Ok(word(8)),
        version => Err(IndexError::Version { version }),
    }
}

struct FirstPass<'a> {
    format: ObjectFormat,
    limits: &'a IndexLimits,
    inflate: Decompress,
    buffer: Box<[u8]>,
    /// The whole object, where it must be looked into.
    whole: Vec<u8>,
    done: Received,
}

impl FirstPass<'_> {
    fn entry<R: BufRead>(
        &mut self,
        stream: &mut Stream<'_, R>,
        number: u32,
    ) -> Result<(), IndexError> {
        stream.interrupt.check()?;
        let offset = stream.offset;
        stream.crc = Crc::new();
        let header = EntryHeader::parse(offset, self.format, || stream.byte()).map_err(
            |error| match error {
                HeaderError::Read(error) => error,
                HeaderError::Malformed(what) => IndexError::Malformed { offset, what },
            },
        )?;
        self.limits.check_object(header.size, None)?;
        let (mut id, mut kind) = (None, None);
        match header.kind {
            EntryKind::Whole(known) => {
                id = Some(self.whole(stream, offset, known, header.size)?);
                kind = Some(known);
            }
            EntryKind::OfsDelta { base } => {
                self.done.ofs_deltas.push((base, number));
                self.inflate(stream, offset, header.size, |_| {})?;
            }
            EntryKind::RefDelta { base } => {
                self.done.ref_deltas.push((base, number));
                self.inflate(stream, offset, header.size, |_| {})?;
            }
        }
        let entries = &mut self.done.entries;
        entries.offsets.push(offset);
        entries.crcs.push(stream.crc.sum());
        entries.ids.push(id);
        entries.kinds.push(kind);
        Ok(())
    }

    fn whole<R: BufRead>(
        &mut self,
        stream: &mut Stream<'_, R>,
        offset: u64,
        kind: Kind,
        size: u64,
    ) -> Result<ObjectId, IndexError> {
        let mut hasher = ObjectHasher::new(self.format, kind, size);
        let mut whole = std::mem::take(&mut self.whole);
        whole.clear();
        // Only what is checked is held; blobs pass through.
        let hold = kind != Kind::Blob && self.done.fsck.is_some();
        self.inflate(stream, offset, size, |piece| {
            hasher.update(piece);
            if hold {
                whole.extend_from_slice(piece);
            }
        })?;
        let id = hasher.finish()?;
        if let (true, Some(fsck)) = (hold, &mut self.done.fsck) {
            fsck.note(id, kind, &whole);
        }
        if whole.capacity() <= KEEP {
            self.whole = whole;
        }
        Ok(id)
    }

    /// Inflates one zlib stream and consumes exactly its bytes.
    fn inflate<R: BufRead>(
        &mut self,
        stream: &mut Stream<'_, R>,
        offset: u64,
        size: u64,
        mut sink: impl FnMut(&[u8]),
    ) -> Result<(), IndexError> {
        let malformed = |what| IndexError::Malformed { offset, what };
        self.inflate.reset(true);
        loop {
            let (in_before, out_before) = (self.inflate.total_in(), self.inflate.total_out());
            let input = stream.fill()?;
            // One byte more than is left, so that a stream that goes on shows itself.
            let room = self.buffer.len().min((size - out_before).saturating_add(1) as usize);
            let status = self
                .inflate
                .decompress(input, &mut self.buffer[..room], FlushDecompress::None)
                .map_err(|_| malformed("the zlib stream is damaged"))?;
            stream.consume((self.inflate.total_in() - in_before) as usize)?;
            let made = (self.inflate.total_out() - out_before) as usize;
            if self.inflate.total_out() > size {
                return Err(malformed("an object is longer than its header says"));
            }
            sink(&self.buffer[..made]);
            self.done.inflated += made as u64;
            self.limits.check_ratio(self.done.inflated, stream.offset)?;
            match status {
                Status::StreamEnd if self.inflate.total_out() == size => return Ok(()),
                Status::StreamEnd => {
                    return Err(malformed("an object is shorter than its header says"));
                }
                Status::Ok | Status::BufError => {
                    if made == 0 && self.inflate.total_in() == in_before {
                        return Err(malformed("the zlib stream is damaged"));
                    }
                }
            }
        }
    }
}

/// Buffers up to this size are kept for the next object.
const KEEP: usize = 4 << 20;

/// The pack as it arrives: every byte that is consumed is hashed, summed and written.
struct Stream<'a, R> {
    input: &'a mut R,
    to: &'a Path,
    out: BufWriter<File>,
    checksum: Checksum,
    crc: Crc,
    offset: u64,
    limit: u64,
    interrupt: &'a Interrupt,
}

impl<R: BufRead> Stream<'_, R> {
    /// What lies ready, at least one byte.
    fn fill(&mut self) -> Result<&[u8], IndexError> {
        self.interrupt.check()?;
        ready(self.input, self.offset)
    }

    fn consume(&mut self, len: usize) -> Result<(), IndexError> {
        if len == 0 {
            return Ok(());
        }
        // Asked anew for what was not consumed, a buffered reader gives the same bytes.
        let bytes = &ready(self.input, self.offset)?[..len];
        self.offset += len as u64;
        if self.offset > self.limit {
            return Err(IndexError::PackTooBig { limit: self.limit });
        }
        self.checksum.update(bytes);
        self.crc.update(bytes);
        self.out.write_all(bytes).map_err(failed("write", self.to))?;
        self.input.consume(len);
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, IndexError> {
        let byte = self.fill()?[0];
        self.consume(1)?;
        Ok(byte)
    }

    /// Reads the checksum behind the last entry; not a byte more.
    fn trailer(&mut self, format: ObjectFormat) -> Result<ObjectId, IndexError> {
        let computed = self.checksum.clone().finish();
        let mut raw = [0; 32];
        let raw = &mut raw[..format.raw_len()];
        for byte in &mut *raw {
            *byte = self.byte()?;
        }
        if computed.as_bytes() == raw { Ok(computed) } else { Err(IndexError::Trailer) }
    }
}

fn ready<R: BufRead>(input: &mut R, offset: u64) -> Result<&[u8], IndexError> {
    loop {
        // The borrow checker does not let a loop return what it borrowed, hence the second look.
        match input.fill_buf() {
            Ok([]) => return Err(IndexError::Truncated { bytes: offset }),
            Ok(_) => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(IndexError::Read(error)),
        }
    }
    input.fill_buf().map_err(IndexError::Read)
}
