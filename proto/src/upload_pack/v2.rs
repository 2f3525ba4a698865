//! v2's requests (gitprotocol-v2; git's serve.c): a command, its capabilities, its arguments.

use super::arguments::{Collector, Fetch};
use super::error::{Error, shown};
use super::{Limits, LsRefs, ObjectInfo};
use crate::ObjectFormat;
use crate::pktline::{Decoder, Packet};

/// Reads one request after the other.
#[derive(Debug)]
pub struct V2 {
    decoder: Decoder,
    format: ObjectFormat,
    limits: Limits,
    phase: Phase,
    at_end: bool,
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    LsRefs(LsRefs),
    Fetch(Box<Fetch>),
    ObjectInfo(ObjectInfo),
    /// The client is done: a lone flush, or the end of its side.
    End,
}

#[derive(Debug)]
enum Phase {
    /// Before a request and in its capabilities, `lines` of them so far.
    Capabilities {
        command: Option<Command>,
        lines: usize,
    },
    Arguments(Arguments),
}

#[derive(Clone, Copy, Debug)]
enum Command {
    LsRefs,
    Fetch,
    ObjectInfo,
}

#[derive(Debug)]
enum Arguments {
    LsRefs(LsRefs),
    Fetch(Box<Collector>),
    ObjectInfo(ObjectInfo),
}

impl Phase {
    const fn start() -> Self {
        Self::Capabilities { command: None, lines: 0 }
    }
}

/// Most capability lines (`agent`, `server-option` …) of one request.
const MAX_CAPABILITIES: usize = 256;

impl V2 {
    pub fn new(format: ObjectFormat, limits: Limits) -> Self {
        Self { decoder: Decoder::default(), format, limits, phase: Phase::start(), at_end: false }
    }

    /// Takes bytes as they came.
    pub fn handle_input(&mut self, input: &[u8]) {
        self.decoder.push(input);
    }

    /// Takes note that nothing more will come.
    pub fn handle_end(&mut self) {
        self.at_end = true;
    }

    /// The next whole request; `None` while bytes of it are missing.
    ///
    /// # Errors
    /// After an error the conversation is over: the next call's result means nothing.
    pub fn poll_event(&mut self) -> Result<Option<Event>, Error> {
        while let Some(packet) = self.decoder.next_packet()? {
            let next = match &mut self.phase {
                Phase::Capabilities { command, lines } => match packet {
                    Packet::Data(_) => {
                        *lines += 1;
                        if *lines > MAX_CAPABILITIES {
                            let what = "capability lines";
                            return Err(Error::Excess { what, most: MAX_CAPABILITIES });
                        }
                        capability(packet.text().unwrap_or_default(), command, self.format)?;
                        continue;
                    }
                    Packet::Flush if *lines == 0 => return Ok(Some(Event::End)),
                    Packet::Flush => {
                        let command = command.take().ok_or(Error::NoCommand)?;
                        finish(begin(command, self.format, self.limits))?
                    }
                    Packet::Delim => {
                        let command = command.take().ok_or(Error::NoCommand)?;
                        self.phase = Phase::Arguments(begin(command, self.format, self.limits));
                        continue;
                    }
                    Packet::ResponseEnd => return Err(special("response-end")),
                },
                Phase::Arguments(arguments) => match packet {
                    Packet::Data(_) => {
                        let line = packet.text().unwrap_or_default();
                        argument(arguments, line, self.format, self.limits)?;
                        continue;
                    }
                    Packet::Flush => {
                        let Phase::Arguments(arguments) =
                            std::mem::replace(&mut self.phase, Phase::start())
                        else {
                            continue;
                        };
                        finish(arguments)?
                    }
                    Packet::Delim => return Err(special("delimiter")),
                    Packet::ResponseEnd => return Err(special("response-end")),
                },
            };
            self.phase = Phase::start();
            return Ok(Some(next));
        }
        match &self.phase {
            _ if !self.at_end => Ok(None),
            Phase::Capabilities { lines: 0, .. } if self.decoder.is_empty() => Ok(Some(Event::End)),
            Phase::Capabilities { .. } | Phase::Arguments(_) => Err(Error::HungUp),
        }
    }
}

fn capability(
    line: &[u8],
    command: &mut Option<Command>,
    format: ObjectFormat,
) -> Result<(), Error> {
    let (key, value) = match line.iter().position(|b| *b == b'=') {
        Some(at) => (&line[..at], &line[at + 1..]),
        None => (line, &b""[..]),
    };
    match key {
        b"command" if command.is_some() => return Err(Error::line("one command", line)),
        b"command" => {
            *command = Some(match value {
                b"ls-refs" => Command::LsRefs,
                b"fetch" => Command::Fetch,
                b"object-info" => Command::ObjectInfo,
                _ => return Err(Error::Command(shown(value))),
            });
        }
        b"object-format" if ObjectFormat::parse(value) != Some(format) => {
            return Err(Error::object_format(format, value));
        }
        b"object-format" | b"agent" | b"server-option" | b"session-id" => {}
        _ => return Err(Error::Capability(shown(line))),
    }
    Ok(())
}

fn begin(command: Command, format: ObjectFormat, limits: Limits) -> Arguments {
    match command {
        Command::LsRefs => Arguments::LsRefs(LsRefs::default()),
        Command::Fetch => {
            let mut collector = Collector::new(format, limits);
            collector.fetch.sideband = Some(crate::sideband::Width::Large);
            Arguments::Fetch(Box::new(collector))
        }
        Command::ObjectInfo => Arguments::ObjectInfo(ObjectInfo::default()),
    }
}

fn argument(
    arguments: &mut Arguments,
    line: &[u8],
    format: ObjectFormat,
    limits: Limits,
) -> Result<(), Error> {
    match arguments {
        Arguments::LsRefs(request) => request.argument(line),
        Arguments::ObjectInfo(request) => request.argument(line, format, limits),
        Arguments::Fetch(collector) => fetch_argument(collector, line),
    }
}

fn fetch_argument(collector: &mut Collector, line: &[u8]) -> Result<(), Error> {
    let fetch = &mut collector.fetch;
    match line {
        b"thin-pack" => fetch.thin_pack = true,
        b"ofs-delta" => fetch.ofs_delta = true,
        b"no-progress" => fetch.no_progress = true,
        b"include-tag" => fetch.include_tag = true,
        b"done" => fetch.done = true,
        b"wait-for-done" => fetch.wait_for_done = true,
        b"sideband-all" => fetch.sideband_all = true,
        b"deepen-relative" => collector.relative = true,
        _ => {
            if let Some(id) = line.strip_prefix(b"want ") {
                collector.want(id)?;
            } else if let Some(id) = line.strip_prefix(b"have ") {
                collector.have(id)?;
            } else if let Some(name) = line.strip_prefix(b"want-ref ") {
                collector.want_ref(name)?;
            } else if let Some(spec) = line.strip_prefix(b"filter ") {
                collector.filter(spec)?;
            } else if !collector.depth_line(line)? {
                return Err(Error::line("an argument of fetch", line));
            }
        }
    }
    Ok(())
}

fn finish(arguments: Arguments) -> Result<Event, Error> {
    Ok(match arguments {
        Arguments::LsRefs(request) => Event::LsRefs(request),
        Arguments::ObjectInfo(request) => Event::ObjectInfo(request),
        Arguments::Fetch(collector) => Event::Fetch(Box::new(collector.finish()?)),
    })
}

fn special(what: &'static str) -> Error {
    Error::Special { what, place: "a request" }
}
