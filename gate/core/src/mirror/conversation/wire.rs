//! Saying and hearing, with an error that has the origin's words.

use bytes::BytesMut;
use proto::fetch_pack;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

use super::READ;
use crate::dial::{Error, ErrorKind, Stream, Words};

/// Sends all of `request`.
pub(super) async fn say(stream: &mut Stream, request: &[u8]) -> Result<(), Error> {
    let sent = async {
        stream.io.write_all(request).await?;
        stream.io.flush().await
    };
    match sent.await {
        Ok(()) => Ok(()),
        Err(error) => Err(lost(&stream.words, "the request").await.with_source(error)),
    }
}

/// Reads at least a byte into the emptied `buffer`; an end is an error, in the origin's words where it has any.
pub(super) async fn read_some(
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

pub(super) async fn lost(words: &Words, phase: &'static str) -> Error {
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
pub(super) fn garbage(error: &fetch_pack::Error) -> Error {
    match error {
        fetch_pack::Error::Refused(words) => Error::said(words),
        other => Error::new(ErrorKind::Garbage, other.to_string()),
    }
}
