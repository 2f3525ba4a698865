//! What an upload-pack says first: v2's capabilities, or v0's and v1's capabilities with all refs.

use bstr::{BString, ByteSlice};

use super::{
    Error, Listed, MAX_CAPABILITY_LINES, MAX_LISTED_BYTES, MAX_LISTED_REFS, MAX_SHALLOW, refusal,
};
use crate::pktline::{Decoder, Packet};
use crate::{Capabilities, ObjectFormat, ObjectId, Service};

/// An origin's first words, read whole.
#[derive(Debug, PartialEq, Eq)]
pub enum Advertisement {
    /// v2: capabilities alone (gitprotocol-v2, "Capability Advertisement").
    V2(Capabilities),
    /// v0 and v1: all refs as they are now.
    V0(Listing),
}

impl Advertisement {
    /// The hash the origin names its objects by; SHA-1 where nothing is said.
    pub fn object_format(&self) -> Result<ObjectFormat, Error> {
        let capabilities = match self {
            Self::V2(capabilities) => capabilities,
            Self::V0(listing) => &listing.capabilities,
        };
        match capabilities.value("object-format") {
            None => Ok(ObjectFormat::Sha1),
            Some(name) => ObjectFormat::parse(name).ok_or_else(|| Error::ObjectFormat(name.into())),
        }
    }
}

/// The ref advertisement of v0 and v1 (gitprotocol-pack, "Reference Discovery").
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Listing {
    pub capabilities: Capabilities,
    /// The origin's shallow boundary.
    pub shallow: Vec<ObjectId>,
    refs: Vec<Entry>,
}

#[derive(Debug, PartialEq, Eq)]
struct Entry {
    name: BString,
    target: ObjectId,
    peeled: Option<ObjectId>,
}

impl Listing {
    /// The refs in the origin's order, in the shape that `ls-refs` gives them.
    pub fn refs(&self) -> impl Iterator<Item = Listed<'_>> {
        self.refs.iter().map(|entry| Listed {
            name: entry.name.as_bstr(),
            target: Some(entry.target),
            peeled: entry.peeled,
            symref: self.symref_of(&entry.name),
        })
    }

    /// HEAD's branch when HEAD itself is not listed, since the branch is unborn (git >= 2.31 tells it).
    pub fn unborn_head(&self) -> Option<&bstr::BStr> {
        let listed = self.refs.iter().any(|entry| entry.name == "HEAD");
        if listed { None } else { self.symref_of(b"HEAD".as_bstr()) }
    }

    fn symref_of(&self, name: &[u8]) -> Option<&bstr::BStr> {
        self.capabilities.values("symref").find_map(|value| {
            let (from, to) = value.split_once_str(":")?;
            (from == name).then_some(to.as_bstr())
        })
    }

    fn add(&mut self, line: &[u8]) -> Result<(), Error> {
        let bad = || Error::unexpected(line, "an advertised ref");
        let (id, name) = line.split_once_str(" ").ok_or_else(bad)?;
        if id == b"shallow" {
            self.shallow.push(ObjectId::from_hex(name).ok_or_else(bad)?);
            return limit(self.shallow.len(), MAX_SHALLOW, "shallow commits");
        }
        let id = ObjectId::from_hex(id).ok_or_else(bad)?;
        if let Some(tag) = name.strip_suffix(b"^{}") {
            match self.refs.last_mut() {
                Some(last) if last.name == tag => last.peeled = Some(id),
                // the "capabilities^{}" of an empty repository stands alone
                _ if tag == b"capabilities" && id.is_null() => {}
                _ => return Err(bad()),
            }
            return Ok(());
        }
        self.refs.push(Entry { name: name.into(), target: id, peeled: None });
        limit(self.refs.len(), MAX_LISTED_REFS, "refs")
    }
}

fn limit(count: usize, limit: usize, what: &'static str) -> Result<(), Error> {
    if count > limit { Err(Error::TooMany { what, limit }) } else { Ok(()) }
}

/// Reads an advertisement of whatever version, over whatever transport.
#[derive(Debug)]
pub struct AdvertisementReader {
    service: Service,
    decoder: Decoder,
    phase: Phase,
    bytes: usize,
    over_http: bool,
    answer_follows: bool,
}

#[derive(Debug)]
enum Phase {
    /// Nothing yet; over http `# service=…` comes first.
    First {
        announced: bool,
    },
    /// The flush that ends the `# service=…` part.
    Announced,
    Capabilities {
        list: Capabilities,
        lines: usize,
    },
    Refs {
        listing: Listing,
        first: bool,
    },
    Done,
}

impl AdvertisementReader {
    /// For the answer of `service`.
    pub fn new(service: Service) -> Self {
        let phase = Phase::First { announced: false };
        let decoder = Decoder::default();
        Self { service, decoder, phase, bytes: 0, over_http: false, answer_follows: false }
    }

    /// For a body of HTTP. It begins with `# service=…` or is in v2 (git's remote-curl.c, `check_smart_http`); without
    /// that, any body of a proxy's or a half one could pass for an empty repository.
    #[must_use]
    pub fn over_http(self) -> Self {
        Self { over_http: true, ..self }
    }

    /// For an origin that was asked something in the same breath: its answer may come right behind the advertisement.
    #[must_use]
    pub fn answer_follows(self) -> Self {
        Self { answer_follows: true, ..self }
    }

    /// The bytes that came behind the advertisement, where an answer follows.
    pub fn take_rest(&mut self) -> Vec<u8> {
        self.decoder.take_rest()
    }

    /// Takes bytes as they came; answers the advertisement once it is whole.
    ///
    /// # Errors
    /// The origin's refusal, or what in its words is not an advertisement.
    pub fn handle_input(&mut self, input: &[u8]) -> Result<Option<Advertisement>, Error> {
        self.bytes += input.len();
        limit(self.bytes, MAX_LISTED_BYTES, "bytes of an advertisement")?;
        self.decoder.push(input);
        while let Some(packet) = self.decoder.next_packet()? {
            let untitled =
                self.over_http && matches!(self.phase, Phase::First { announced: false });
            let done = match packet {
                Packet::Data(_) => {
                    let line = refusal(packet.text().unwrap_or_default())?;
                    if untitled && line != b"version 2" && !line.starts_with(b"# service=") {
                        return Err(Error::unexpected(line, "'# service='"));
                    }
                    self.phase.line(self.service, line)?;
                    None
                }
                Packet::Flush if untitled => {
                    return Err(Error::Special("the place of '# service='"));
                }
                Packet::Flush => self.phase.flush()?,
                Packet::Delim | Packet::ResponseEnd => {
                    return Err(Error::Special("an advertisement"));
                }
            };
            if done.is_some() {
                let alone = self.answer_follows || self.decoder.is_empty();
                return if alone { Ok(done) } else { Err(Error::Trailing) };
            }
        }
        Ok(None)
    }
}

impl Phase {
    fn line(&mut self, service: Service, line: &[u8]) -> Result<(), Error> {
        match self {
            Self::First { announced: false } if line.starts_with(b"# service=") => {
                if Service::parse(&line[b"# service=".len()..]) != Some(service) {
                    return Err(Error::OtherService(service));
                }
                *self = Self::Announced;
            }
            Self::First { .. } if line == b"version 2" => {
                *self = Self::Capabilities { list: Capabilities::default(), lines: 0 };
            }
            Self::First { .. } if line == b"version 1" => {
                *self = Self::Refs { listing: Listing::default(), first: true };
            }
            Self::First { .. } => {
                *self = Self::Refs { listing: Listing::default(), first: true };
                return self.line(service, line);
            }
            Self::Announced => return Err(Error::unexpected(line, "a flush packet")),
            Self::Capabilities { list, lines } => {
                *lines += 1;
                limit(*lines, MAX_CAPABILITY_LINES, "capabilities")?;
                list.push(line);
            }
            Self::Refs { listing, first } => {
                let line = match line.split_once_str("\0") {
                    Some((line, capabilities)) if *first => {
                        listing.capabilities = Capabilities::parse(capabilities);
                        line
                    }
                    _ => line,
                };
                *first = false;
                listing.add(line)?;
            }
            Self::Done => return Err(Error::Trailing),
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<Option<Advertisement>, Error> {
        match std::mem::replace(self, Self::Done) {
            Self::Announced => {
                *self = Self::First { announced: true };
                Ok(None)
            }
            Self::Capabilities { list, .. } => Ok(Some(Advertisement::V2(list))),
            // an old server lists nothing at all for an empty repository
            Self::First { .. } => Ok(Some(Advertisement::V0(Listing::default()))),
            Self::Refs { listing, .. } => Ok(Some(Advertisement::V0(listing))),
            Self::Done => Err(Error::Trailing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pktline;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn packets(lines: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        for line in lines {
            match *line {
                "0000" => pktline::flush(&mut out),
                line => pktline::encode(&mut out, line.as_bytes()),
            }
        }
        out
    }

    fn read(lines: &[&str]) -> Result<Option<Advertisement>, Error> {
        let bytes = packets(lines);
        let mut whole = AdvertisementReader::new(Service::UploadPack);
        let whole = whole.handle_input(&bytes);
        let mut reader = AdvertisementReader::new(Service::UploadPack);
        let mut single = Ok(None);
        for byte in &bytes {
            single = reader.handle_input(&[*byte]);
            if !matches!(single, Ok(None)) {
                break;
            }
        }
        assert_eq!(single, whole, "one byte at a time");
        whole
    }

    #[test]
    fn reads_v2_capabilities_with_and_without_the_http_header() {
        let lines = [
            "version 2\n",
            "agent=git/2\n",
            "fetch=shallow filter\n",
            "object-format=sha256\n",
            "0000",
        ];
        let http = [&["# service=git-upload-pack\n", "0000"][..], &lines].concat();
        for lines in [&lines[..], &http] {
            let advertisement = read(lines).unwrap().unwrap();
            assert_eq!(advertisement.object_format(), Ok(ObjectFormat::Sha256));
            let Advertisement::V2(capabilities) = advertisement else { panic!("not v2") };
            assert_eq!(capabilities.value("fetch").unwrap(), "shallow filter");
        }
    }

    #[test]
    fn reads_v0_and_v1_refs_with_peeled_tags_symrefs_and_shallow() {
        let first = format!("{A} HEAD\0multi_ack symref=HEAD:refs/heads/main object-format=sha1\n");
        let (main, tag, peeled, shallow) = (
            format!("{A} refs/heads/main\n"),
            format!("{B} refs/tags/v1\n"),
            format!("{A} refs/tags/v1^{{}}\n"),
            format!("shallow {A}\n"),
        );
        let v0 = [&*first, &main, &tag, &peeled, &shallow, "0000"];
        let v1 = [&["version 1\n"][..], &v0].concat();
        for lines in [&v0[..], &v1] {
            let Some(Advertisement::V0(listing)) = read(lines).unwrap() else { panic!("not v0") };
            let refs: Vec<_> = listing.refs().collect();
            assert_eq!(refs.len(), 3);
            assert_eq!(refs[0].symref.unwrap(), "refs/heads/main");
            assert_eq!(refs[2].peeled, ObjectId::from_hex(A.as_bytes()));
            assert_eq!((refs[1].peeled, listing.shallow.len()), (None, 1));
        }
    }

    #[test]
    fn an_empty_repository_lists_nothing() {
        let null = "0".repeat(40);
        let lines = [&*format!("{null} capabilities^{{}}\0symref=HEAD:refs/heads/x\n"), "0000"];
        let Some(Advertisement::V0(listing)) = read(&lines).unwrap() else { panic!("not v0") };
        assert_eq!(listing.refs().count(), 0);
        assert_eq!(listing.unborn_head().unwrap(), "refs/heads/x");
        assert_eq!(read(&["0000"]), Ok(Some(Advertisement::V0(Listing::default()))));
    }

    #[test]
    fn a_body_of_http_says_what_it_is() {
        let read = |bytes: &[u8]| {
            AdvertisementReader::new(Service::UploadPack).over_http().handle_input(bytes)
        };
        assert!(read(b"0000").is_err() && read(b"0000000000000000").is_err());
        assert!(read(format!("003d{A} refs/heads/x\n0000").as_bytes()).is_err());
        let empty = read(b"001e# service=git-upload-pack\n00000000");
        assert_eq!(empty, Ok(Some(Advertisement::V0(Listing::default()))));
        assert!(matches!(read(b"000eversion 2\n0000"), Ok(Some(Advertisement::V2(_)))));
        assert_eq!(read(b"000fERR no such"), Err(Error::Refused("no such".into())));
    }

    #[test]
    fn an_answer_may_follow_where_something_was_asked() {
        let mut bytes = packets(&["version 2\n", "0000"]);
        bytes.extend(b"0008rest00");
        let reader = || AdvertisementReader::new(Service::UploadPack);
        assert_eq!(reader().handle_input(&bytes), Err(Error::Trailing));
        let mut reader = reader().answer_follows();
        assert!(matches!(reader.handle_input(&bytes), Ok(Some(Advertisement::V2(_)))));
        assert_eq!(reader.take_rest(), b"0008rest00");
    }

    #[test]
    fn an_err_line_is_the_origins_own_word() {
        assert_eq!(read(&["ERR access denied\n"]), Err(Error::Refused("access denied".into())));
    }

    #[test]
    fn refuses_what_is_no_advertisement() {
        for lines in [
            &["<html>"][..],
            &["# service=git-receive-pack\n", "0000"],
            &["# service=git-upload-pack\n", "version 2\n"],
            &[&*format!("{A} refs/heads/x^{{}}")],
        ] {
            assert!(read(lines).is_err(), "{lines:?}");
        }
        for bytes in [&b"<!DOCTYPE html>"[..], b"000eversion 2\n00000000"] {
            let mut reader = AdvertisementReader::new(Service::UploadPack);
            assert!(reader.handle_input(bytes).is_err());
        }
    }
}
