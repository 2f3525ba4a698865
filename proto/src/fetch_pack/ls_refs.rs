//! v2 `ls-refs`: the request for all refs, and its answer line by line.

use bstr::{BStr, ByteSlice};

use super::{Error, MAX_LISTED_BYTES, MAX_LISTED_REFS, refusal};
use crate::pktline::{self, Decoder, Packet};
use crate::{Capabilities, ObjectFormat, ObjectId};

/// The request for every ref, peeled, with symrefs and, where the origin can, an unborn HEAD.
pub fn ls_refs_request(advertised: &Capabilities, agent: &str) -> Vec<u8> {
    let mut out = Vec::new();
    pktline::encode(&mut out, b"command=ls-refs\n");
    super::request::v2_capabilities(&mut out, advertised, agent);
    pktline::delim(&mut out);
    pktline::encode(&mut out, b"peel\n");
    pktline::encode(&mut out, b"symrefs\n");
    if advertised.value("ls-refs").is_some_and(|features| features.contains_str("unborn")) {
        pktline::encode(&mut out, b"unborn\n");
    }
    pktline::flush(&mut out);
    out
}

/// One ref as an origin lists it. The name is not checked: it is the origin's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed<'a> {
    pub name: &'a BStr,
    /// `None` for an unborn HEAD.
    pub target: Option<ObjectId>,
    pub peeled: Option<ObjectId>,
    pub symref: Option<&'a BStr>,
}

/// What an answer to `ls-refs` says next.
#[derive(Debug, PartialEq, Eq)]
pub enum RefsEvent<'a> {
    Ref(Listed<'a>),
    /// The list is complete.
    End,
}

/// Reads the answer to `ls-refs`; holds no more than a packet of it.
#[derive(Debug)]
pub struct RefsReader {
    format: ObjectFormat,
    decoder: Decoder,
    refs: usize,
    bytes: usize,
    ended: bool,
}

impl RefsReader {
    /// For an origin whose ids are of `format`.
    pub fn new(format: ObjectFormat) -> Self {
        Self { format, decoder: Decoder::default(), refs: 0, bytes: 0, ended: false }
    }

    /// Takes bytes as they came.
    pub fn handle_input(&mut self, input: &[u8]) -> Result<(), Error> {
        self.bytes += input.len();
        if self.bytes > MAX_LISTED_BYTES {
            return Err(Error::TooMany { what: "bytes of refs", limit: MAX_LISTED_BYTES });
        }
        self.decoder.push(input);
        if self.ended && !self.decoder.is_empty() { Err(Error::Trailing) } else { Ok(()) }
    }

    /// The next ref; `None` while bytes are missing.
    ///
    /// # Errors
    /// The origin's refusal, a line that lists no ref, or a list beyond the limits.
    pub fn poll_event(&mut self) -> Result<Option<RefsEvent<'_>>, Error> {
        match self.decoder.next_packet()? {
            None => Ok(None),
            Some(packet @ Packet::Data(_)) => {
                self.refs += 1;
                if self.refs > MAX_LISTED_REFS {
                    return Err(Error::TooMany { what: "refs", limit: MAX_LISTED_REFS });
                }
                let line = packet.text().unwrap_or_default();
                match parse(line, self.format) {
                    Some(listed) => Ok(Some(RefsEvent::Ref(listed))),
                    None => Err(refusal(line).map_or_else(
                        |refused| refused,
                        |line| Error::unexpected(line, "a listed ref"),
                    )),
                }
            }
            Some(Packet::Flush) => {
                self.ended = true;
                Ok(Some(RefsEvent::End))
            }
            Some(Packet::Delim | Packet::ResponseEnd) => Err(Error::Special("a listed ref")),
        }
    }
}

fn parse(line: &[u8], format: ObjectFormat) -> Option<Listed<'_>> {
    let (id, rest) = line.split_once_str(" ")?;
    let target = match id {
        b"unborn" => None,
        id => Some(ObjectId::from_hex(id).filter(|id| id.format() == format)?),
    };
    let mut words = rest.split(|b| *b == b' ');
    let name = words.next()?.as_bstr();
    let mut listed = Listed { name, target, peeled: None, symref: None };
    for attribute in words {
        if let Some(id) = attribute.strip_prefix(b"peeled:") {
            listed.peeled = Some(ObjectId::from_hex(id).filter(|id| id.format() == format)?);
        } else if let Some(target) = attribute.strip_prefix(b"symref-target:") {
            listed.symref = Some(target.as_bstr());
        }
    }
    Some(listed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    fn answer(lines: &[String]) -> Vec<u8> {
        let mut out = Vec::new();
        for line in lines {
            pktline::encode(&mut out, line.as_bytes());
        }
        pktline::flush(&mut out);
        out
    }

    #[test]
    fn reads_heads_tags_and_an_unborn_head_one_byte_at_a_time() {
        let bytes = answer(&[
            "unborn HEAD symref-target:refs/heads/main\n".into(),
            format!("{A} refs/tags/v1 peeled:{A} more:x"),
        ]);
        let mut reader = RefsReader::new(ObjectFormat::Sha1);
        let mut seen = Vec::new();
        for byte in bytes {
            reader.handle_input(&[byte]).unwrap();
            while let Some(event) = reader.poll_event().unwrap() {
                seen.push(format!("{event:?}"));
            }
        }
        assert_eq!(seen.len(), 3);
        assert!(seen[0].contains("target: None") && seen[0].contains("refs/heads/main"));
        assert!(seen[1].contains("peeled: Some"));
        assert_eq!(seen[2], "End");
        assert_eq!(reader.handle_input(b"0000"), Err(Error::Trailing));
    }

    #[test]
    fn refuses_other_hashes_other_lines_and_the_origins_refusal() {
        for (line, refused) in [
            (format!("{} refs/heads/a", "a".repeat(64)), false),
            (format!("{A}refs/heads/a"), false),
            (format!("{A} refs/tags/a peeled:zz"), false),
            (String::new(), false),
            ("ERR no".into(), true),
        ] {
            let mut reader = RefsReader::new(ObjectFormat::Sha1);
            reader.handle_input(&answer(std::slice::from_ref(&line))).unwrap();
            let error = reader.poll_event().unwrap_err();
            assert_eq!(matches!(error, Error::Refused(_)), refused, "{line}: {error}");
        }
    }

    #[test]
    fn asks_for_unborn_only_where_it_is_known() {
        let with =
            Capabilities::from_iter(["ls-refs=unborn", "agent=git/2", "object-format=sha256"]);
        let text = String::from_utf8(ls_refs_request(&with, "gate/1")).unwrap();
        assert_eq!(
            text,
            "0014command=ls-refs\n0010agent=gate/10019object-format=sha256\n00010009peel\n000csymrefs\n000bunborn\n0000"
        );
        let text = ls_refs_request(&Capabilities::default(), "gate/1");
        assert!(!text.contains_str("unborn") && !text.contains_str("agent"));
    }
}
