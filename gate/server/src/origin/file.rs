//! `file://` origins: git's own server programs, run at the path. The one place that needs a git binary.

use std::path::Path;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};

use gate_core::dial::{Error, ErrorKind, Stream, Words};
use proto::{Service, Version};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use super::git::plain;

/// Starts the program for `service` at `path`.
pub(super) fn dial(path: &Path, service: Service, version: Version) -> Result<Stream, Error> {
    let mut child = create_command(path, service, version).spawn().map_err(|error| {
        let words = format!("git can't be run: {}", plain(&error));
        Error::new(ErrorKind::Unreachable, words).with_source(error)
    })?;
    let words = Words::hiding(path.as_os_str().as_encoded_bytes());
    let (Some(stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(Error::new(ErrorKind::Gate, "").with_source("a child without pipes"));
    };
    let (end, ended) = tokio::sync::oneshot::channel();
    tokio::spawn(listen(child, stderr, words.clone(), ended));
    let io = Box::new(Pipes { stdin: Some(stdin), stdout, _end: end });
    Ok(Stream { io, words })
}

/// `git upload-pack PATH` or `git receive-pack PATH`, with nothing of our environment but `PATH`.
///
/// The repository may belong to somebody else: the operator named this path, so it is safe, and no other is.
fn create_command(path: &Path, service: Service, version: Version) -> Command {
    let mut command = Command::new("git");
    command.env_clear();
    // git compares with where the repository really lies, which for a worktree is its .git
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let safe = [path.to_owned(), path.join(".git"), real.join(".git"), real];
    for (at, value) in safe.iter().enumerate() {
        command.env(format!("GIT_CONFIG_KEY_{at}"), "safe.directory");
        command.env(format!("GIT_CONFIG_VALUE_{at}"), value);
    }
    command.env("GIT_CONFIG_COUNT", safe.len().to_string());
    command
        .env("PATH", SEARCH_PATH)
        .env("LC_ALL", "C")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .arg(service.as_str().trim_start_matches("git-"))
        .arg("--")
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if version > Version::V0 {
        command.env("GIT_PROTOCOL", format!("version={}", version as u8));
    }
    command
}

/// Where git is looked for.
const SEARCH_PATH: &str = "/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin";

/// Keeps what the child says on stderr and how it ends; kills it if it goes on after we hung up.
async fn listen(
    mut child: Child,
    mut stderr: ChildStderr,
    words: Words,
    hung_up: tokio::sync::oneshot::Receiver<()>,
) {
    let listening = async {
        let mut piece = [0; 1024];
        while let Ok(read @ 1..) = stderr.read(&mut piece).await {
            words.add(&piece[..read]);
        }
        child.wait().await
    };
    let exit = tokio::select! {
        exit = listening => exit.ok(),
        // its stdin is closed: it ends by itself, or is killed when the grace is over
        _ = async { drop(hung_up.await); tokio::time::sleep(GRACE).await } => None,
    };
    words.end(exit.and_then(|status| status.code()).map(i32::cast_unsigned));
}

/// How long a program may go on after we hung up.
const GRACE: std::time::Duration = std::time::Duration::from_secs(10);

/// The child's pipes as one stream.
struct Pipes {
    /// `None` once the writing side was shut down.
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    /// Dropped with the stream: that is how the listener knows.
    _end: tokio::sync::oneshot::Sender<()>,
}

impl AsyncRead for Pipes {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stdout).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Pipes {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        match &mut self.stdin {
            Some(stdin) => Pin::new(stdin).poll_write(cx, data),
            None => Poll::Ready(Err(std::io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match &mut self.stdin {
            Some(stdin) => Pin::new(stdin).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.stdin = None;
        Poll::Ready(Ok(()))
    }
}
