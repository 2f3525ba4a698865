//! A request's body as a stream of bytes.

use std::io;

use futures_util::TryStreamExt;
use http_body_util::BodyDataStream;
use hyper::body::Incoming;
use tokio::io::AsyncBufRead;
use tokio_util::io::StreamReader;

/// Reads a body as it comes; the client is held back by what is not read.
pub(super) fn reader(body: Incoming) -> impl AsyncBufRead + Send + Unpin {
    StreamReader::new(BodyDataStream::new(body).map_err(io::Error::other))
}
