//! Makes deltas (gitformat-pack(5), "Deltified representation"): what a new version shares with an old one is copied.

/// Bytes of the base that are looked up together.
const BLOCK: usize = 16;
/// The longest copy one instruction can say without its third length byte, which some readers lack.
const MAX_COPY: usize = 0xffff;
const MAX_INSERT: usize = 0x7f;

/// A delta that makes `target` from `base`; `None` if it would be longer than `limit`.
pub(super) fn make(base: &[u8], target: &[u8], limit: usize) -> Option<Vec<u8>> {
    let index = BlockIndex::new(base)?;
    let mut out = Vec::with_capacity(limit.min(4096));
    push_size(&mut out, base.len());
    push_size(&mut out, target.len());
    let mut inserted = 0; // everything before this is in `out`
    let mut at = 0;
    while let Some(block) = target.get(at..at + BLOCK) {
        let found = index.find(base, block);
        let Some(mut from) = found else {
            at += 1;
            continue;
        };
        while at > inserted && from > 0 && base[from - 1] == target[at - 1] {
            at -= 1;
            from -= 1;
        }
        let len = base[from..].iter().zip(&target[at..]).take_while(|(a, b)| a == b).count();
        push_insert(&mut out, &target[inserted..at]);
        push_copy(&mut out, from, len);
        at += len;
        inserted = at;
        if out.len() > limit {
            return None;
        }
    }
    push_insert(&mut out, &target[inserted..]);
    (out.len() <= limit).then_some(out)
}

/// Finds blocks of the base by their bytes; of blocks alike the first is remembered.
struct BlockIndex {
    /// Block number plus one, 0 for none.
    slots: Vec<u32>,
    shift: u32,
}

impl BlockIndex {
    fn new(base: &[u8]) -> Option<Self> {
        let blocks = base.len() / BLOCK;
        if blocks == 0 || u32::try_from(base.len()).is_err() {
            return None;
        }
        let bits = (blocks * 2).next_power_of_two().trailing_zeros();
        let mut index = Self { slots: vec![0; 1 << bits], shift: 64 - bits };
        for (number, block) in (1..).zip(base.chunks_exact(BLOCK)) {
            let slot = index.slot(block);
            if index.slots[slot] == 0 {
                index.slots[slot] = number;
            }
        }
        Some(index)
    }

    fn slot(&self, block: &[u8]) -> usize {
        let half =
            |at: usize| block[at..].first_chunk().map_or(0, |half| u64::from_le_bytes(*half));
        let mixed = half(0).wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ half(8).wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
        (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift) as usize
    }

    fn find(&self, base: &[u8], block: &[u8]) -> Option<usize> {
        let from = (self.slots[self.slot(block)] as usize).checked_sub(1)? * BLOCK;
        (base[from..from + BLOCK] == *block).then_some(from)
    }
}

fn push_size(out: &mut Vec<u8>, size: usize) {
    let mut rest = size;
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn push_insert(out: &mut Vec<u8>, bytes: &[u8]) {
    for piece in bytes.chunks(MAX_INSERT) {
        out.push(piece.len() as u8);
        out.extend_from_slice(piece);
    }
}

fn push_copy(out: &mut Vec<u8>, from: usize, len: usize) {
    let mut done = 0;
    while done < len {
        let piece = (len - done).min(MAX_COPY);
        let op = out.len();
        out.push(0x80);
        let (from, size) = ((from + done).to_le_bytes(), (piece as u16).to_le_bytes());
        for (bit, byte) in from[..4].iter().chain(&size).enumerate() {
            if *byte != 0 {
                out[op] |= 1 << bit;
                out.push(*byte);
            }
        }
        done += piece;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packs::apply;
    use proptest::prelude::*;

    fn check(base: &[u8], target: &[u8]) -> usize {
        let delta = make(base, target, usize::MAX).unwrap();
        let mut made = Vec::new();
        apply(base, &delta, |piece| made.extend_from_slice(piece)).unwrap();
        assert_eq!(made, target);
        delta.len()
    }

    #[test]
    fn a_small_edit_makes_a_small_delta() {
        let base: Vec<u8> = (0..20_000_u32).flat_map(|n| (n * n).to_le_bytes()).collect();
        let mut target = base.clone();
        target.splice(30_000..30_010, *b"something else");
        target.splice(70_000..70_000, [9; 300]);
        assert!(check(&base, &target) < 400);
        assert!(check(&base, &base) < 20);
    }

    #[test]
    fn gives_up_when_little_is_shared() {
        assert_eq!(make(b"short", b"whatever", 100), None);
        assert_eq!(make(&[1; 100], &[2; 100], 50), None);
    }

    proptest! {
        #[test]
        fn applying_it_makes_the_target(
            base in prop::collection::vec(0_u8..4, 16..600),
            cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..6),
            insert in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut target = insert;
            for (a, b) in cuts {
                let (a, b) = (a.index(base.len()), b.index(base.len()));
                target.extend_from_slice(&base[a.min(b)..a.max(b)]);
            }
            check(&base, &target);
        }
    }
}
