//! The answer to a request for a pack: v2's sections, or v0's acknowledgement, and then the pack.

use bstr::ByteSlice;

use super::{Error, MAX_SHALLOW, refusal};
use crate::pktline::{Decoder, Packet};
use crate::sideband::{self, Band};
use crate::{ObjectFormat, ObjectId};

/// What an answer to a fetch says next.
#[derive(Debug, PartialEq, Eq)]
pub enum FetchEvent<'a> {
    /// A commit of the origin's boundary, behind which it has no history.
    Shallow(ObjectId),
    /// A commit that is no longer a boundary.
    Unshallow(ObjectId),
    /// Words for people, of any length and in any pieces.
    Progress(&'a [u8]),
    /// The next bytes of the pack.
    Pack(&'a [u8]),
    /// The answer is over. An answer without a pack ends so too.
    End,
}

/// Reads the answer to a fetch; holds no more than a packet of it.
#[derive(Debug)]
pub struct FetchReader {
    format: ObjectFormat,
    decoder: Decoder,
    phase: Phase,
    shallow: usize,
    /// A raw pack's bytes, and whether they have been handed out.
    raw: Vec<u8>,
    lent: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// v2: the name of a section.
    Section,
    Acknowledgments,
    ShallowInfo,
    WantedRefs,
    /// v0: how the boundary moves, up to a flush.
    Boundary {
        sideband: bool,
    },
    /// v0: lines up to the last `ACK`, or the `NAK`.
    Acknowledgement {
        sideband: bool,
    },
    /// Sideband packets until the flush.
    Pack,
    /// v0 without sideband: bytes until the stream ends.
    RawPack,
    Ended,
}

impl FetchReader {
    /// For an answer in v2.
    pub fn v2(format: ObjectFormat) -> Self {
        Self::new(format, Phase::Section)
    }

    /// For an answer in v0 or v1; `deepened` where a depth was asked for.
    pub fn v0(format: ObjectFormat, sideband: bool, deepened: bool) -> Self {
        let boundary = Phase::Boundary { sideband };
        Self::new(format, if deepened { boundary } else { Phase::Acknowledgement { sideband } })
    }

    fn new(format: ObjectFormat, phase: Phase) -> Self {
        Self {
            format,
            decoder: Decoder::default(),
            phase,
            shallow: 0,
            raw: Vec::new(),
            lent: false,
        }
    }

    /// Takes bytes as they came.
    pub fn handle_input(&mut self, input: &[u8]) -> Result<(), Error> {
        match self.phase {
            Phase::Ended if !input.is_empty() => return Err(Error::Trailing),
            Phase::RawPack => {
                if std::mem::take(&mut self.lent) {
                    self.raw.clear();
                }
                self.raw.extend_from_slice(input);
            }
            _ => self.decoder.push(input),
        }
        Ok(())
    }

    /// Whether the end of the stream is a regular end here: only a raw pack has no other.
    pub fn may_end(&self) -> bool {
        matches!(self.phase, Phase::RawPack | Phase::Ended)
    }

    /// What comes next; `None` while bytes are missing. The events of one piece of input are to be drained.
    ///
    /// # Errors
    /// The origin's refusal, and what is out of turn.
    pub fn poll_event(&mut self) -> Result<Option<FetchEvent<'_>>, Error> {
        while !matches!(self.phase, Phase::Pack | Phase::RawPack | Phase::Ended) {
            match self.poll_line()? {
                Line::Missing => return Ok(None),
                Line::Read => {}
                Line::Event(event) => return Ok(Some(event)),
            }
        }
        match self.phase {
            Phase::RawPack => Ok(self.poll_raw()),
            Phase::Ended if self.decoder.is_empty() => Ok(None),
            Phase::Ended => Err(Error::Trailing),
            _ => self.poll_band(),
        }
    }

    /// Reads one line of the sections before the pack.
    fn poll_line(&mut self) -> Result<Line, Error> {
        let Some(packet) = self.decoder.next_packet()? else { return Ok(Line::Missing) };
        match (self.phase, packet) {
            (Phase::Section, Packet::Flush) => {
                self.phase = Phase::Ended;
                Ok(Line::Event(FetchEvent::End))
            }
            (Phase::Boundary { sideband }, Packet::Flush) => {
                self.phase = Phase::Acknowledgement { sideband };
                Ok(Line::Read)
            }
            (Phase::Acknowledgement { sideband }, Packet::Data(_)) => {
                let line = refusal(packet.text().unwrap_or_default())?;
                if line != b"NAK" && !line.starts_with(b"ACK ") {
                    return Err(Error::unexpected(line, "ACK or NAK"));
                }
                if line.split(|b| *b == b' ').count() > 2 {
                    return Ok(Line::Read);
                }
                self.phase = if sideband { Phase::Pack } else { Phase::RawPack };
                if !sideband {
                    self.raw = self.decoder.take_rest();
                }
                Ok(Line::Read)
            }
            (_, Packet::Data(_)) => {
                let line = refusal(packet.text().unwrap_or_default())?;
                let Some(event) = in_section(&mut self.phase, line, self.format)? else {
                    return Ok(Line::Read);
                };
                self.shallow += 1;
                if self.shallow > MAX_SHALLOW {
                    return Err(Error::TooMany { what: "shallow commits", limit: MAX_SHALLOW });
                }
                Ok(Line::Event(event))
            }
            (Phase::Acknowledgments | Phase::ShallowInfo | Phase::WantedRefs, Packet::Delim) => {
                self.phase = Phase::Section;
                Ok(Line::Read)
            }
            // acknowledgments without "ready" would end the answer, which can't be after a "done"
            (_, Packet::Flush | Packet::Delim | Packet::ResponseEnd) => {
                Err(Error::Special("the answer to a fetch"))
            }
        }
    }

    fn poll_band(&mut self) -> Result<Option<FetchEvent<'_>>, Error> {
        match self.decoder.next_packet()? {
            None => Ok(None),
            Some(Packet::Data(payload)) => match sideband::split(payload) {
                Some((Band::Data, data)) => Ok(Some(FetchEvent::Pack(data))),
                Some((Band::Progress, text)) => Ok(Some(FetchEvent::Progress(text))),
                Some((Band::Error, words)) => Err(Error::Refused(words.trim().into())),
                // without multi_ack a server may repeat its one ACK
                None if payload.starts_with(b"ACK ") => Ok(Some(FetchEvent::Progress(b""))),
                None => {
                    refusal(payload.trim())?;
                    Err(Error::unexpected(payload, "a band"))
                }
            },
            Some(Packet::Flush) => {
                self.phase = Phase::Ended;
                Ok(Some(FetchEvent::End))
            }
            Some(Packet::Delim | Packet::ResponseEnd) => Err(Error::Special("a band")),
        }
    }

    fn poll_raw(&mut self) -> Option<FetchEvent<'_>> {
        if self.lent {
            self.raw.clear();
        }
        self.lent = !self.raw.is_empty();
        self.lent.then_some(FetchEvent::Pack(&self.raw))
    }
}

enum Line {
    Missing,
    Read,
    Event(FetchEvent<'static>),
}

fn in_section(
    phase: &mut Phase,
    line: &[u8],
    format: ObjectFormat,
) -> Result<Option<FetchEvent<'static>>, Error> {
    let id = |hex: &[u8]| {
        ObjectId::from_hex(hex)
            .filter(|id| id.format() == format)
            .ok_or_else(|| Error::unexpected(line, "an object id"))
    };
    match phase {
        Phase::Section => {
            *phase = match line {
                b"acknowledgments" => Phase::Acknowledgments,
                b"shallow-info" => Phase::ShallowInfo,
                b"wanted-refs" => Phase::WantedRefs,
                b"packfile-uris" => return Err(Error::PackfileUris),
                b"packfile" => Phase::Pack,
                _ => return Err(Error::unexpected(line, "a section of the answer")),
            };
            Ok(None)
        }
        Phase::ShallowInfo | Phase::Boundary { .. } => match line.split_once_str(" ") {
            Some((b"shallow", hex)) => id(hex).map(|id| Some(FetchEvent::Shallow(id))),
            Some((b"unshallow", hex)) => id(hex).map(|id| Some(FetchEvent::Unshallow(id))),
            _ => Err(Error::unexpected(line, "a shallow line")),
        },
        Phase::Acknowledgments | Phase::WantedRefs => Ok(None),
        Phase::Acknowledgement { .. } | Phase::Pack | Phase::RawPack | Phase::Ended => {
            Err(Error::unexpected(line, "nothing"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pktline;
    use crate::sideband::Width;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    /// Reads one byte at a time; tells the pack, the number of shallow lines, the progress, and whether it ended.
    fn read(
        mut reader: FetchReader,
        bytes: &[u8],
    ) -> Result<(Vec<u8>, usize, Vec<u8>, bool), Error> {
        let (mut pack, mut shallow, mut progress, mut ended) = (Vec::new(), 0, Vec::new(), false);
        for byte in bytes {
            reader.handle_input(&[*byte])?;
            while let Some(event) = reader.poll_event()? {
                match event {
                    FetchEvent::Shallow(_) | FetchEvent::Unshallow(_) => shallow += 1,
                    FetchEvent::Progress(text) => progress.extend_from_slice(text),
                    FetchEvent::Pack(data) => pack.extend_from_slice(data),
                    FetchEvent::End => ended = true,
                }
            }
        }
        Ok((pack, shallow, progress, ended || reader.may_end()))
    }

    fn lines(lines: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        for line in lines {
            match *line {
                "0001" => pktline::delim(&mut out),
                line => pktline::encode(&mut out, line.as_bytes()),
            }
        }
        out
    }

    #[test]
    fn reads_v2_sections_and_the_pack() {
        let shallow = format!("shallow {A}\n");
        let mut bytes = lines(&["shallow-info\n", &shallow, "0001", "packfile\n"]);
        sideband::frame(&mut bytes, Band::Progress, Width::Large, b"Counting\r");
        sideband::frame(&mut bytes, Band::Data, Width::Large, b"PACK....");
        sideband::frame(&mut bytes, Band::Data, Width::Large, b"end");
        let cut = read(FetchReader::v2(ObjectFormat::Sha1), &bytes).unwrap();
        assert!(!cut.3, "no flush, no end");
        pktline::flush(&mut bytes);
        let whole = read(FetchReader::v2(ObjectFormat::Sha1), &bytes).unwrap();
        assert_eq!(whole, (b"PACK....end".to_vec(), 1, b"Counting\r".to_vec(), true));
        bytes.push(b'0');
        assert_eq!(read(FetchReader::v2(ObjectFormat::Sha1), &bytes), Err(Error::Trailing));
    }

    #[test]
    fn reads_a_v0_pack_with_and_without_sideband() {
        let mut bytes = lines(&["NAK\n"]);
        bytes.extend_from_slice(b"PACK0000");
        let raw = read(FetchReader::v0(ObjectFormat::Sha1, false, false), &bytes).unwrap();
        assert_eq!(raw, (b"PACK0000".to_vec(), 0, Vec::new(), true));
        let mut bytes = lines(&[&format!("ACK {A} common\n"), &format!("ACK {A}\n")]);
        sideband::frame(&mut bytes, Band::Data, Width::Small, b"PACK");
        pktline::flush(&mut bytes);
        let banded = read(FetchReader::v0(ObjectFormat::Sha1, true, false), &bytes).unwrap();
        assert_eq!(banded, (b"PACK".to_vec(), 0, Vec::new(), true));
        let mut bytes = lines(&[&format!("shallow {A}"), &format!("unshallow {A}")]);
        pktline::flush(&mut bytes);
        bytes.extend(lines(&["NAK\n"]));
        bytes.extend_from_slice(b"PACK");
        let deepened = read(FetchReader::v0(ObjectFormat::Sha1, false, true), &bytes).unwrap();
        assert_eq!(deepened, (b"PACK".to_vec(), 2, Vec::new(), true));
    }

    #[test]
    fn a_refusal_keeps_the_origins_words_wherever_it_comes() {
        let mut band3 = lines(&["packfile\n"]);
        sideband::frame(&mut band3, Band::Error, Width::Large, b"out of memory\n");
        let mut in_pack = lines(&["packfile\n"]);
        in_pack.extend(lines(&["ERR out of memory"]));
        for bytes in [band3, in_pack, lines(&["ERR out of memory\n"])] {
            let error = read(FetchReader::v2(ObjectFormat::Sha1), &bytes).unwrap_err();
            assert_eq!(error, Error::Refused("out of memory".into()));
        }
    }

    #[test]
    fn refuses_what_is_out_of_turn() {
        for bytes in [
            lines(&["packfile-uris\n"]),
            lines(&["anything\n"]),
            lines(&["shallow-info\n", "want x\n"]),
            lines(&["0001"]),
            lines(&["packfile\n", "0001"]),
            lines(&["packfile\n", "\x07"]),
            b"0003".to_vec(),
        ] {
            assert!(read(FetchReader::v2(ObjectFormat::Sha1), &bytes).is_err(), "{bytes:?}");
        }
    }
}
