//! One conversation with an origin's upload-pack: advertisement, one list of refs, then packs.

use std::fmt;
use std::time::Duration;

use bstr::ByteSlice as _;
use bytes::{Bytes, BytesMut};
use gate_config::ResolvedRepo;
use proto::fetch_pack::{
    Advertisement, AdvertisementReader, FetchEvent, FetchReader, FetchRequest, Listed, RefsEvent,
    RefsReader, ls_refs_request,
};
use proto::{ObjectFormat, ObjectId, Service, Version, fetch_pack};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::blocking::Inlet;
use crate::dial::{Connection, Dial, Error, ErrorKind, Payload, Words};

/// What the gate calls itself to an origin.
const AGENT: &str = concat!("git-gate/", env!("CARGO_PKG_VERSION"));
/// Bytes read from the origin at once.
const READ: usize = 64 << 10;

/// A connection whose advertisement has been read.
pub(super) struct Conversation {
    link: Connection,
    advertisement: Advertisement,
    format: ObjectFormat,
}

/// What an origin says beside the pack when it answers a fetch.
#[derive(Debug, Default)]
pub(super) struct Boundary {
    pub shallow: Vec<ObjectId>,
    pub unshallow: Vec<ObjectId>,
}

impl Conversation {
    /// Dials and reads the advertisement; asks for v2 and takes what comes.
    pub(super) async fn open(dial: &dyn Dial, to: &ResolvedRepo) -> Result<Self, Error> {
        let mut link = dial.dial(to, Service::UploadPack, Version::V2).await?;
        let mut reader = AdvertisementReader::new(Service::UploadPack);
        let advertisement = match &mut link {
            Connection::Stream(stream) => {
                let words = stream.words.clone();
                read_advertisement(&mut stream.io, &mut reader, &words).await?
            }
            Connection::Rpc(rpc) => {
                let mut answer = rpc.advertisement().await?;
                reader = reader.over_http();
                read_advertisement(&mut answer, &mut reader, &Words::none()).await?
            }
        };
        let format = advertisement.object_format().map_err(|error| garbage(&error))?;
        if let Advertisement::V2(capabilities) = &advertisement
            && !(capabilities.has("ls-refs") && capabilities.has("fetch"))
        {
            let words = "it advertises v2 without ls-refs and fetch";
            return Err(Error::new(ErrorKind::Garbage, words));
        }
        Ok(Self { link, advertisement, format })
    }

    pub(super) fn format(&self) -> ObjectFormat {
        self.format
    }

    /// Whether the refs are listed by a request of their own. If not, they were read when the connection was opened.
    pub(super) fn lists_on_request(&self) -> bool {
        matches!(self.advertisement, Advertisement::V2(_))
    }

    /// Whether a HEAD without a symref is surely detached.
    pub(super) fn tells_symrefs(&self) -> bool {
        match &self.advertisement {
            Advertisement::V2(_) => true,
            Advertisement::V0(listing) => listing.capabilities.has("symref"),
        }
    }

    /// Whether it may be asked again: every request of http stands alone.
    pub(super) fn is_stateless(&self) -> bool {
        matches!(self.link, Connection::Rpc(_))
    }

    /// Whether the origin's URL still leads to what this was opened on, as far as the transport can tell.
    pub(super) fn is_current(&self) -> bool {
        match &self.link {
            Connection::Stream(stream) => stream.is_current.as_ref().is_none_or(|ask| ask()),
            Connection::Rpc(_) => true,
        }
    }

    /// Whether the origin moves its boundary for a client that asks for a depth.
    pub(super) fn deepens(&self) -> bool {
        match &self.advertisement {
            Advertisement::V2(capabilities) => capabilities
                .value("fetch")
                .is_some_and(|features| features.split_str(" ").any(|one| one == b"shallow")),
            Advertisement::V0(listing) => listing.capabilities.has("shallow"),
        }
    }

    /// Returns when the origin hangs up, or says something unasked, while nobody talks to it.
    pub(super) async fn hung_up(&mut self) {
        match &mut self.link {
            Connection::Stream(stream) => drop(stream.io.read(&mut [0]).await),
            Connection::Rpc(_) => std::future::pending().await,
        }
    }

    /// The origin's boundary where it is told with the refs (v0); v2 tells it with a pack.
    pub(super) fn advertised_shallow(&self) -> Option<&[ObjectId]> {
        match &self.advertisement {
            Advertisement::V0(listing) => Some(&listing.shallow),
            Advertisement::V2(_) => None,
        }
    }

    /// Lists the origin's refs, each given to `each` as it arrives. To be asked once on a stream: stock git may answer
    /// a second time from what it read for the first.
    pub(super) async fn list(
        &mut self,
        first_byte: Option<Duration>,
        mut each: impl FnMut(Listed<'_>) + Send,
    ) -> Result<(), Error> {
        let advertised = match &self.advertisement {
            Advertisement::V2(advertised) => advertised,
            Advertisement::V0(listing) => {
                listing.refs().for_each(&mut each);
                if let Some(head) = listing.unborn_head() {
                    let name = "HEAD".into();
                    each(Listed { name, target: None, peeled: None, symref: Some(head) });
                }
                return Ok(());
            }
        };
        let mut reader = RefsReader::new(self.format);
        let request = ls_refs_request(advertised, AGENT);
        let mut buffer = BytesMut::with_capacity(READ);
        let asked = async {
            let (mut answer, words) = self.ask(request).await?;
            read_some(&mut *answer, &mut buffer, &words, "the list of refs").await?;
            Ok::<_, Error>((answer, words))
        };
        let (mut answer, words) = match first_byte {
            Some(limit) => timeout(limit, asked).await.map_err(|_| {
                Error::new(ErrorKind::Lost, "no answer on a connection that was kept")
            })??,
            None => asked.await?,
        };
        loop {
            reader.handle_input(&buffer).map_err(|error| garbage(&error))?;
            while let Some(event) = reader.poll_event().map_err(|error| garbage(&error))? {
                match event {
                    RefsEvent::Ref(listed) => each(listed),
                    RefsEvent::End => return Ok(()),
                }
            }
            read_some(&mut *answer, &mut buffer, &words, "the list of refs").await?;
        }
    }

    /// Asks for a pack and hands it to `inlet` as it comes. `stall` is the longest silence.
    pub(super) async fn fetch(
        &mut self,
        request: &FetchRequest,
        inlet: Inlet,
        stall: Duration,
        mut progress: impl FnMut(&[u8], usize) + Send,
    ) -> Result<Boundary, Error> {
        let (request, mut reader) = match &self.advertisement {
            Advertisement::V2(advertised) => {
                (request.to_v2(advertised, AGENT), FetchReader::v2(self.format))
            }
            Advertisement::V0(listing) => {
                let advertised = &listing.capabilities;
                let sideband = FetchRequest::v0_has_sideband(advertised);
                let reader = FetchReader::v0(self.format, sideband, request.unshallow);
                (request.to_v0(advertised, AGENT), reader)
            }
        };
        let (mut answer, words) = self.ask(request).await?;
        let mut buffer = BytesMut::with_capacity(READ);
        let mut boundary = Boundary::default();
        loop {
            match timeout(stall, read_some(&mut *answer, &mut buffer, &words, "the pack")).await {
                Err(_) => return Err(Error::timed_out("refresh", stall)),
                Ok(Err(error)) if error.kind() == ErrorKind::Lost && reader.may_end() => break,
                Ok(read) => read?,
            }
            reader.handle_input(&buffer).map_err(|error| garbage(&error))?;
            while let Some(event) = reader.poll_event().map_err(|error| garbage(&error))? {
                match event {
                    FetchEvent::Shallow(id) => boundary.shallow.push(id),
                    FetchEvent::Unshallow(id) => boundary.unshallow.push(id),
                    FetchEvent::Progress(text) => progress(text, 0),
                    FetchEvent::Pack(data) => {
                        progress(b"", data.len());
                        let piece = Bytes::copy_from_slice(data);
                        inlet
                            .send(piece)
                            .await
                            .map_err(|gone| Error::new(ErrorKind::BadPack, "").with_source(gone))?;
                    }
                    FetchEvent::End => {
                        inlet.finish().await;
                        return Ok(boundary);
                    }
                }
            }
        }
        inlet.finish().await;
        Ok(boundary)
    }

    /// Says good-bye, so that the origin has nothing to complain of in its log.
    pub(super) async fn close(mut self) {
        if let Connection::Stream(stream) = &mut self.link {
            // an origin that has gone already needs no farewell
            drop(stream.io.write_all(b"0000").await);
            drop(stream.io.shutdown().await);
        }
    }

    async fn ask(&mut self, request: Vec<u8>) -> Result<(Reading<'_>, Words), Error> {
        match &mut self.link {
            Connection::Stream(stream) => {
                let sent = async {
                    stream.io.write_all(&request).await?;
                    stream.io.flush().await
                };
                if let Err(error) = sent.await {
                    return Err(lost(&stream.words, "the request").await.with_source(error));
                }
                Ok((Box::new(&mut stream.io), stream.words.clone()))
            }
            Connection::Rpc(rpc) => {
                Ok((rpc.call(Payload::Whole(request.into())).await?, Words::none()))
            }
        }
    }
}

impl fmt::Debug for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversation").field("link", &self.link).finish_non_exhaustive()
    }
}

type Reading<'a> = Box<dyn AsyncRead + Send + Unpin + 'a>;

async fn read_advertisement(
    input: &mut (dyn AsyncRead + Send + Unpin),
    reader: &mut AdvertisementReader,
    words: &Words,
) -> Result<Advertisement, Error> {
    let mut buffer = BytesMut::with_capacity(READ);
    loop {
        read_some(input, &mut buffer, words, "the advertisement").await?;
        match reader.handle_input(&buffer) {
            Ok(Some(advertisement)) => return Ok(advertisement),
            Ok(None) => {}
            // what comes may be a shell's banner; its stderr then says more than "not a packet"
            Err(error) => return Err(garbage(&error)),
        }
    }
}

/// Reads at least a byte into the emptied `buffer`; an end is an error, in the origin's words where it has any.
async fn read_some(
    input: &mut (dyn AsyncRead + Send + Unpin),
    buffer: &mut BytesMut,
    words: &Words,
    phase: &'static str,
) -> Result<(), Error> {
    buffer.clear();
    buffer.reserve(READ);
    match input.read_buf(buffer).await {
        Ok(0) => Err(lost(words, phase).await),
        Ok(_) => Ok(()),
        Err(error) => Err(lost(words, phase).await.with_source(error)),
    }
}

async fn lost(words: &Words, phase: &'static str) -> Error {
    let said = words.hear().await;
    match (said.as_str(), words.exit()) {
        ("", Some(exit)) if exit != 0 => Error::new(
            ErrorKind::Lost,
            format!("its program ended with status {exit} before {phase} was complete"),
        ),
        ("", _) => Error::new(ErrorKind::Lost, format!("before {phase} was complete")),
        _ => Error::said(&said),
    }
}

/// What the machine can't read is the origin's refusal, or no git protocol.
fn garbage(error: &fetch_pack::Error) -> Error {
    match error {
        fetch_pack::Error::Refused(words) => Error::said(words),
        other => Error::new(ErrorKind::Garbage, other.to_string()),
    }
}
