//! Answers: short ones of plain text, and bodies that a session writes while the client reads.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, EXPIRES, PRAGMA};
use http::{HeaderValue, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::io::AsyncWrite;
use tokio::sync::mpsc;
use tokio_util::sync::PollSender;

/// The body of any answer.
pub(super) type Answer = UnsyncBoxBody<Bytes, io::Error>;

/// Pieces written and not yet read; each is at most what the session wrote at once, some 64 KiB.
const DEPTH: usize = 4;

/// One line of text. git's clients show it to the person.
pub(super) fn plain(status: StatusCode, line: &str) -> Response<Answer> {
    let body = Full::new(Bytes::from(format!("{line}\n"))).map_err(|never| match never {});
    let mut response = Response::new(BodyExt::boxed_unsync(body));
    *response.status_mut() = status;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, text);
    forbid_caching(&mut response);
    response
}

/// Tells a client of git LFS, in the format whose `message` it shows, that its objects go another way. For locks it takes
/// this status as "not here" and goes on.
pub(super) fn no_lfs() -> Response<Answer> {
    let line = r#"{"message":"git-gate carries no LFS objects: set lfs.url to the LFS server of the origin"}"#;
    let mut response = plain(StatusCode::NOT_FOUND, line);
    let json = HeaderValue::from_static("application/vnd.git-lfs+json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// Refuses a method where others are allowed.
pub(super) fn only(allowed: &'static str) -> Response<Answer> {
    let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "method not allowed");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

/// A body without a byte.
pub(super) fn nothing() -> Answer {
    BodyExt::boxed_unsync(http_body_util::Empty::new().map_err(|never| match never {}))
}

/// The answer of a session, of one of git's content types.
pub(super) fn git(content: &str, body: Answer) -> Response<Answer> {
    let mut response = Response::new(body);
    // in the order in which git's own server names them
    forbid_caching(&mut response);
    if let Ok(content) = HeaderValue::from_str(content) {
        response.headers_mut().insert(CONTENT_TYPE, content);
    }
    response
}

/// As http-backend.c's `hdr_nocache`.
fn forbid_caching(response: &mut Response<Answer>) {
    let headers = response.headers_mut();
    headers.insert(EXPIRES, HeaderValue::from_static("Fri, 01 Jan 1980 00:00:00 GMT"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    let never = HeaderValue::from_static("no-cache, max-age=0, must-revalidate");
    headers.insert(CACHE_CONTROL, never);
}

/// A body that begins with `head` and goes on with what is written into the output.
///
/// An output that is dropped before it was shut down breaks the body off, so that a half answer never looks whole.
pub(super) fn streamed(head: Vec<u8>) -> (Output, Answer) {
    let (sender, receiver) = mpsc::channel(DEPTH);
    let whole = Arc::new(AtomicBool::new(false));
    let output = Output { sender: PollSender::new(sender), whole: Arc::clone(&whole) };
    let head = (!head.is_empty()).then(|| Bytes::from(head));
    let frames = futures_util::stream::unfold(
        (head, Some(receiver), whole),
        |(head, receiver, whole)| async move {
            if let Some(head) = head {
                return Some((Ok(Frame::data(head)), (None, receiver, whole)));
            }
            let mut receiver: mpsc::Receiver<Bytes> = receiver?;
            match receiver.recv().await {
                Some(piece) => Some((Ok(Frame::data(piece)), (None, Some(receiver), whole))),
                None if whole.load(Ordering::Acquire) => None,
                None => Some((Err(broken_off()), (None, None, whole))),
            }
        },
    );
    (output, BodyExt::boxed_unsync(StreamBody::new(frames)))
}

fn broken_off() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the session ended early")
}

/// Where a session writes the body of its answer.
#[derive(Debug)]
pub(super) struct Output {
    sender: PollSender<Bytes>,
    whole: Arc<AtomicBool>,
}

impl AsyncWrite for Output {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(data)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let len = parts.iter().map(|part| part.len()).sum();
        if len == 0 {
            return Poll::Ready(Ok(0));
        }
        ready!(self.sender.poll_reserve(cx)).map_err(|_| gone())?;
        let mut piece = Vec::with_capacity(len);
        parts.iter().for_each(|part| piece.extend_from_slice(part));
        self.sender.send_item(piece.into()).map_err(|_| gone())?;
        Poll::Ready(Ok(len))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Nothing waits here; but a client that hung up is noticed without sending it anything.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let hung_up = self.sender.get_ref().is_some_and(mpsc::Sender::is_closed);
        Poll::Ready(if hung_up { Err(gone()) } else { Ok(()) })
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.whole.store(true, Ordering::Release);
        self.sender.close();
        Poll::Ready(Ok(()))
    }
}

fn gone() -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}
