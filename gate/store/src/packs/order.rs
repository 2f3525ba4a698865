//! The reverse index: a pack's entries in the order in which they lie.

/// Index positions sorted by offset. A *rank* counts entries in pack order from 0; a *position* counts them by id.
#[derive(Debug)]
pub struct PackOrder {
    positions: Box<[u32]>,
    offsets: Offsets,
    end: u64,
}

/// Four bytes an entry suffice for nearly every pack.
#[derive(Debug)]
enum Offsets {
    Small(Box<[u32]>),
    Large(Box<[u64]>),
}

impl PackOrder {
    pub(super) fn new(index: &gix_pack::index::File, end: u64) -> Self {
        let mut all: Vec<(u64, u32)> =
            (0..index.num_objects()).map(|at| (index.pack_offset_at_index(at), at)).collect();
        all.sort_unstable();
        let positions = all.iter().map(|(_, position)| *position).collect();
        let offsets = if u32::try_from(all.last().map_or(0, |(offset, _)| *offset)).is_ok() {
            Offsets::Small(all.iter().map(|(offset, _)| *offset as u32).collect())
        } else {
            Offsets::Large(all.iter().map(|(offset, _)| *offset).collect())
        };
        Self { positions, offsets, end }
    }

    /// Index positions in pack order.
    pub fn positions(&self) -> &[u32] {
        &self.positions
    }

    /// The rank of the entry that begins at `offset`.
    pub fn rank(&self, offset: u64) -> Option<u32> {
        let found = match &self.offsets {
            Offsets::Small(offsets) => offsets.binary_search(&u32::try_from(offset).ok()?),
            Offsets::Large(offsets) => offsets.binary_search(&offset),
        };
        found.ok().map(|rank| rank as u32)
    }

    /// The index position of the entry that begins at `offset`.
    pub fn position(&self, offset: u64) -> Option<u32> {
        self.rank(offset).map(|rank| self.positions[rank as usize])
    }

    /// Where the `rank`th entry begins. Panics past the pack's length.
    pub fn offset(&self, rank: u32) -> u64 {
        match &self.offsets {
            Offsets::Small(offsets) => u64::from(offsets[rank as usize]),
            Offsets::Large(offsets) => offsets[rank as usize],
        }
    }

    /// Where the `rank`th entry ends. Panics past the pack's length.
    pub fn end(&self, rank: u32) -> u64 {
        if rank as usize + 1 < self.positions.len() { self.offset(rank + 1) } else { self.end }
    }
}
