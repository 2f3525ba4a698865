//! A request's body as a stream of bytes.

use std::io::{self, Cursor};
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use http_body_util::{BodyDataStream, BodyExt};
use hyper::body::Incoming;
use tokio::io::{AsyncBufRead, AsyncReadExt};
use tokio::time::timeout;
use tokio_util::io::StreamReader;

/// Bytes of a body.
pub(super) type Reader = Box<dyn AsyncBufRead + Send + Unpin>;

/// Reads a body as it comes; the client is held back by what is not read.
pub(super) fn reader(body: Incoming) -> Reader {
    Box::new(StreamReader::new(BodyDataStream::new(body).map_err(io::Error::other)))
}

/// Reads a body whose sender waits to be asked for it (`Expect: 100-continue`). hyper asks when the body is read first,
/// and no more once an answer has begun: so its first piece is awaited here, `patience` long.
///
/// # Errors
/// A line that says why there is none.
pub(super) async fn invited(mut body: Incoming, patience: Duration) -> Result<Reader, String> {
    let first = match timeout(patience, body.frame()).await {
        Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
        Ok(None) => Bytes::new(),
        Ok(Some(Err(error))) => return Err(format!("the body can't be read: {error}")),
        Err(_) => return Err(format!("no body within {patience:?} (limits.client_idle)")),
    };
    Ok(Box::new(Cursor::new(first).chain(reader(body))))
}
