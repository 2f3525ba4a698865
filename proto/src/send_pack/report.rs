//! The origin's answer to a push, read: its words, its report.

use bstr::{BString, ByteSlice};

use super::{Error, remote_error};
use crate::pktline::{self, Packet};
use crate::receive_pack::{Outcome, RefReport, Rewrite};
use crate::sideband::{self, Band};
use crate::{Capabilities, ObjectId};

/// What the origin said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Bytes for the person at the other end, cut as they came.
    Progress(BString),
    /// `unpack ok`, or why not.
    Unpack(Result<(), BString>),
    /// One ref's fate, its option lines included.
    Ref(RefReport),
    /// The report's own flush: every ref was told.
    ReportEnd,
    /// Nothing more comes; without a [`ReportEnd`](Self::ReportEnd) before it, nothing is known.
    End,
}

/// Reads what comes back after the pack.
#[derive(Debug)]
pub struct ReportReader {
    outer: pktline::Decoder,
    lines: pktline::Decoder,
    sideband: bool,
    /// A ref whose option lines may still follow.
    pending: Option<RefReport>,
    /// The pending ref's line came just now: its first option begins a rewrite.
    fresh: bool,
    flushed: bool,
    reported: bool,
    ended: bool,
}

impl ReportReader {
    /// A reader for the answer to a request that was made of an origin offering `offered`.
    pub fn new(offered: &Capabilities) -> Self {
        Self {
            outer: pktline::Decoder::default(),
            lines: pktline::Decoder::default(),
            sideband: offered.has("side-band-64k"),
            pending: None,
            fresh: false,
            flushed: false,
            reported: false,
            ended: false,
        }
    }

    /// Adds bytes as they came.
    pub fn handle_input(&mut self, input: &[u8]) {
        if self.sideband {
            self.outer.push(input);
        } else {
            self.lines.push(input);
        }
    }

    /// The stream ended: fine once the report was whole, since not every server says goodbye.
    pub fn handle_eof(&mut self) -> Result<(), Error> {
        if self.reported || self.ended { Ok(()) } else { Err(Error::Cut("the report")) }
    }

    /// What is complete; `None` while bytes are missing, and after the end.
    pub fn poll_event(&mut self) -> Result<Option<Event>, Error> {
        loop {
            if !self.reported
                && let Some(event) = self.poll_line()?
            {
                return Ok(Some(event));
            }
            if self.ended {
                return Ok(None);
            }
            if !self.sideband {
                self.ended = self.reported;
                return Ok(self.ended.then_some(Event::End));
            }
            let Some(packet) = self.outer.next_packet()? else { return Ok(None) };
            let payload = match packet {
                Packet::Data(payload) => payload,
                Packet::Flush => {
                    self.ended = true;
                    return Ok(Some(Event::End));
                }
                Packet::Delim | Packet::ResponseEnd => return Err(Error::Band),
            };
            match sideband::split(payload) {
                Some((Band::Data, data)) => self.lines.push(data),
                Some((Band::Progress, [])) => {}
                Some((Band::Progress, text)) => return Ok(Some(Event::Progress(text.into()))),
                Some((Band::Error, text)) => return Err(Error::Remote(text.trim().into())),
                None => return Err(remote_error(payload).unwrap_or(Error::Band)),
            }
        }
    }

    fn poll_line(&mut self) -> Result<Option<Event>, Error> {
        while !self.flushed {
            let Some(packet) = self.lines.next_packet()? else { return Ok(None) };
            let line = match packet {
                Packet::Data(_) => packet.text().unwrap_or_default(),
                Packet::Flush => {
                    self.flushed = true;
                    break;
                }
                Packet::Delim | Packet::ResponseEnd => {
                    return Err(Error::Report("an unexpected packet".into()));
                }
            };
            if let Some(error) = remote_error(line) {
                return Err(error);
            }
            if let Some(result) = line.strip_prefix(b"unpack ") {
                let result = if result == b"ok" { Ok(()) } else { Err(result.into()) };
                return Ok(Some(Event::Unpack(result)));
            }
            if let Some(option) = line.strip_prefix(b"option ") {
                take_option(self.pending.as_mut(), option, &mut self.fresh)
                    .ok_or_else(|| Error::Report(line.into()))?;
                continue;
            }
            let next = parse_ref(line).ok_or_else(|| Error::Report(line.into()))?;
            self.fresh = true;
            match &self.pending {
                // a second `ok` for one ref begins its next rewrite
                Some(last) if last.name == next.name && last.is_ok() && next.is_ok() => {}
                _ => {
                    if let Some(report) = self.pending.replace(next) {
                        return Ok(Some(Event::Ref(report)));
                    }
                }
            }
        }
        if let Some(report) = self.pending.take() {
            return Ok(Some(Event::Ref(report)));
        }
        self.reported = true;
        Ok(Some(Event::ReportEnd))
    }
}

fn parse_ref(line: &[u8]) -> Option<RefReport> {
    if let Some(name) = line.strip_prefix(b"ok ") {
        return Some(RefReport::ok(name));
    }
    let rest = line.strip_prefix(b"ng ")?;
    let (name, reason) = rest.split_once_str(b" ").unwrap_or((rest, b"failed"));
    Some(RefReport::ng(name, reason))
}

/// Adds an option to the ref before it; `fresh` tells that its line began a new rewrite. Unknown options are passed over.
fn take_option(pending: Option<&mut RefReport>, option: &[u8], fresh: &mut bool) -> Option<()> {
    let RefReport { outcome: Outcome::Ok(rewrites), .. } = pending? else { return Some(()) };
    if std::mem::take(fresh) {
        rewrites.push(Rewrite::default());
    }
    let rewrite = rewrites.last_mut()?;
    let (key, value) = option.split_once_str(b" ").unwrap_or((option, b""));
    match key {
        b"refname" => rewrite.refname = Some(value.into()),
        b"old-oid" => rewrite.old = Some(ObjectId::from_hex(value)?),
        b"new-oid" => rewrite.new = Some(ObjectId::from_hex(value)?),
        b"forced-update" => rewrite.forced = true,
        _ => {}
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receive_pack::{Asked, Reply, Report};

    fn read(offered: &str, input: &[u8]) -> (Vec<Event>, Result<(), Error>) {
        let mut reader = ReportReader::new(&Capabilities::parse(offered.as_bytes()));
        let mut events = Vec::new();
        for byte in input {
            reader.handle_input(&[*byte]);
            loop {
                match reader.poll_event() {
                    Ok(Some(event)) => events.push(event),
                    Ok(None) => break,
                    Err(error) => return (events, Err(error)),
                }
            }
        }
        (events, reader.handle_eof())
    }

    #[test]
    fn reads_the_report_that_our_server_half_writes() {
        let id = ObjectId::from_hex(&[b'1'; 40]).unwrap();
        let rewrite =
            Rewrite { refname: Some("refs/x".into()), old: Some(id), new: None, forced: true };
        let refs = vec![
            RefReport {
                name: "refs/for/a".into(),
                outcome: Outcome::Ok(vec![rewrite.clone(), rewrite]),
            },
            RefReport::ng("refs/heads/b", "hook declined"),
            RefReport::ok("refs/heads/c"),
        ];
        let report = Report { unpack: Ok(()), refs: refs.clone() };
        for sideband in [true, false] {
            let reply = Reply::new(&Asked { sideband, report_status_v2: true, ..Asked::default() });
            let mut input = Vec::new();
            reply.message(&mut input, b"hello");
            reply.keepalive(&mut input);
            reply.report(&mut input, &report);
            let (events, end) = read(if sideband { "side-band-64k" } else { "" }, &input);
            let mut expected: Vec<_> =
                sideband.then(|| Event::Progress("hello".into())).into_iter().collect();
            expected.push(Event::Unpack(Ok(())));
            expected.extend(refs.iter().cloned().map(Event::Ref));
            expected.extend([Event::ReportEnd, Event::End]);
            assert_eq!((events, end), (expected, Ok(())));
        }
    }

    #[test]
    fn hears_what_hooks_say_after_the_report() {
        let input = b"0024\x01000eunpack ok\n000dok refs/a0000000a\x02after0000";
        let (events, end) = read("side-band-64k", input);
        assert_eq!(events[3..], [Event::Progress("after".into()), Event::End]);
        assert_eq!(end, Ok(()));
    }

    #[test]
    fn a_cut_report_is_no_report() {
        let (events, end) = read("side-band-64k", b"0020\x01000eunpack ok\n000dok refs/a");
        assert_eq!(events, [Event::Unpack(Ok(()))]);
        assert_eq!(end, Err(Error::Cut("the report")));
        let (_, end) = read("side-band-64k", b"0024\x01000eunpack ok\n000dok refs/a0000");
        assert_eq!(end, Ok(()), "whole, though the server did not say goodbye");
    }

    #[test]
    fn the_origins_last_word_is_an_error_of_its_own() {
        let remote = Err(Error::Remote("disk full".into()));
        assert_eq!(read("side-band-64k", b"000f\x03disk full\n"), (vec![], remote.clone()));
        assert_eq!(read("", b"0011ERR disk full"), (vec![], remote.clone()));
        assert_eq!(read("side-band-64k", b"0011ERR disk full"), (vec![], remote));
    }

    #[test]
    fn refuses_lines_no_report_has() {
        assert!(matches!(read("", b"0009hello").1, Err(Error::Report(_))));
        assert!(matches!(read("", b"0011option forced").1, Err(Error::Report(_))));
        assert_eq!(read("side-band-64k", b"0006\x09x").1, Err(Error::Band));
    }
}
