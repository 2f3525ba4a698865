//! What a delta may build upon, and how it names that.

use super::entry::Header;
use super::{Source, WriteError, Writer};
use crate::packs::Entry;
use crate::{EntryKind, Location, Pack};

/// Where a delta's base is found by who reads the pack.
#[derive(Clone, Copy, Debug)]
pub(super) enum Base {
    /// Earlier in the pack, at this offset.
    Written(u64),
    /// Later in the pack; only for a delta that lies so in a pack already.
    Later(Location),
    /// In the reader's own store.
    Had,
}

impl Writer<'_> {
    /// The header with which the entry's deflated bytes mean the same in this pack; `None` if there is none.
    pub(super) fn header_for(
        &mut self,
        at: Location,
        pack: &Pack,
        entry: &Entry<'_>,
    ) -> Result<Option<Header>, WriteError> {
        let (position, at_rest) = match entry.kind {
            EntryKind::Whole(_) => {
                let better = self.encoder.may_shrink(entry) && self.older(at).is_some();
                return Ok((!better).then_some(Header::AsItLies));
            }
            EntryKind::OfsDelta { base } => {
                let Some(position) = pack.order().position(base) else {
                    return Err(pack.corrupt(entry.offset, "a delta's base is no entry").into());
                };
                (position, Some(entry.offset - base))
            }
            EntryKind::RefDelta { base } => match pack.position(&base) {
                Some(position) => (position, None),
                None => {
                    return Err(pack
                        .corrupt(entry.offset, "a delta's base is not in its pack")
                        .into());
                }
            },
        };
        let Some(base) = self.base(Location { pack: at.pack, position }) else { return Ok(None) };
        Ok(Some(match base {
            Base::Written(offset) if self.source.dialect.ofs_delta => {
                if at_rest == Some(self.sink.at() - offset) {
                    Header::AsItLies
                } else {
                    Header::OfsDelta(offset)
                }
            }
            Base::Written(_) | Base::Had => Header::RefDelta(pack.id_at(position)),
            Base::Later(base) => {
                self.pinned.insert(base);
                Header::RefDelta(pack.id_at(position))
            }
        }))
    }

    /// Whether a delta may build upon the object at a place.
    fn base(&self, mut at: Location) -> Option<Base> {
        let Source { packs, counted, base, dialect } = self.source;
        if !counted.send.contains(at) {
            let id = packs.id_at(at);
            if let Some(position) = base.and_then(|base| base.position(&id)) {
                return base.map(|base| Base::Written(base.offset_at(position)));
            }
            // The pack's own copy may stand in the shadow of an earlier pack's.
            at = packs.locate(&id)?;
        }
        if counted.send.contains(at) {
            let offset = packs.pack(at).offset_at(at.position);
            return Some(self.offsets.get(at.pack, offset).map_or(Base::Later(at), Base::Written));
        }
        (dialect.thin && counted.had.contains(at)).then_some(Base::Had)
    }

    /// An older version of the object that a delta may build upon.
    pub(super) fn older(&self, at: Location) -> Option<(Location, Base)> {
        /// Versions looked back at.
        const STEPS: usize = 64;
        let older = |at: &Location| self.source.counted.older.get(at).copied();
        if self.pinned.contains(&at) {
            return None;
        }
        std::iter::successors(older(&at), older)
            .take(STEPS)
            .find_map(|older| self.base(older).map(|base| (older, base)))
            .filter(|(_, base)| !matches!(base, Base::Later(_)))
    }
}
