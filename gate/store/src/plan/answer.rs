//! The ways to answer, and how each is written.

use std::io::{self, Write};
use std::sync::Arc;

use super::asked::Asked;
use crate::count::Counted;
use crate::kept::{Follower, Key, MAX_RECIPE_TAIL, Outcome, Recipe};
use crate::write::{Source, write_pack};
use crate::{Interrupt, PACK_HEADER_LEN, Pack, Progress, Snapshot, WriteError, Written};

/// Bytes written between two looks at the interrupt.
const PIECE: usize = 1 << 18;

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
                let total = u64::from(pack.len());
                let bytes = pack.bytes().len() as u64;
                let written = Written { objects: total, bytes, checksum: pack.trailer() };
                stream(&[pack.bytes()], written, out, interrupt, progress)
            }
            Self::Recipe(recipe) => {
                let Recipe { base, tail, written } = &**recipe;
                let head =
                    [b"PACK\0\0\0\x02", &(written.objects as u32).to_be_bytes()[..]].concat();
                let body = &base.bytes()[PACK_HEADER_LEN as usize..base.end() as usize];
                stream(&[&head, body, tail], *written, out, interrupt, progress)
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
fn stream(
    parts: &[&[u8]],
    written: Written,
    out: &mut dyn Write,
    interrupt: &Interrupt,
    progress: &mut dyn FnMut(Progress),
) -> Result<Written, WriteError> {
    let total = written.objects;
    let mut bytes = 0;
    for piece in parts.iter().flat_map(|part| part.chunks(PIECE)) {
        interrupt.check()?;
        out.write_all(piece).map_err(WriteError::Write)?;
        bytes += piece.len() as u64;
        let objects =
            (u128::from(total) * u128::from(bytes) / u128::from(written.bytes.max(1))) as u64;
        progress(Progress::Writing { objects, total, bytes });
    }
    out.flush().map_err(WriteError::Write)?;
    Ok(written)
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
