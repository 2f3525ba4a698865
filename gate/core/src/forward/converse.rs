//! The conversation itself: commands and pack go out while the origin's words come in.

use std::io;
use std::time::Duration;

use bstr::BString;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use proto::receive_pack::{Outcome, RefReport, Rewrite};
use proto::send_pack::{Event, ReportReader, Request};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::open::{READ, garbage, lost};
use super::pack::{Packing, WritePack, WritePackError, start};
use super::pulse::Pulse;
use super::{AGENT, Atomicity, Opened, Order, Tell};
use crate::blocking::Pool;
use crate::dial::{Connection, Error, ErrorKind, Payload, Stream, Words};

/// What the origin answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// What it said of the pack.
    pub unpack: Result<(), BString>,
    /// What it said of each ref, in the order of the updates.
    pub fates: Vec<Fate>,
    /// Why its answer is not whole.
    pub cut: Option<Error>,
}

/// What the origin said of one ref.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Done(Vec<Rewrite>),
    /// In its own words.
    Refused(BString),
    /// It said nothing: it may have acted or not.
    Unknown,
}

/// Sends `order` with its pack and reads the answer. `silence` (limits.forward) is the longest time in which nothing moves
/// either way.
///
/// An answer whose report is cut or missing is an `Ok` with a [`cut`](Answer::cut): the outcome is unknown.
///
/// # Errors
/// When the gate could not make its own pack: then the origin, which never saw the pack's end, has not acted.
pub(crate) async fn send(
    opened: Opened,
    order: &Order,
    pack: Option<WritePack>,
    pool: &Pool,
    silence: Duration,
    tell: &dyn Tell,
) -> Result<Answer, WritePackError> {
    let offered = &opened.advertisement.capabilities;
    let mut head = Vec::new();
    request(order).encode(&mut head, offered);
    let is_short = pack.is_none();
    let Packing { pieces, mut failure, writer: _writer } = start(head.into(), pack, pool);
    let pulse = Pulse::default();
    let mut hearing = Hearing {
        reader: ReportReader::new(offered),
        unpack: Ok(()),
        reports: Vec::new(),
        pulse: &pulse,
        tell,
    };
    let cut = {
        let talk = async {
            match opened.link {
                Connection::Stream(stream) => over_stream(stream, pieces, &mut hearing).await,
                Connection::Rpc(mut rpc) => {
                    let counted = counted(pieces, &pulse);
                    let payload =
                        if is_short { held(counted).await } else { Payload::Streamed(counted) };
                    let mut answer = rpc.call(payload).await?;
                    hearing.listen(&mut answer, &Words::none()).await
                }
            }
        };
        tokio::select! {
            result = talk => result.err(),
            () = pulse.stops(silence) => Some(Error::timed_out("forward", silence)),
        }
    };
    if let Ok(error) = failure.try_recv() {
        return Err(error);
    }
    let Hearing { unpack, reports, .. } = hearing;
    let fates = order.updates.iter().map(|update| fate(&reports, update.name.as_bytes())).collect();
    Ok(Answer { unpack, fates, cut })
}

fn request(order: &Order) -> Request<'_> {
    Request {
        format: order.format,
        updates: &order.updates,
        atomic: order.atomicity != Atomicity::Off,
        quiet: order.quiet,
        options: &order.options,
        shallow: &order.shallow,
        agent: AGENT,
        session_id: &order.session_id,
    }
}

fn fate(reports: &[RefReport], name: &[u8]) -> Fate {
    match reports.iter().find(|report| report.name == name) {
        Some(RefReport { outcome: Outcome::Ok(rewrites), .. }) => Fate::Done(rewrites.clone()),
        Some(RefReport { outcome: Outcome::Ng(reason), .. }) => Fate::Refused(reason.clone()),
        None => Fate::Unknown,
    }
}

/// Talks and listens at once: an origin that refuses early, or reports progress, is heard while the pack still goes out.
async fn over_stream(
    stream: Stream,
    pieces: BoxStream<'static, io::Result<Bytes>>,
    hearing: &mut Hearing<'_>,
) -> Result<(), Error> {
    let words = stream.words.clone();
    let (mut input, mut output) = tokio::io::split(stream.io);
    let (pulse, tell) = (hearing.pulse, hearing.tell);
    {
        let mut listening = std::pin::pin!(hearing.listen(&mut input, &words));
        let talk = talk(&mut output, pieces, pulse, tell);
        tokio::select! {
            biased;
            heard = &mut listening => heard?,
            said = talk => match said {
                Err(NotSent::Pack(error)) => {
                    return Err(Error::new(ErrorKind::Gate, "").with_source(error));
                }
                // an origin that no longer takes bytes has its reasons, and may still tell them
                Ok(()) | Err(NotSent::Gone) => listening.await?,
            },
        }
    }
    let aside = words.so_far();
    if !aside.is_empty() {
        tell.origin_said(format!("{aside}\n").as_bytes());
    }
    Ok(())
}

enum NotSent {
    Pack(io::Error),
    Gone,
}

async fn talk(
    output: &mut (impl AsyncWrite + Unpin),
    mut pieces: BoxStream<'static, io::Result<Bytes>>,
    pulse: &Pulse,
    tell: &dyn Tell,
) -> Result<(), NotSent> {
    let mut sent = 0;
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(NotSent::Pack)?;
        output.write_all(&piece).await.map_err(|_| NotSent::Gone)?;
        sent += piece.len() as u64;
        pulse.beat();
        tell.sent(sent);
    }
    output.flush().await.map_err(|_| NotSent::Gone)
}

/// Keeps the pulse while a transport takes pieces on its own.
fn counted(
    pieces: BoxStream<'static, io::Result<Bytes>>,
    pulse: &Pulse,
) -> BoxStream<'static, io::Result<Bytes>> {
    let pulse = pulse.clone();
    pieces.inspect(move |_| pulse.beat()).boxed()
}

async fn held(mut pieces: BoxStream<'static, io::Result<Bytes>>) -> Payload {
    let mut whole = BytesMut::new();
    while let Some(Ok(piece)) = pieces.next().await {
        whole.extend_from_slice(&piece);
    }
    Payload::Whole(whole.freeze())
}

/// What was heard so far.
struct Hearing<'a> {
    reader: ReportReader,
    unpack: Result<(), BString>,
    reports: Vec<RefReport>,
    pulse: &'a Pulse,
    tell: &'a dyn Tell,
}

impl Hearing<'_> {
    async fn listen(
        &mut self,
        input: &mut (dyn AsyncRead + Send + Unpin),
        words: &Words,
    ) -> Result<(), Error> {
        let mut buffer = BytesMut::with_capacity(READ);
        loop {
            buffer.reserve(READ);
            match input.read_buf(&mut buffer).await {
                Ok(0) if self.reader.handle_eof().is_ok() => return Ok(()),
                Ok(0) => return Err(lost(words, "its report").await),
                Ok(_) => self.reader.handle_input(&buffer.split()),
                Err(error) => return Err(lost(words, "its report").await.with_source(error)),
            }
            self.pulse.beat();
            while let Some(event) = self.reader.poll_event().map_err(garbage)? {
                match event {
                    Event::Progress(text) => self.tell.origin_said(&text),
                    Event::Unpack(result) => self.unpack = result,
                    Event::Ref(report) => self.reports.push(report),
                    Event::ReportEnd => {}
                    Event::End => return Ok(()),
                }
            }
        }
    }
}
