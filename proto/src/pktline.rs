//! pkt-line framing (gitprotocol-common, "pkt-line Format"): decode one packet, encode one packet.

/// Longest packet, its four length digits included (`LARGE_PACKET_MAX` in git's pkt-line.h).
pub const MAX_PACKET: usize = 65_520;
/// Longest payload of a packet.
pub const MAX_DATA: usize = MAX_PACKET - LENGTH_DIGITS;

pub(crate) const LENGTH_DIGITS: usize = 4;

/// One packet, borrowed from the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// A payload; `0004` is an empty one, which git sends for `push -o ""`.
    Data(&'a [u8]),
    /// `0000`
    Flush,
    /// `0001`, protocol v2 only.
    Delim,
    /// `0002`, protocol v2 over stateless transports only.
    ResponseEnd,
}

impl<'a> Packet<'a> {
    /// The payload without the one line feed that senders may or may not add; `None` for the special packets.
    pub fn text(self) -> Option<&'a [u8]> {
        match self {
            Packet::Data(data) => Some(data.strip_suffix(b"\n").unwrap_or(data)),
            Packet::Flush | Packet::Delim | Packet::ResponseEnd => None,
        }
    }
}

/// Why bytes are no packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("pkt-line length '{}' is not four hex digits", .0.escape_ascii())]
    Digits([u8; 4]),
    #[error("pkt-line length {0} is not allowed")]
    Length(usize),
}

/// Decodes the packet at the start of `input`, with the number of bytes it takes; `None` while bytes are missing.
///
/// A wrong length is an error as soon as its four digits are there: nothing waits for a packet that can't come.
pub fn decode(input: &[u8]) -> Result<Option<(Packet<'_>, usize)>, Error> {
    let Some((digits, _)) = input.split_first_chunk::<LENGTH_DIGITS>() else { return Ok(None) };
    let packet = match length(*digits)? {
        0 => (Packet::Flush, LENGTH_DIGITS),
        1 => (Packet::Delim, LENGTH_DIGITS),
        2 => (Packet::ResponseEnd, LENGTH_DIGITS),
        len @ LENGTH_DIGITS..=MAX_PACKET => match input.get(LENGTH_DIGITS..len) {
            Some(data) => (Packet::Data(data), len),
            None => return Ok(None),
        },
        len => return Err(Error::Length(len)),
    };
    Ok(Some(packet))
}

/// Appends one data packet.
///
/// # Panics
/// When `data` is longer than [`MAX_DATA`]: senders cut long payloads by sideband, lines are never that long.
pub fn encode(out: &mut Vec<u8>, data: &[u8]) {
    encode_parts(out, &[data]);
}

/// Appends one data packet made of several parts, saving the caller the concatenation.
///
/// # Panics
/// As [`encode`].
pub fn encode_parts(out: &mut Vec<u8>, parts: &[&[u8]]) {
    let len = LENGTH_DIGITS + parts.iter().map(|part| part.len()).sum::<usize>();
    assert!(len <= MAX_PACKET, "a pkt-line of {len} bytes");
    out.extend_from_slice(&header(len));
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// Appends one data packet whose payload `write` appends in its place.
///
/// # Panics
/// As [`encode`].
pub fn encode_with(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    flush(out);
    write(out);
    let len = out.len() - start;
    assert!(len <= MAX_PACKET, "a pkt-line of {len} bytes");
    out[start..start + LENGTH_DIGITS].copy_from_slice(&header(len));
}

/// Appends `0000`.
pub fn flush(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0000");
}

/// Appends `0001`.
pub fn delim(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0001");
}

/// The four length digits of a packet that is `len` bytes long with them.
pub(crate) fn header(len: usize) -> [u8; LENGTH_DIGITS] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [12, 8, 4, 0].map(|shift| DIGITS[len >> shift & 15])
}

fn length(digits: [u8; LENGTH_DIGITS]) -> Result<usize, Error> {
    digits.iter().try_fold(0, |len, digit| {
        let value = char::from(*digit).to_digit(16).ok_or(Error::Digits(digits))?;
        Ok(len << 4 | value as usize)
    })
}

/// Collects input until whole packets can be taken from it.
///
/// Holds at most one packet more than what it was given in one piece.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    read: usize,
}

impl Decoder {
    /// Adds bytes as they came.
    pub fn push(&mut self, input: &[u8]) {
        self.buffer.drain(..std::mem::take(&mut self.read));
        self.buffer.extend_from_slice(input);
    }

    /// Takes the next whole packet.
    pub fn next_packet(&mut self) -> Result<Option<Packet<'_>>, Error> {
        Ok(decode(&self.buffer[self.read..])?.map(|(packet, len)| {
            self.read += len;
            packet
        }))
    }

    /// Whether nothing is left over, not even a part of a packet.
    pub fn is_empty(&self) -> bool {
        self.read == self.buffer.len()
    }

    /// Hands back the bytes behind the last packet taken, such as the head of a pack.
    pub fn take_rest(&mut self) -> Vec<u8> {
        self.buffer.drain(..std::mem::take(&mut self.read));
        std::mem::take(&mut self.buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let mut out = Vec::new();
        encode(&mut out, b"want x\n");
        encode(&mut out, b"");
        flush(&mut out);
        delim(&mut out);
        assert_eq!(out, b"000bwant x\n000400000001");
        let mut decoder = Decoder::default();
        for byte in &out {
            decoder.push(&[*byte]);
        }
        assert_eq!(decoder.next_packet().unwrap().unwrap().text(), Some(&b"want x"[..]));
        assert_eq!(decoder.next_packet(), Ok(Some(Packet::Data(b""))));
        assert_eq!(decoder.next_packet(), Ok(Some(Packet::Flush)));
        assert_eq!(decoder.next_packet(), Ok(Some(Packet::Delim)));
        assert_eq!(decoder.next_packet(), Ok(None));
        assert!(decoder.is_empty());
    }

    #[test]
    fn refuses_lengths_no_packet_has() {
        for (input, error) in [
            (&b"0003"[..], Error::Length(3)),
            (b"fff1", Error::Length(65_521)),
            (b"ffff", Error::Length(65_535)),
            (b"00 4", Error::Digits(*b"00 4")),
            (b"-001", Error::Digits(*b"-001")),
            (b"PACK", Error::Digits(*b"PACK")),
        ] {
            assert_eq!(decode(input), Err(error));
        }
    }

    #[test]
    fn hands_back_what_follows_the_packets() {
        let mut decoder = Decoder::default();
        decoder.push(b"0000PACK....");
        assert_eq!(decoder.next_packet(), Ok(Some(Packet::Flush)));
        assert_eq!(decoder.take_rest(), b"PACK....");
        assert!(decoder.is_empty());
    }

    #[test]
    fn agrees_with_gix_on_the_longest_packet() {
        let mut out = Vec::new();
        encode(&mut out, &vec![b'x'; MAX_DATA]);
        assert_eq!(&out[..4], b"fff0");
        assert!(matches!(
            gix_packetline::decode::streaming(&out),
            Ok(gix_packetline::decode::Stream::Complete { bytes_consumed: MAX_PACKET, .. })
        ));
    }
}
