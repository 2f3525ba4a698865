//! One conversation with an origin's upload-pack: advertisement, one list of refs, then packs.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bstr::ByteSlice as _;
use bytes::{Bytes, BytesMut};
use proto::fetch_pack::{
    Advertisement, AdvertisementReader, FetchEvent, FetchReader, FetchRequest, Listed, RefsEvent,
    RefsReader, ls_refs_request,
};
use proto::{ObjectFormat, ObjectId, Service, fetch_pack};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::blocking::Inlet;
use crate::dial::{Connection, Error, ErrorKind, Payload, Stream, Words};

/// What the gate calls itself to an origin.
const AGENT: &str = concat!("git-gate/", env!("CARGO_PKG_VERSION"));
/// What an origin that hangs up had begun to tell.
const REFS: &str = "the list of refs";
/// Bytes read from the origin at once.
const READ: usize = 64 << 10;

/// A connection whose advertisement has been read, or may be assumed.
pub(super) struct Conversation {
    link: Connection,
    advertisement: Arc<Advertisement>,
    format: ObjectFormat,
    /// What came behind the advertisement, if the refs were asked for in the first breath.
    early: Option<Vec<u8>>,
}

/// What an origin says beside the pack when it answers a fetch.
#[derive(Debug, Default)]
pub(super) struct Boundary {
    pub shallow: Vec<ObjectId>,
    pub unshallow: Vec<ObjectId>,
}

impl Conversation {
    /// Reads the advertisement, of whatever version. What is `assumed` of it saves a round trip: on a stream the refs are
    /// asked for before it has come, over http it is not asked for at all. `patience` is the longest wait for a first byte.
    ///
    /// # Errors
    /// What the origin said instead; [`ErrorKind::Garbage`] too if it wants to be asked otherwise than was assumed.
    pub(super) async fn begin(
        mut link: Connection,
        assumed: Option<Arc<Advertisement>>,
        patience: Option<Duration>,
    ) -> Result<Self, Error> {
        let mut reader = AdvertisementReader::new(Service::UploadPack);
        let mut early = None;
        let advertisement = match (&mut link, assumed) {
            (Connection::Stream(stream), None) => {
                let words = stream.words.clone();
                Arc::new(read_advertisement(&mut stream.io, &mut reader, &words, patience).await?)
            }
            (Connection::Stream(stream), Some(assumed)) => {
                let words = stream.words.clone();
                let request = refs_request(&assumed);
                heard(patience, say(stream, &request)).await?;
                reader = reader.answer_follows();
                let read =
                    read_advertisement(&mut stream.io, &mut reader, &words, patience).await?;
                if refs_request(&read) != request {
                    let words = "it advertises something else than before";
                    return Err(Error::new(ErrorKind::Garbage, words));
                }
                early = Some(reader.take_rest());
                Arc::new(read)
            }
            (Connection::Rpc(rpc), None) => {
                let mut answer = heard(patience, rpc.advertisement()).await?;
                reader = reader.over_http();
                Arc::new(read_advertisement(&mut answer, &mut reader, &Words::none(), None).await?)
            }
            (Connection::Rpc(_), Some(assumed)) => assumed,
        };
        let format = advertisement.object_format().map_err(|error| garbage(&error))?;
        if let Advertisement::V2(capabilities) = &*advertisement
            && !(capabilities.has("ls-refs") && capabilities.has("fetch"))
        {
            let words = "it advertises v2 without ls-refs and fetch";
            return Err(Error::new(ErrorKind::Garbage, words));
        }
        Ok(Self { link, advertisement, format, early })
    }

    pub(super) fn format(&self) -> ObjectFormat {
        self.format
    }

    /// What may be assumed of the next conversation; `None` if it must be heard out, since the refs themselves stand in
    /// its advertisement (v0) or the way to it is to be found anew.
    pub(super) fn manners(&self) -> Option<Arc<Advertisement>> {
        let is_moved = matches!(&self.link, Connection::Rpc(rpc) if rpc.was_redirected());
        let is_v2 = matches!(*self.advertisement, Advertisement::V2(_));
        (is_v2 && !is_moved).then(|| Arc::clone(&self.advertisement))
    }

    /// Whether a HEAD without a symref is surely detached.
    pub(super) fn tells_symrefs(&self) -> bool {
        match &*self.advertisement {
            Advertisement::V2(_) => true,
            Advertisement::V0(listing) => listing.capabilities.has("symref"),
        }
    }

    /// Whether the origin moves its boundary for a client that asks for a depth.
    pub(super) fn deepens(&self) -> bool {
        match &*self.advertisement {
            Advertisement::V2(capabilities) => capabilities
                .value("fetch")
                .is_some_and(|features| features.split_str(" ").any(|one| one == b"shallow")),
            Advertisement::V0(listing) => listing.capabilities.has("shallow"),
        }
    }

    /// The origin's boundary where it is told with the refs (v0); v2 tells it with a pack.
    pub(super) fn advertised_shallow(&self) -> Option<&[ObjectId]> {
        match &*self.advertisement {
            Advertisement::V0(listing) => Some(&listing.shallow),
            Advertisement::V2(_) => None,
        }
    }

    /// Lists the origin's refs, each given to `each` as it arrives. To be asked once on a stream: stock git may answer
    /// a second time from what it read for the first. `patience` is the longest wait for the first byte.
    pub(super) async fn list(
        &mut self,
        patience: Option<Duration>,
        mut each: impl FnMut(Listed<'_>) + Send,
    ) -> Result<(), Error> {
        if let Advertisement::V0(listing) = &*self.advertisement {
            listing.refs().for_each(&mut each);
            if let Some(head) = listing.unborn_head() {
                let name = "HEAD".into();
                each(Listed { name, target: None, peeled: None, symref: Some(head) });
            }
            return Ok(());
        }
        let mut reader = RefsReader::new(self.format);
        let mut buffer = BytesMut::with_capacity(READ);
        let (mut answer, words) = match (self.early.take(), &mut self.link) {
            (Some(head), Connection::Stream(stream)) => {
                buffer.extend_from_slice(&head);
                if head.is_empty() {
                    let first = read_some(&mut stream.io, &mut buffer, &stream.words, REFS);
                    heard(patience, first).await?;
                }
                (Box::new(&mut stream.io) as Reading<'_>, stream.words.clone())
            }
            _ => {
                let request = refs_request(&self.advertisement);
                let asked = async {
                    let (mut answer, words) = self.ask(request).await?;
                    read_some(&mut *answer, &mut buffer, &words, REFS).await?;
                    Ok((answer, words))
                };
                heard(patience, asked).await?
            }
        };
        loop {
            reader.handle_input(&buffer).map_err(|error| garbage(&error))?;
            while let Some(event) = reader.poll_event().map_err(|error| garbage(&error))? {
                match event {
                    RefsEvent::Ref(listed) => each(listed),
                    RefsEvent::End => return Ok(()),
                }
            }
            read_some(&mut *answer, &mut buffer, &words, REFS).await?;
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
        let (request, mut reader) = match &*self.advertisement {
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
                say(stream, &request).await?;
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

/// The request for all refs that an origin of this advertisement is sent; nothing for one of v0, which has told them.
fn refs_request(advertisement: &Advertisement) -> Vec<u8> {
    match advertisement {
        Advertisement::V2(advertised) => ls_refs_request(advertised, AGENT),
        Advertisement::V0(_) => Vec::new(),
    }
}

async fn say(stream: &mut Stream, request: &[u8]) -> Result<(), Error> {
    let sent = async {
        stream.io.write_all(request).await?;
        stream.io.flush().await
    };
    match sent.await {
        Ok(()) => Ok(()),
        Err(error) => Err(lost(&stream.words, "the request").await.with_source(error)),
    }
}

/// Waits for the first bytes, on a connection that was kept no longer than `patience`.
async fn heard<T>(
    patience: Option<Duration>,
    first: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match patience {
        Some(limit) => timeout(limit, first).await.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Lost, "no answer on a connection that was kept"))
        }),
        None => first.await,
    }
}

async fn read_advertisement(
    input: &mut (dyn AsyncRead + Send + Unpin),
    reader: &mut AdvertisementReader,
    words: &Words,
    patience: Option<Duration>,
) -> Result<Advertisement, Error> {
    let mut buffer = BytesMut::with_capacity(READ);
    heard(patience, read_some(input, &mut buffer, words, "the advertisement")).await?;
    loop {
        match reader.handle_input(&buffer) {
            Ok(Some(advertisement)) => return Ok(advertisement),
            Ok(None) => read_some(input, &mut buffer, words, "the advertisement").await?,
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
