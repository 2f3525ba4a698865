//! What the client asks for: shallow lines, commands, capabilities, push options.

use bstr::{BString, ByteSlice};

use crate::pktline::{self, Packet};
use crate::{Capabilities, MAX_REF_NAME, ObjectFormat, ObjectId};

/// One ref the client wants changed, as it came: the name is not judged yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The value the client saw; `None` when it saw no such ref.
    pub old: Option<ObjectId>,
    /// The value it wants; `None` deletes.
    pub new: Option<ObjectId>,
    pub name: BString,
}

/// The capabilities a client chose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    pub report_status: bool,
    /// Implies a report, with option lines.
    pub report_status_v2: bool,
    pub sideband: bool,
    pub quiet: bool,
    pub atomic: bool,
    pub push_options: bool,
    pub agent: Option<BString>,
    pub session_id: Option<BString>,
}

/// A push, before its pack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushRequest {
    /// At least one.
    pub commands: Vec<Command>,
    /// The boundary of the client's shallow clone.
    pub shallow: Vec<ObjectId>,
    pub asked: Asked,
    /// `git push -o`, in order; an empty one counts.
    pub options: Vec<BString>,
}

impl PushRequest {
    /// Whether a pack follows: unless every command deletes.
    pub fn expects_pack(&self) -> bool {
        self.commands.iter().any(|command| command.new.is_some())
    }
}

/// What came in.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A lone flush: the client wants nothing (`git push` of what is there already, or HTTP's probe).
    Nothing,
    /// Commands and options are complete; what follows in the stream is the pack.
    Request(PushRequest),
}

/// How much a client may ask for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub commands: usize,
    pub shallow: usize,
    /// Bytes of all push options together, as they are sent: an empty one takes four.
    pub push_options: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { commands: 10_000, shallow: 100_000, push_options: 64 * 1024 }
    }
}

/// Why a request is no push.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Packet(#[from] pktline::Error),
    #[error("expected old/new/ref, got '{}'", .0.escape_ascii())]
    Command(BString),
    #[error("expected a shallow line, got '{}'", .0.escape_ascii())]
    Shallow(BString),
    #[error("unexpected packet among {0}")]
    Special(&'static str),
    #[error("signed pushes are not supported")]
    PushCert,
    #[error("object format {client} does not match this repository's {ours}", ours = .ours.as_str())]
    Format { client: BString, ours: ObjectFormat },
    #[error("more than {most} commands in one push (limits.commands)")]
    Commands { most: usize },
    #[error("more than {most} bytes of push options in one push (limits.push_options)")]
    PushOptions { most: usize },
    #[error("more than {most} shallow lines in one push")]
    ShallowLines { most: usize },
    #[error("a ref name of {len} bytes is longer than {MAX_REF_NAME}")]
    LongName { len: usize },
}

/// Reads a push request from the client's bytes.
#[derive(Debug)]
pub struct ReceivePack {
    input: pktline::Decoder,
    format: ObjectFormat,
    limits: Limits,
    request: PushRequest,
    option_bytes: usize,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Commands { first: bool },
    Options,
    Done,
}

impl ReceivePack {
    /// A reader for a repository of `format`.
    pub fn new(format: ObjectFormat, limits: Limits) -> Self {
        Self {
            input: pktline::Decoder::default(),
            format,
            limits,
            request: PushRequest::default(),
            option_bytes: 0,
            phase: Phase::Commands { first: true },
        }
    }

    /// Adds bytes as they came.
    pub fn handle_input(&mut self, input: &[u8]) {
        self.input.push(input);
    }

    /// What is complete; `None` while bytes are missing, and after the one event there is.
    pub fn poll_event(&mut self) -> Result<Option<Event>, Error> {
        while self.phase != Phase::Done {
            let Some(packet) = self.input.next_packet()? else { return Ok(None) };
            let event = match self.phase {
                Phase::Commands { first } => {
                    let line = match packet {
                        Packet::Flush => None,
                        Packet::Data(_) => packet.text(),
                        Packet::Delim | Packet::ResponseEnd => {
                            return Err(Error::Special("commands"));
                        }
                    };
                    match line {
                        Some(line) => {
                            let is_command = take_line(
                                &mut self.request,
                                line,
                                first,
                                self.format,
                                self.limits,
                            )?;
                            self.phase = Phase::Commands { first: first && !is_command };
                            None
                        }
                        None => self.end_of_commands(),
                    }
                }
                Phase::Options => match packet {
                    Packet::Flush => self.complete(),
                    Packet::Data(_) => {
                        let option = BString::from(packet.text().unwrap_or_default());
                        self.take_option(option)?;
                        None
                    }
                    Packet::Delim | Packet::ResponseEnd => return Err(Error::Special("options")),
                },
                Phase::Done => None,
            };
            if event.is_some() {
                return Ok(event);
            }
        }
        Ok(None)
    }

    /// Whether not one byte of a push came: the client may leave now without it being an error.
    pub fn is_untouched(&self) -> bool {
        self.phase == Phase::Commands { first: true }
            && self.request.shallow.is_empty()
            && self.input.is_empty()
    }

    /// The bytes that came behind the request: the head of the pack.
    pub fn take_rest(&mut self) -> Vec<u8> {
        self.input.take_rest()
    }

    fn end_of_commands(&mut self) -> Option<Event> {
        if self.request.commands.is_empty() {
            self.phase = Phase::Done;
            return Some(Event::Nothing);
        }
        if self.request.asked.push_options {
            self.phase = Phase::Options;
            return None;
        }
        self.complete()
    }

    fn take_option(&mut self, option: BString) -> Result<(), Error> {
        self.option_bytes += pktline::LENGTH_DIGITS + option.len();
        let most = self.limits.push_options;
        if self.option_bytes > most {
            return Err(Error::PushOptions { most });
        }
        self.request.options.push(option);
        Ok(())
    }

    fn complete(&mut self) -> Option<Event> {
        self.phase = Phase::Done;
        Some(Event::Request(std::mem::take(&mut self.request)))
    }
}

/// Reads one line before the flush; tells whether it was a command.
fn take_line(
    request: &mut PushRequest,
    line: &[u8],
    first: bool,
    format: ObjectFormat,
    limits: Limits,
) -> Result<bool, Error> {
    if let Some(hex) = line.strip_prefix(b"shallow ") {
        let id = ObjectId::from_hex(hex).filter(|id| id.format() == format);
        let id = id.ok_or_else(|| Error::Shallow(line.into()))?;
        if request.shallow.len() == limits.shallow {
            return Err(Error::ShallowLines { most: limits.shallow });
        }
        request.shallow.push(id);
        return Ok(false);
    }
    if line == b"push-cert" || line.starts_with(b"push-cert\0") {
        return Err(Error::PushCert);
    }
    let (command, capabilities) = match line.split_once_str(b"\0") {
        Some((command, list)) if first => (command, Some(Capabilities::parse(list))),
        Some(_) => return Err(Error::Command(line.into())),
        None => (line, None),
    };
    if first {
        request.asked = asked(&capabilities.unwrap_or_default(), format)?;
    }
    if request.commands.len() == limits.commands {
        return Err(Error::Commands { most: limits.commands });
    }
    request.commands.push(parse_command(command, format)?);
    Ok(true)
}

fn parse_command(line: &[u8], format: ObjectFormat) -> Result<Command, Error> {
    let bad = || Error::Command(line.into());
    let id = |hex: &[u8]| -> Result<Option<ObjectId>, Error> {
        let id = ObjectId::from_hex(hex).filter(|id| id.format() == format).ok_or_else(bad)?;
        Ok(Some(id).filter(|id| !id.is_null()))
    };
    let hex = format.hex_len();
    let (old, rest) = line.split_at_checked(hex).ok_or_else(bad)?;
    let (new, rest) =
        rest.strip_prefix(b" ").and_then(|rest| rest.split_at_checked(hex)).ok_or_else(bad)?;
    let name = rest.strip_prefix(b" ").ok_or_else(bad)?;
    if name.len() > MAX_REF_NAME {
        return Err(Error::LongName { len: name.len() });
    }
    Ok(Command { old: id(old)?, new: id(new)?, name: name.into() })
}

fn asked(list: &Capabilities, ours: ObjectFormat) -> Result<Asked, Error> {
    let client = list.value("object-format").unwrap_or(b"sha1".as_bstr());
    if ObjectFormat::parse(client) != Some(ours) {
        return Err(Error::Format { client: crate::capability::sanitize_value(client), ours });
    }
    Ok(Asked {
        report_status: list.has("report-status"),
        report_status_v2: list.has("report-status-v2"),
        sideband: list.has("side-band-64k"),
        quiet: list.has("quiet"),
        atomic: list.has("atomic"),
        push_options: list.has("push-options"),
        agent: list.value("agent").map(|value| crate::capability::sanitize_value(value)),
        session_id: list.value("session-id").map(|value| crate::capability::sanitize_value(value)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
    const ZERO: &str = "0000000000000000000000000000000000000000";

    fn packets(lines: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        for line in lines {
            match *line {
                "0000" => pktline::flush(&mut out),
                "0001" => pktline::delim(&mut out),
                line => pktline::encode(&mut out, line.as_bytes()),
            }
        }
        out
    }

    fn read(input: &[u8], limits: Limits) -> Result<Option<Event>, Error> {
        let mut machine = ReceivePack::new(ObjectFormat::Sha1, limits);
        machine.handle_input(input);
        machine.poll_event()
    }

    fn error(lines: &[&str]) -> Error {
        let limits = Limits { commands: 1, shallow: 1, push_options: 10 };
        read(&packets(lines), limits).unwrap_err()
    }

    #[test]
    fn reads_commands_capabilities_and_options() {
        let input = packets(&[
            &format!("shallow {B}"),
            &format!(
                "{ZERO} {A} refs/heads/new\0 report-status-v2 side-band-64k push-options agent=x"
            ),
            &format!("{A} {B} refs/heads/a b\n"),
            &format!("{A} {ZERO} refs/tags/gone"),
            "0000",
            "",
            "ci.skip",
            "0000",
        ]);
        let mut machine = ReceivePack::new(ObjectFormat::Sha1, Limits::default());
        machine.handle_input(&input);
        machine.handle_input(b"PACK");
        let Some(Event::Request(request)) = machine.poll_event().unwrap() else { panic!() };
        let names: Vec<_> = request.commands.iter().map(|c| c.name.to_string()).collect();
        assert_eq!(names, ["refs/heads/new", "refs/heads/a b", "refs/tags/gone"]);
        assert!(request.commands[0].old.is_none() && request.commands[2].new.is_none());
        assert_eq!(request.options, ["", "ci.skip"]);
        assert_eq!(request.shallow.len(), 1);
        assert!(request.asked.report_status_v2 && !request.asked.report_status);
        assert!(request.expects_pack());
        assert_eq!(machine.poll_event(), Ok(None));
        assert_eq!(machine.take_rest(), b"PACK");
    }

    #[test]
    fn a_lone_flush_asks_for_nothing() {
        assert_eq!(read(b"0000", Limits::default()), Ok(Some(Event::Nothing)));
        assert!(ReceivePack::new(ObjectFormat::Sha1, Limits::default()).is_untouched());
    }

    #[test]
    fn refuses_what_is_no_command() {
        let line = format!("{A} {B} refs/heads/a");
        assert!(matches!(error(&["hello"]), Error::Command(_)));
        assert!(matches!(error(&[&line[..81]]), Error::Command(_)));
        assert!(matches!(error(&[&line.replace(' ', "\t")]), Error::Command(_)));
        assert!(matches!(error(&["shallow 12"]), Error::Shallow(_)));
        assert_eq!(error(&["push-cert\0x"]), Error::PushCert);
        assert_eq!(error(&["0001"]), Error::Special("commands"));
        assert_eq!(error(&[&format!("{line}{}", "x".repeat(4096))]), Error::LongName { len: 4108 });
        let sha256 = format!("{} {} refs/heads/a", "a".repeat(64), "b".repeat(64));
        assert!(matches!(error(&[&sha256]), Error::Command(_)));
        assert_eq!(
            error(&[&format!("{line}\0object-format=sha256")]).to_string(),
            "object format sha256 does not match this repository's sha1"
        );
    }

    #[test]
    fn counts_what_a_client_sends() {
        let line = format!("{A} {B} refs/heads/a");
        let options = format!("{line}\0push-options");
        let text = |lines: &[&str]| error(lines).to_string();
        assert_eq!(text(&[&line, &line]), "more than 1 commands in one push (limits.commands)");
        let shallow = format!("shallow {A}");
        assert_eq!(text(&[&shallow, &shallow]), "more than 1 shallow lines in one push");
        for given in [&["abcdefg"][..], &["a", "bc"], &["", "", ""]] {
            let lines = [&[&*options, "0000"], given].concat();
            assert_eq!(
                text(&lines),
                "more than 10 bytes of push options in one push (limits.push_options)"
            );
        }
        let fits = packets(&[&options, "0000", "", "ab", "0000"]);
        let limits = Limits { push_options: 10, ..Limits::default() };
        assert!(matches!(read(&fits, limits), Ok(Some(Event::Request(_)))));
    }
}
