//! Deltas: copy and insert instructions that make an object from its base (gitformat-pack(5), "Deltified representation").

/// Why a delta cannot be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeltaError {
    Truncated,
    Size,
    Base,
    Copy,
    Reserved,
    Result,
}

impl DeltaError {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Truncated => "a delta's instructions end too early",
            Self::Size => "a delta's size does not fit 64 bits",
            Self::Base => "a delta was made for a base of another size",
            Self::Copy => "a delta copies from outside its base",
            Self::Reserved => "a delta uses the reserved instruction",
            Self::Result => "a delta makes another size than it declares",
        }
    }
}

/// The two sizes at the head of a delta, and where its instructions begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeltaSizes {
    pub(crate) base: u64,
    pub(crate) result: u64,
    pub(crate) len: usize,
}

/// The longest head of a delta: two numbers of at most ten bytes.
pub(crate) const MAX_DELTA_HEAD: usize = 20;

impl DeltaSizes {
    pub(crate) fn parse(delta: &[u8]) -> Result<Self, DeltaError> {
        let (base, first) = size(delta)?;
        let (result, second) = size(&delta[first..])?;
        Ok(Self { base, result, len: first + second })
    }
}

/// Applies `delta` to `base` and hands the result to `sink` piece by piece, never more than the declared size.
pub(crate) fn apply(
    base: &[u8],
    delta: &[u8],
    mut sink: impl FnMut(&[u8]),
) -> Result<(), DeltaError> {
    let sizes = DeltaSizes::parse(delta)?;
    if sizes.base != base.len() as u64 {
        return Err(DeltaError::Base);
    }
    let mut left = sizes.result;
    let mut rest = &delta[sizes.len..];
    while let Some((&op, after)) = rest.split_first() {
        rest = after;
        let piece = match op {
            0 => return Err(DeltaError::Reserved),
            1..=0x7f => {
                let (piece, after) =
                    rest.split_at_checked(usize::from(op)).ok_or(DeltaError::Truncated)?;
                rest = after;
                piece
            }
            0x80.. => {
                let start = operand(op, 4, &mut rest)?;
                let len = match operand(op >> 4, 3, &mut rest)? {
                    0 => 0x1_0000,
                    len => len,
                };
                base.get(start..start + len).ok_or(DeltaError::Copy)?
            }
        };
        left = left.checked_sub(piece.len() as u64).ok_or(DeltaError::Result)?;
        sink(piece);
    }
    if left == 0 { Ok(()) } else { Err(DeltaError::Result) }
}

/// A little-endian number of which only the bytes flagged in `mask` are present.
fn operand(mask: u8, bytes: u32, rest: &mut &[u8]) -> Result<usize, DeltaError> {
    let mut value = 0;
    for i in 0..bytes {
        if mask & 1 << i != 0 {
            let (&byte, after) = rest.split_first().ok_or(DeltaError::Truncated)?;
            *rest = after;
            value |= usize::from(byte) << (8 * i);
        }
    }
    Ok(value)
}

fn size(bytes: &[u8]) -> Result<(u64, usize), DeltaError> {
    let mut value = 0;
    for (i, &byte) in bytes.iter().enumerate() {
        let shift = 7 * i as u32;
        let bits = u64::from(byte & 0x7f);
        if shift > 63 || bits << shift >> shift != bits {
            return Err(DeltaError::Size);
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok((value, i + 1));
        }
    }
    Err(DeltaError::Truncated)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(base: &[u8], delta: &[u8]) -> Result<Vec<u8>, DeltaError> {
        let mut out = Vec::new();
        apply(base, delta, |piece| out.extend_from_slice(piece))?;
        Ok(out)
    }

    #[test]
    fn copies_and_inserts() {
        let delta = [5, 6, 0x91, 1, 3, 3, b'x', b'y', b'z'];
        assert_eq!(result(b"hello", &delta), Ok(b"ellxyz".to_vec()));
    }

    #[test]
    fn refuses_every_lie() {
        let cases: &[(&[u8], DeltaError)] = &[
            (&[], DeltaError::Truncated),
            (&[5], DeltaError::Truncated),
            (&[4, 0], DeltaError::Base),
            (&[5, 1, 0], DeltaError::Reserved),
            (&[5, 9, 0x91, 1, 9], DeltaError::Copy),
            (&[5, 9, 0x91, 1], DeltaError::Truncated),
            (&[5, 9, 4, b'x'], DeltaError::Truncated),
            (&[5, 1, 0x91, 1, 3], DeltaError::Result),
            (&[5, 9, 0x91, 1, 3], DeltaError::Result),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], DeltaError::Size),
        ];
        for (delta, error) in cases {
            assert_eq!(result(b"hello", delta), Err(*error), "{delta:?}");
        }
    }
}
