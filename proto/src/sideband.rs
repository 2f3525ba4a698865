//! Sideband: pack data, progress and a last word on one stream (gitprotocol-pack, "side-band").

use crate::pktline;

/// What a sideband packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Band {
    /// 1: the pack, or a nested stream of packets (the report of a push, v2's `sideband-all`).
    Data,
    /// 2: lines for the person at the other end, shown as `remote: …`.
    Progress,
    /// 3: why it ends here.
    Error,
}

impl Band {
    const fn number(self) -> u8 {
        match self {
            Self::Data => 1,
            Self::Progress => 2,
            Self::Error => 3,
        }
    }
}

/// How much a sideband packet may carry: `side-band` or `side-band-64k`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// `side-band`: packets of at most 1,000 bytes.
    Small,
    /// `side-band-64k`: packets of at most 65,520 bytes.
    Large,
}

impl Width {
    /// Payload bytes of one packet: its limit less the length and the band number.
    pub const fn payload(self) -> usize {
        match self {
            Self::Small => 1000 - 5,
            Self::Large => pktline::MAX_DATA - 1,
        }
    }
}

/// Appends `data` on `band`, cut into as many packets as it takes; empty data makes one empty packet, a keepalive.
pub fn frame(out: &mut Vec<u8>, band: Band, width: Width, data: &[u8]) {
    if data.is_empty() {
        pktline::encode(out, &[band.number()]);
    }
    for piece in data.chunks(width.payload()) {
        pktline::encode_parts(out, &[&[band.number()], piece]);
    }
}

/// The five bytes that go before `len` bytes of payload on `band`, for callers that write the payload themselves.
///
/// # Panics
/// When `len` is longer than a packet of the wide sideband can be.
pub fn prefix(band: Band, len: usize) -> [u8; 5] {
    assert!(len <= Width::Large.payload(), "a sideband packet of {len} bytes");
    let [a, b, c, d] = pktline::header(len + 5);
    [a, b, c, d, band.number()]
}

/// Splits a packet's payload into band and data; `None` when there is no such band.
pub fn split(payload: &[u8]) -> Option<(Band, &[u8])> {
    let (number, data) = payload.split_first()?;
    let band = match number {
        1 => Band::Data,
        2 => Band::Progress,
        3 => Band::Error,
        _ => return None,
    };
    Some((band, data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_at_the_width() {
        for (width, longest) in [(Width::Small, 1000), (Width::Large, 65_520)] {
            let mut out = Vec::new();
            frame(&mut out, Band::Data, width, &vec![7; width.payload() + 1]);
            let (packet, len) = pktline::decode(&out).unwrap().unwrap();
            assert_eq!(len, longest);
            assert!(
                matches!(packet, pktline::Packet::Data(data) if split(data).unwrap().0 == Band::Data)
            );
            assert_eq!(out.len() - len, 6);
        }
    }

    #[test]
    fn a_keepalive_is_an_empty_packet() {
        let mut out = Vec::new();
        frame(&mut out, Band::Progress, Width::Large, b"");
        assert_eq!(out, b"0005\x02");
    }

    #[test]
    fn prefix_and_frame_agree() {
        let mut out = Vec::new();
        frame(&mut out, Band::Error, Width::Large, b"no");
        assert_eq!(out, [&prefix(Band::Error, 2)[..], b"no"].concat());
    }

    #[test]
    fn knows_three_bands() {
        assert_eq!(split(b""), None);
        assert_eq!(split(b"\0x"), None);
        assert_eq!(split(b"\x04x"), None);
        assert_eq!(split(b"\x02x"), Some((Band::Progress, &b"x"[..])));
    }
}
