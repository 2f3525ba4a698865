//! One conversation with an origin's upload-pack: advertisement, one list of refs, then packs.

mod begin;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bstr::ByteSlice as _;
use bytes::{Bytes, BytesMut};
use proto::fetch_pack::{
    Advertisement, FetchEvent, FetchReader, FetchRequest, Listed, RefsEvent, RefsReader,
};
use proto::{ObjectFormat, ObjectId};
use tokio::io::{AsyncRead, AsyncWriteExt as _};
use tokio::time::timeout;

use self::begin::refs_request;
use self::wire::{garbage, read_some, say};
use crate::blocking::Inlet;
use crate::dial::{Connection, Error, ErrorKind, Payload, Words};

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
    /// a second time from what it read for the first. Who asked in the first breath waits for
    /// the first byte no longer than `patience` after the advertisement: the question may be lost.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] in that case alone.
    pub(super) async fn list(
        &mut self,
        patience: Duration,
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
                    timeout(patience, first)
                        .await
                        .map_err(|_| Error::timed_out("connect", patience))??;
                }
                (Box::new(&mut stream.io) as Reading<'_>, stream.words.clone())
            }
            _ => {
                let request = refs_request(&self.advertisement);
                self.ask(request).await?
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
