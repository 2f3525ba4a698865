//! The way out: TCP, or a tunnel that the egress firewall opens for us.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Uri, uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Longest answer to a CONNECT that is read, in bytes.
const MAX_CONNECT_ANSWER: usize = 16 * 1024;

/// Dials upstreams, each within `deadline`.
#[derive(Clone, Debug)]
pub(crate) struct Dialer {
    pub(crate) proxy: Option<uri::Authority>,
    pub(crate) deadline: Duration,
}

/// Why the way out is closed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("connect to {to}")]
    Connect { to: String, source: io::Error },
    #[error("connecting took longer than connect_seconds = {}", .0.as_secs())]
    TimedOut(Duration),
    #[error("the egress proxy says: {0}")]
    ProxyRefused(String),
    #[error("the egress proxy ended the connection without an answer")]
    ProxyEnded,
    #[error("the upstream URL names no host")]
    NoHost,
}

impl Dialer {
    async fn dial(self, uri: Uri) -> Result<TcpStream, Error> {
        let host = uri.host().ok_or(Error::NoHost)?;
        let port = uri.port_u16().unwrap_or(if uri.scheme() == Some(&uri::Scheme::HTTP) {
            80
        } else {
            443
        });
        let target = format!("{host}:{port}");
        let way = async {
            match &self.proxy {
                None => connect(&target).await,
                Some(proxy) => {
                    let stream = connect(&with_port(proxy)).await?;
                    tunnel(stream, &target).await
                }
            }
        };
        match tokio::time::timeout(self.deadline, way).await {
            Ok(stream) => stream,
            Err(_) => Err(Error::TimedOut(self.deadline)),
        }
    }
}

fn with_port(authority: &uri::Authority) -> String {
    format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80))
}

async fn connect(to: &str) -> Result<TcpStream, Error> {
    let stream = TcpStream::connect(to)
        .await
        .map_err(|source| Error::Connect { to: to.to_owned(), source })?;
    // a stream that can't be told this is slower, not wrong
    drop(stream.set_nodelay(true));
    Ok(stream)
}

/// Asks the proxy for a tunnel (RFC 9110, 9.3.6) and hands the stream back just behind the proxy's answer.
async fn tunnel(mut stream: TcpStream, target: &str) -> Result<TcpStream, Error> {
    let failed = |source| Error::Connect { to: "the egress proxy".to_owned(), source };
    let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(failed)?;
    let mut head = Vec::new();
    // a byte at a time: what follows the answer belongs to TLS
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == MAX_CONNECT_ANSWER {
            return Err(Error::ProxyRefused("an answer without an end".into()));
        }
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(Error::ProxyEnded);
            }
            Err(error) => return Err(failed(error)),
        }
    }
    let head = String::from_utf8_lossy(&head);
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1).is_some_and(|code| code.starts_with('2')) {
        return Ok(stream);
    }
    let mut said =
        status.split_once(' ').map_or(status, |(_, rest)| rest).escape_default().to_string();
    let mut body = vec![0; 1024];
    let length = stream.read(&mut body).await.unwrap_or(0);
    if let Some(line) =
        String::from_utf8_lossy(&body[..length]).lines().find(|line| !line.trim().is_empty())
    {
        said = format!("{said}: {}", line.trim().escape_default());
    }
    Err(Error::ProxyRefused(said))
}

impl tower_service::Service<Uri> for Dialer {
    type Response = TokioIo<TcpStream>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let dialer = self.clone();
        Box::pin(async move { Ok(TokioIo::new(dialer.dial(uri).await?)) })
    }
}
