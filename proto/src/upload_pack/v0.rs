//! v0's and v1's conversation after the advertisement (gitprotocol-pack; git's upload-pack.c): what the client needs, then
//! what it has.

mod needs;

use super::Limits;
use super::arguments::{Fetch, below, parse_id};
use super::error::Error;
use crate::pktline::{self, Decoder};
use crate::{ObjectFormat, ObjectId};
use needs::{MultiAck, Needs};

/// Reads what a client needs and has, and writes the acknowledgments.
///
/// Whoever knows the objects answers each event before it polls for the next.
#[derive(Debug)]
pub struct V0 {
    decoder: Decoder,
    format: ObjectFormat,
    limits: Limits,
    stateless: bool,
    phase: Phase,
    at_end: bool,
    out: Vec<u8>,
}

/// What the client said, or what is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// What it wants, and how. The new shallow boundary, if it asked for one, must be sent before anything else.
    Needs(Box<Fetch>),
    /// Answer by [`V0::answer_have`].
    Have(ObjectId),
    /// The end of a round of haves: answer by [`V0::answer_round`].
    Round,
    /// The pack is due.
    Pack,
    /// The client wants nothing (more).
    End,
}

/// How one `have` fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Have {
    /// Whether the object is here, too.
    pub common: bool,
    /// How many haves were news so far: common, and no parent of a commit that was (`have_obj.nr` in git).
    pub news: usize,
}

#[derive(Debug)]
enum Phase {
    Needs(Box<Needs>),
    Haves(Haves),
    Ended,
}

#[derive(Debug)]
struct Haves {
    multi_ack: MultiAck,
    no_done: bool,
    seen: usize,
    news: usize,
    last: Option<ObjectId>,
    got_common: bool,
    got_other: bool,
    sent_ready: bool,
}

impl V0 {
    /// Begins after the advertisement. `stateless` ends the conversation with the first round of haves.
    pub fn new(format: ObjectFormat, limits: Limits, stateless: bool) -> Self {
        Self {
            decoder: Decoder::default(),
            format,
            limits,
            stateless,
            phase: Phase::Needs(Box::new(Needs::new(format, limits))),
            at_end: false,
            out: Vec::new(),
        }
    }

    /// Takes bytes as they came.
    pub fn handle_input(&mut self, input: &[u8]) {
        self.decoder.push(input);
    }

    /// Takes note that nothing more will come.
    pub fn handle_end(&mut self) {
        self.at_end = true;
    }

    /// What was written since the last call.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// What happened next; `None` while bytes are missing.
    ///
    /// # Errors
    /// After an error the conversation is over: the next call's result means nothing.
    pub fn poll_event(&mut self) -> Result<Option<Event>, Error> {
        if matches!(self.phase, Phase::Ended) {
            // what follows is nobody's
            return Ok(Some(Event::End));
        }
        while let Some(packet) = self.decoder.next_packet()? {
            let event = match &mut self.phase {
                Phase::Needs(needs) => match packet.text() {
                    Some(line) => {
                        needs.line(line)?;
                        continue;
                    }
                    None => self.end_of_needs()?,
                },
                Phase::Haves(haves) => match packet.text() {
                    Some(b"done") => self.done(),
                    Some(line) => haves.line(line, self.format, self.limits)?,
                    None => Event::Round,
                },
                Phase::Ended => return Ok(Some(Event::End)),
            };
            return Ok(Some(event));
        }
        match &self.phase {
            Phase::Ended => Ok(Some(Event::End)),
            _ if !self.at_end => Ok(None),
            // a client that only wanted to see the refs hangs up, and a stateless one takes its shallow list and goes
            Phase::Needs(needs) if needs.is_untouched() && self.decoder.is_empty() => {
                Ok(Some(Event::End))
            }
            Phase::Haves(haves) if self.stateless && haves.is_untouched() => Ok(Some(Event::End)),
            Phase::Needs(_) | Phase::Haves(_) => Err(Error::HungUp),
        }
    }

    /// Answers a [`Event::Have`]. `ready` tells whether every want has a common ancestor by now (git's `ok_to_give_up`);
    /// it may be costly and is asked only when git asks it.
    pub fn answer_have<E>(
        &mut self,
        id: &ObjectId,
        have: Have,
        ready: impl FnOnce() -> Result<bool, E>,
    ) -> Result<(), E> {
        let Phase::Haves(haves) = &mut self.phase else { return Ok(()) };
        haves.answer(&mut self.out, id, have, ready)
    }

    /// Answers a [`Event::Round`]; `ready` as in [`answer_have`](Self::answer_have).
    pub fn answer_round<E>(
        &mut self,
        ready: impl FnOnce() -> Result<bool, E>,
    ) -> Result<Option<Event>, E> {
        let Phase::Haves(haves) = &mut self.phase else { return Ok(None) };
        let pack = haves.round(&mut self.out, ready)?;
        if pack {
            self.phase = Phase::Ended;
            return Ok(Some(Event::Pack));
        }
        if self.stateless {
            self.phase = Phase::Ended;
        }
        Ok(None)
    }

    fn end_of_needs(&mut self) -> Result<Event, Error> {
        let Phase::Needs(needs) = std::mem::replace(&mut self.phase, Phase::Ended) else {
            return Ok(Event::End);
        };
        let (fetch, multi_ack, no_done) = needs.finish()?;
        if fetch.wants.is_empty() {
            return Ok(Event::End);
        }
        self.phase = Phase::Haves(Haves {
            multi_ack,
            no_done,
            seen: 0,
            news: 0,
            last: None,
            got_common: false,
            got_other: false,
            sent_ready: false,
        });
        Ok(Event::Needs(Box::new(fetch)))
    }

    fn done(&mut self) -> Event {
        if let Phase::Haves(haves) = std::mem::replace(&mut self.phase, Phase::Ended) {
            haves.done(&mut self.out);
        }
        Event::Pack
    }
}

impl Haves {
    fn is_untouched(&self) -> bool {
        self.seen == 0
    }

    fn line(&mut self, line: &[u8], format: ObjectFormat, limits: Limits) -> Result<Event, Error> {
        let id = line.strip_prefix(b"have ").and_then(|hex| parse_id(format, hex));
        let id = id.ok_or_else(|| Error::line("a have or done", line))?;
        below(self.seen, limits.haves, "haves", "haves")?;
        self.seen += 1;
        Ok(Event::Have(id))
    }

    fn answer<E>(
        &mut self,
        out: &mut Vec<u8>,
        id: &ObjectId,
        have: Have,
        ready: impl FnOnce() -> Result<bool, E>,
    ) -> Result<(), E> {
        if !have.common {
            self.got_other = true;
            if self.multi_ack != MultiAck::No && self.news > 0 && ready()? {
                match self.multi_ack {
                    MultiAck::Detailed => {
                        self.sent_ready = true;
                        ack(out, id, " ready");
                    }
                    MultiAck::Plain | MultiAck::No => ack(out, id, " continue"),
                }
            }
            return Ok(());
        }
        self.got_common = true;
        self.news = have.news;
        self.last = Some(*id);
        match self.multi_ack {
            MultiAck::Detailed => ack(out, id, " common"),
            MultiAck::Plain => ack(out, id, " continue"),
            MultiAck::No if self.news == 1 => ack(out, id, ""),
            MultiAck::No => {}
        }
        Ok(())
    }

    /// Whether the pack follows at once.
    fn round<E>(
        &mut self,
        out: &mut Vec<u8>,
        ready: impl FnOnce() -> Result<bool, E>,
    ) -> Result<bool, E> {
        let detailed = self.multi_ack == MultiAck::Detailed;
        let last = self.last.filter(|_| detailed && self.got_common && !self.got_other);
        if let Some(last) = last
            && ready()?
        {
            self.sent_ready = true;
            ack(out, &last, " ready");
        }
        if self.news == 0 || self.multi_ack != MultiAck::No {
            pktline::encode(out, b"NAK\n");
        }
        if let Some(last) = self.last.filter(|_| self.no_done && self.sent_ready) {
            ack(out, &last, "");
            return Ok(true);
        }
        (self.got_common, self.got_other) = (false, false);
        Ok(false)
    }

    fn done(&self, out: &mut Vec<u8>) {
        match self.last {
            Some(last) if self.multi_ack != MultiAck::No => ack(out, &last, ""),
            Some(_) => {}
            None => pktline::encode(out, b"NAK\n"),
        }
    }
}

fn ack(out: &mut Vec<u8>, id: &ObjectId, status: &str) {
    pktline::encode(out, format!("ACK {id}{status}\n").as_bytes());
}
