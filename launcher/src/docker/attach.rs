//! A person's terminal and a container's, byte for byte.
//!
//! The upgrade is done here: bollard reads a terminal's bytes 0 to 2 as the head of a frame.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use bollard::query_parameters::{ResizeContainerTTYOptionsBuilder, ResizeExecOptionsBuilder};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::upgrade::Upgraded;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::engine::{Engine, EngineError, Step, ask};
use super::keys::{Detach, Keys};
use crate::terminal;

/// What is attached to.
#[derive(Debug, Clone, Copy)]
pub enum Target<'t> {
    Container(&'t str),
    /// A command that starts when it is attached to.
    Exec(&'t str),
}

/// An open stream to a container or command.
#[derive(Debug)]
pub struct Stream {
    io: TokioIo<Upgraded>,
    tty: bool,
}

/// How an attachment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The other side closed.
    Closed,
    /// The person pressed ctrl-p ctrl-q.
    Detached,
}

/// Why there is no stream, or no more.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("attach: cannot speak to the engine")]
    Connect(#[source] io::Error),
    #[error("attach: cannot speak to the engine")]
    Http(#[from] hyper::Error),
    #[error("attach: the engine says: {words}\n  next: bottle ls")]
    Refused { words: String },
    #[error("attach: the terminal")]
    Terminal(#[source] io::Error),
    #[error("attach: the stream broke")]
    Stream(#[source] io::Error),
}

/// The engine looks for keys as well and keeps the first of them back; nobody types these.
const ENGINE_KEYS: &str = "ctrl-%5E,ctrl-%5E,ctrl-%5E,ctrl-%5E,ctrl-%5E,ctrl-%5E,ctrl-%5E,ctrl-%5E";

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

impl Engine {
    /// Opens the stream; output from now on is in it.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn attach(&self, target: Target<'_>, tty: bool) -> Result<Stream, Error> {
        let (path, body) = match target {
            Target::Container(id) => (
                format!(
                    "/containers/{id}/attach?stream=1&stdin=1&stdout=1&stderr=1&detachKeys={ENGINE_KEYS}"
                ),
                String::new(),
            ),
            Target::Exec(id) => {
                (format!("/exec/{id}/start"), format!("{{\"Detach\":false,\"Tty\":{tty}}}"))
            }
        };
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(self.dial().await?)).await?;
        // It lives as long as the stream does.
        drop(tokio::spawn(connection.with_upgrades()));
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::HOST, "docker")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "tcp")
            .body(Full::new(Bytes::from(body)))
            .expect("the path is made of ids and literals");
        let response = sender.send_request(request).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            use http_body_util::BodyExt as _;
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            let words = format!("{status}: {}", String::from_utf8_lossy(&body).trim());
            return Err(Error::Refused { words });
        }
        Ok(Stream { io: TokioIo::new(hyper::upgrade::on(response).await?), tty })
    }

    /// Tells a terminal its size.
    ///
    /// # Errors
    /// When the engine does not take it.
    pub async fn resize(
        &self,
        target: Target<'_>,
        rows: u16,
        columns: u16,
    ) -> Result<(), EngineError> {
        let (h, w) = (i32::from(rows), i32::from(columns));
        match target {
            Target::Container(id) => {
                let options = ResizeContainerTTYOptionsBuilder::default().h(h).w(w).build();
                let step = Step::new("resize the terminal of", id, "");
                ask(&step, self.docker.resize_container_tty(id, options)).await
            }
            Target::Exec(id) => {
                let options = ResizeExecOptionsBuilder::default().h(h).w(w).build();
                ask(
                    &Step::new("resize the terminal of", id, ""),
                    self.docker.resize_exec(id, options),
                )
                .await
            }
        }
    }

    async fn dial(&self) -> Result<Box<dyn Io>, Error> {
        if let Some(path) = self.address.strip_prefix("unix://") {
            let stream = tokio::net::UnixStream::connect(path).await.map_err(Error::Connect)?;
            return Ok(Box::new(stream));
        }
        let host = self.address.rsplit("//").next().unwrap_or_default();
        let stream = tokio::net::TcpStream::connect(host).await.map_err(Error::Connect)?;
        stream.set_nodelay(true).map_err(Error::Connect)?;
        Ok(Box::new(stream))
    }

    /// Joins a stream to this process's own stdin, stdout and stderr until one side ends.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn converse(&self, stream: Stream, target: Target<'_>) -> Result<Ended, Error> {
        let Stream { io, tty } = stream;
        let (mut output, mut input) = tokio::io::split(io);
        let _raw = if tty { terminal::Raw::enter().map_err(Error::Terminal)? } else { None };
        let typing = async {
            let mut keys = tty.then(Keys::default);
            let ended = type_into(&mut input, keys.as_mut()).await;
            if ended.as_ref().is_ok_and(|ended| *ended == Ended::Closed) {
                // Our stdin ended: the command hears of it, and its output goes on.
                input.shutdown().await?;
                std::future::pending::<()>().await;
            }
            ended
        };
        let showing = async {
            if tty {
                let mut stdout = own(io::stdout())?;
                tokio::io::copy(&mut output, &mut stdout).await?;
                stdout.flush().await
            } else {
                show_frames(&mut output).await
            }
        };
        let sizing = async {
            if tty { self.follow_size(target).await } else { std::future::pending().await }
        };
        tokio::select! {
            ended = typing => ended.map_err(Error::Stream),
            shown = showing => shown.map(|()| Ended::Closed).map_err(Error::Stream),
            failed = sizing => Err(Error::Terminal(failed)),
        }
    }

    /// Passes on every new size of our terminal. Ends only when signals are not to be had.
    async fn follow_size(&self, target: Target<'_>) -> io::Error {
        let kind = tokio::signal::unix::SignalKind::window_change();
        let mut changes = match tokio::signal::unix::signal(kind) {
            Ok(changes) => changes,
            Err(error) => return error,
        };
        loop {
            if let Some((rows, columns)) = terminal::size() {
                // A container that has just ended has no terminal to resize.
                drop(self.resize(target, rows, columns).await);
            }
            if changes.recv().await.is_none() {
                return std::future::pending().await;
            }
        }
    }
}

/// How long a lone ctrl-p is kept back: it may be the first half of ctrl-p ctrl-q.
const KEY_PATIENCE: Duration = Duration::from_millis(400);

async fn type_into(
    input: &mut (impl AsyncWrite + Unpin),
    mut keys: Option<&mut Keys>,
) -> io::Result<Ended> {
    let mut stdin = own(io::stdin())?;
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let held = keys.as_ref().is_some_and(|keys| keys.holds());
        let read = stdin.read(&mut buffer);
        let count = if held {
            match tokio::time::timeout(KEY_PATIENCE, read).await {
                Ok(count) => count?,
                Err(_) => {
                    let late = keys.as_mut().map(|keys| keys.release()).unwrap_or_default();
                    input.write_all(&late).await?;
                    continue;
                }
            }
        } else {
            read.await?
        };
        if count == 0 {
            return Ok(Ended::Closed);
        }
        match keys.as_mut() {
            None => input.write_all(&buffer[..count]).await?,
            Some(keys) => {
                let (bytes, detach) = keys.pass(&buffer[..count]);
                input.write_all(&bytes).await?;
                if detach == Detach::Yes {
                    return Ok(Ended::Detached);
                }
            }
        }
        input.flush().await?;
    }
}

/// Without a terminal, output comes in frames: which stream, three zeros, a length, the bytes.
async fn show_frames(output: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    const STDERR: u8 = 2;
    let (mut stdout, mut stderr) = (own(io::stdout())?, own(io::stderr())?);
    loop {
        let mut head = [0; 8];
        match output.read_exact(&mut head).await {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error),
        }
        let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]).into();
        let mut frame = (&mut *output).take(length);
        if head[0] == STDERR {
            tokio::io::copy(&mut frame, &mut stderr).await?;
            stderr.flush().await?;
        } else {
            tokio::io::copy(&mut frame, &mut stdout).await?;
            stdout.flush().await?;
        }
    }
    Ok(())
}

/// One of our own three streams, without the standard library's buffer.
fn own(stream: impl AsFd) -> io::Result<tokio::fs::File> {
    Ok(tokio::fs::File::from_std(stream.as_fd().try_clone_to_owned()?.into()))
}
