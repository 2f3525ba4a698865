//! How a conversation begins: the advertisement is read, or assumed and checked while the answer is under way.

use std::sync::Arc;

use bytes::BytesMut;
use proto::Service;
use proto::fetch_pack::{Advertisement, AdvertisementReader, ls_refs_request};
use tokio::io::AsyncRead;

use super::wire::{garbage, read_some, say};
use super::{AGENT, Conversation, READ};
use crate::dial::{Connection, Error, ErrorKind, Words};

impl Conversation {
    /// Reads the advertisement, of whatever version. What is `assumed` of it saves a round trip: on a stream the refs are
    /// asked for before it has come, over http it is not asked for at all.
    ///
    /// # Errors
    /// What the origin said instead; [`ErrorKind::Garbage`] too if it wants to be asked otherwise than was assumed.
    pub(in crate::mirror) async fn begin(
        mut link: Connection,
        assumed: Option<Arc<Advertisement>>,
    ) -> Result<Self, Error> {
        let mut reader = AdvertisementReader::new(Service::UploadPack);
        let mut early = None;
        let advertisement = match (&mut link, assumed) {
            (Connection::Stream(stream), None) => {
                let words = stream.words.clone();
                Arc::new(read_advertisement(&mut stream.io, &mut reader, &words).await?)
            }
            (Connection::Stream(stream), Some(assumed)) => {
                let words = stream.words.clone();
                let request = refs_request(&assumed);
                say(stream, &request).await?;
                reader = reader.answer_follows();
                let read = read_advertisement(&mut stream.io, &mut reader, &words).await?;
                if refs_request(&read) != request {
                    let words = "it advertises something else than before";
                    return Err(Error::new(ErrorKind::Garbage, words));
                }
                early = Some(reader.take_rest());
                Arc::new(read)
            }
            (Connection::Rpc(rpc), None) => {
                let mut answer = rpc.advertisement().await?;
                reader = reader.over_http();
                Arc::new(read_advertisement(&mut answer, &mut reader, &Words::none()).await?)
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
}

/// The request for all refs that an origin of this advertisement is sent; nothing for one of v0, which has told them.
pub(super) fn refs_request(advertisement: &Advertisement) -> Vec<u8> {
    match advertisement {
        Advertisement::V2(advertised) => ls_refs_request(advertised, AGENT),
        Advertisement::V0(_) => Vec::new(),
    }
}

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
