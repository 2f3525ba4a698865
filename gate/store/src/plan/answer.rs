//! The ways to answer, and how each is written.

use std::io::{self, BufRead, Write};
use std::sync::Arc;

use super::asked::Asked;
use crate::count::Counted;
use crate::kept::{Follower, Key, MAX_RECIPE_TAIL, Outcome, Recipe};
use crate::write::{Source, next_piece, write_pack};
use crate::{Interrupt, PACK_HEADER_LEN, Pack, Progress, Snapshot, WriteError, Written};

#[derive(Debug)]
pub(super) enum Answer {
    /// A pack as it lies.
    Pack(Arc<Pack>),
    /// A pack as it lies and a tail that was made before.
    Recipe(Arc<Recipe>),
    /// A pack that is being made for all who ask the same.
    Follow(Follower),
    /// Objects of which a pack is made; `base` goes first, and the key is by what the answer is remembered.
    Made { counted: Arc<Counted>, base: Option<(Arc<Pack>, Key)> },
}

impl Answer {
    pub(super) fn made(counted: Counted) -> Self {
        Self::Made { counted: Arc::new(counted), base: None }
    }

    pub(super) fn objects(&self) -> Option<u64> {
        match self {
            Self::Pack(pack) => Some(u64::from(pack.len())),
            Self::Recipe(recipe) => Some(recipe.written.objects),
            Self::Follow(follower) => follower.objects(),
            Self::Made { counted, base } => {
                let base = base.as_ref().map_or(0, |(base, _)| u64::from(base.len()));
                Some(base + counted.send.len())
            }
        }
    }

    pub(super) fn write(
        &self,
        snapshot: &Snapshot,
        asked: &Asked,
        out: &mut dyn Write,
        interrupt: &Interrupt,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Written, WriteError> {
        let source = |counted, base| Source {
            packs: snapshot.packs(),
            counted,
            base,
            dialect: asked.dialect,
        };
        match self {
            Self::Pack(pack) => {
                let bytes = pack.bytes().len() as u64;
                let objects = u64::from(pack.len());
                let written = Written { objects, bytes, checksum: pack.trailer() };
                let mut stream = Stream { out, interrupt, progress, written, bytes: 0 };
                stream.copy(pack.stretch(0..bytes))?;
                stream.finish()
            }
            Self::Recipe(recipe) => {
                let Recipe { base, tail, written } = &**recipe;
                let count = (written.objects as u32).to_be_bytes();
                let mut stream = Stream { out, interrupt, progress, written: *written, bytes: 0 };
                stream.copy(&[b"PACK\0\0\0\x02", &count[..]].concat()[..])?;
                stream.copy(base.stretch(PACK_HEADER_LEN..base.end()))?;
                stream.copy(&tail[..])?;
                stream.finish()
            }
            Self::Follow(follower) => match follower.stream(out, interrupt, progress)? {
                Outcome::Written(written) => Ok(written),
                Outcome::Counted(counted) => {
                    write_pack(source(&counted, None), out, None, interrupt, progress)
                }
                Outcome::Alone { sent } => {
                    // The same objects make the same bytes: go on where the file ended.
                    let counted = asked.count(snapshot, interrupt, progress)?;
                    let mut out = Skip { out, left: sent };
                    write_pack(source(&counted, None), &mut out, None, interrupt, progress)
                }
            },
            Self::Made { counted, base: None } => {
                write_pack(source(counted, None), out, None, interrupt, progress)
            }
            Self::Made { counted, base: Some((base, key)) } => {
                let mut out = Tap { out, left: base.end(), tail: Some(Vec::new()) };
                let written =
                    write_pack(source(counted, Some(base)), &mut out, None, interrupt, progress)?;
                if let Some(tail) = out.tail {
                    let recipe = Recipe { base: Arc::clone(base), tail, written };
                    snapshot.shared.kept.remember(*key, recipe);
                }
                Ok(written)
            }
        }
    }
}

/// Writes what is there already.
struct Stream<'a> {
    out: &'a mut dyn Write,
    interrupt: &'a Interrupt,
    progress: &'a mut dyn FnMut(Progress),
    written: Written,
    bytes: u64,
}

impl Stream<'_> {
    fn copy(&mut self, mut from: impl BufRead) -> Result<(), WriteError> {
        while let Some(piece) = next_piece(&mut from).map_err(WriteError::Pack)? {
            self.interrupt.check()?;
            self.out.write_all(piece).map_err(WriteError::Write)?;
            let len = piece.len();
            from.consume(len);
            self.bytes += len as u64;
            let total = self.written.objects;
            let done = u128::from(total) * u128::from(self.bytes);
            let objects = (done / u128::from(self.written.bytes.max(1))) as u64;
            (self.progress)(Progress::Writing { objects, total, bytes: self.bytes });
        }
        Ok(())
    }

    fn finish(self) -> Result<Written, WriteError> {
        self.out.flush().map_err(WriteError::Write)?;
        Ok(self.written)
    }
}

/// Leaves out the first bytes.
struct Skip<'a> {
    out: &'a mut dyn Write,
    left: u64,
}

impl Write for Skip<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let skipped = self.left.min(bytes.len() as u64);
        self.left -= skipped;
        self.out.write_all(&bytes[skipped as usize..])?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Remembers what comes after the first bytes, unless that is too much.
struct Tap<'a> {
    out: &'a mut dyn Write,
    left: u64,
    tail: Option<Vec<u8>>,
}

impl Write for Tap<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write_all(bytes)?;
        let before = self.left.min(bytes.len() as u64);
        self.left -= before;
        if let Some(tail) = &mut self.tail {
            tail.extend_from_slice(&bytes[before as usize..]);
            if tail.len() > MAX_RECIPE_TAIL {
                self.tail = None;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
