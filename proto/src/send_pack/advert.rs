//! The origin's advertisement, read.

use bstr::{BString, ByteSlice};

use super::{Error, remote_error};
use crate::pktline::{self, Packet};
use crate::{Capabilities, ObjectFormat, ObjectId};

/// What an origin says of itself before a push.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advertisement {
    pub capabilities: Capabilities,
    /// The values of the refs that the reader was asked to watch, as far as they exist.
    pub watched: Vec<(BString, ObjectId)>,
    /// Refs advertised in all, `.have` lines left out.
    pub refs: usize,
}

/// Reads an advertisement of any length, keeping only the refs asked for.
#[derive(Debug)]
pub struct AdvertisementReader {
    input: pktline::Decoder,
    format: ObjectFormat,
    watch: Vec<BString>,
    phase: Phase,
    advertisement: Advertisement,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// `version 1`, or smart HTTP's `# service=` line, may stand before the first ref.
    Start,
    /// The flush behind `# service=`.
    ServiceFlush,
    Refs,
    Done,
}

impl AdvertisementReader {
    /// A reader for an origin of `format`; `watch` names the refs whose values are wanted.
    pub fn new(format: ObjectFormat, mut watch: Vec<BString>) -> Self {
        watch.sort();
        Self {
            input: pktline::Decoder::default(),
            format,
            watch,
            phase: Phase::Start,
            advertisement: Advertisement::default(),
        }
    }

    /// Adds bytes as they came.
    pub fn handle_input(&mut self, input: &[u8]) {
        self.input.push(input);
    }

    /// The advertisement once its flush was read; `None` while bytes are missing, and afterwards.
    pub fn poll_event(&mut self) -> Result<Option<Advertisement>, Error> {
        while self.phase != Phase::Done {
            let Some(packet) = self.input.next_packet()? else { return Ok(None) };
            match packet {
                Packet::Flush if self.phase == Phase::ServiceFlush => self.phase = Phase::Start,
                Packet::Flush => {
                    self.phase = Phase::Done;
                    check_format(&self.advertisement.capabilities, self.format)?;
                    return Ok(Some(std::mem::take(&mut self.advertisement)));
                }
                Packet::Data(_) if self.phase != Phase::ServiceFlush => {
                    let line = packet.text().unwrap_or_default();
                    let into = &mut self.advertisement;
                    self.phase = take_line(into, line, self.phase, self.format, &self.watch)?;
                }
                Packet::Data(_) | Packet::Delim | Packet::ResponseEnd => {
                    return Err(Error::Advertisement("an unexpected packet".into()));
                }
            }
        }
        Ok(None)
    }
}

fn take_line(
    into: &mut Advertisement,
    line: &[u8],
    phase: Phase,
    format: ObjectFormat,
    watch: &[BString],
) -> Result<Phase, Error> {
    if let Some(error) = remote_error(line) {
        return Err(error);
    }
    if phase == Phase::Start {
        if line.starts_with(b"# service=") {
            return Ok(Phase::ServiceFlush);
        }
        if line == b"version 1" || line == b"version 0" {
            return Ok(Phase::Start);
        }
    }
    if line.starts_with(b"shallow ") {
        return Ok(Phase::Refs);
    }
    let bad = || Error::Advertisement(line.into());
    let (line, list) = match line.split_once_str(b"\0") {
        Some((line, list)) if phase == Phase::Start => (line, Some(list)),
        Some(_) => return Err(bad()),
        None => (line, None),
    };
    if let Some(list) = list {
        into.capabilities = Capabilities::parse(list);
        check_format(&into.capabilities, format)?;
    }
    let (hex, name) = line.split_once_str(b" ").ok_or_else(bad)?;
    let id = ObjectId::from_hex(hex).ok_or_else(bad)?;
    if name != b".have" && name != b"capabilities^{}" {
        into.refs += 1;
        if watch.binary_search_by(|watched| watched.as_slice().cmp(name)).is_ok() {
            into.watched.push((name.into(), id));
        }
    }
    Ok(Phase::Refs)
}

fn check_format(list: &Capabilities, ours: ObjectFormat) -> Result<(), Error> {
    let theirs = list.value("object-format").unwrap_or(b"sha1".as_bstr());
    if ObjectFormat::parse(theirs) == Some(ours) {
        Ok(())
    } else {
        Err(Error::Format(theirs.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    fn read(lines: &[&str]) -> Result<Option<Advertisement>, Error> {
        let mut reader =
            AdvertisementReader::new(ObjectFormat::Sha1, vec!["refs/b".into(), "refs/a".into()]);
        let mut input = Vec::new();
        for line in lines {
            match *line {
                "0000" => pktline::flush(&mut input),
                line => pktline::encode(&mut input, line.as_bytes()),
            }
        }
        let mut event = Ok(None);
        for byte in input {
            reader.handle_input(&[byte]);
            event = reader.poll_event();
            if !matches!(event, Ok(None)) {
                break;
            }
        }
        event
    }

    #[test]
    fn keeps_the_refs_it_was_asked_to_watch() {
        let first = format!("{A} refs/a\0atomic ofs-delta agent=git/2\n");
        let advertisement = read(&[
            "# service=git-receive-pack\n",
            "0000",
            "version 1\n",
            &first,
            &format!("{A} refs/c\n"),
            &format!("{A} .have\n"),
            "0000",
        ])
        .unwrap()
        .unwrap();
        assert!(advertisement.capabilities.has("atomic"));
        assert_eq!(advertisement.watched.len(), 1);
        assert_eq!(advertisement.watched[0].0, "refs/a");
        assert_eq!(advertisement.refs, 2);
    }

    #[test]
    fn an_empty_origin_has_capabilities_and_no_refs() {
        let line = format!("{} capabilities^{{}}\0atomic", "0".repeat(40));
        let advertisement = read(&[&line, "0000"]).unwrap().unwrap();
        assert!(advertisement.capabilities.has("atomic") && advertisement.refs == 0);
    }

    #[test]
    fn an_origins_error_is_its_own_words() {
        assert_eq!(
            read(&["ERR no such repository\n"]),
            Err(Error::Remote("no such repository".into()))
        );
    }

    #[test]
    fn refuses_another_object_format_and_lines_that_are_no_refs() {
        let line = format!("{A} refs/a\0object-format=sha256");
        assert_eq!(read(&[&line]), Err(Error::Format("sha256".into())));
        assert!(matches!(read(&["hello\n"]), Err(Error::Advertisement(_))));
        assert!(matches!(read(&["xyz refs/heads/a\n"]), Err(Error::Advertisement(_))));
    }
}
