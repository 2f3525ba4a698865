//! Sets of objects: one bit for each entry of each pack of a [`PackSet`].

use crate::{Location, PackSet};

/// A set of objects that lie in the packs of one [`PackSet`]; an eighth of a byte for each object that could be in it.
#[derive(Clone, Debug)]
pub(crate) struct ObjectSet {
    packs: Vec<Bits>,
    len: u64,
}

#[derive(Clone, Debug)]
struct Bits {
    /// Empty until the first object of the pack comes in.
    words: Box<[u64]>,
    entries: u32,
}

impl ObjectSet {
    pub(crate) fn new(packs: &PackSet) -> Self {
        let none = |entries| Bits { words: Box::default(), entries };
        Self { packs: packs.packs().iter().map(|pack| none(pack.len())).collect(), len: 0 }
    }

    /// How many objects are in the set.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Adds an object; whether it is new to the set.
    pub(crate) fn insert(&mut self, at: Location) -> bool {
        let bits = &mut self.packs[at.pack as usize];
        if bits.words.is_empty() {
            bits.words = vec![0; bits.entries.div_ceil(64) as usize].into();
        }
        let word = &mut bits.words[at.position as usize / 64];
        let bit = 1 << (at.position % 64);
        let new = *word & bit == 0;
        *word |= bit;
        self.len += u64::from(new);
        new
    }

    pub(crate) fn contains(&self, at: Location) -> bool {
        let words = &self.packs[at.pack as usize].words;
        words.get(at.position as usize / 64).is_some_and(|word| word >> (at.position % 64) & 1 == 1)
    }

    /// Takes an object out.
    pub(crate) fn remove(&mut self, at: Location) {
        if self.contains(at) {
            self.packs[at.pack as usize].words[at.position as usize / 64] &=
                !(1 << (at.position % 64));
            self.len -= 1;
        }
    }

    /// All objects of the set, pack by pack.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Location> {
        (0..self.packs.len() as u32)
            .flat_map(|pack| self.positions(pack).map(move |position| Location { pack, position }))
    }

    /// The positions of the set's objects in one pack, by id.
    pub(crate) fn positions(&self, pack: u32) -> impl Iterator<Item = u32> {
        self.packs[pack as usize].words.iter().zip(0_u32..).flat_map(|(word, at)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros())?;
                left &= left - 1;
                Some(at * 64 + bit)
            })
        })
    }

    /// How many of the set's objects lie in one pack.
    pub(crate) fn len_in(&self, pack: u32) -> u32 {
        self.packs[pack as usize].words.iter().map(|word| word.count_ones()).sum()
    }
}
