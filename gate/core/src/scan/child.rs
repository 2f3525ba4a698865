//! The scanner's process: how it is started, ended and believed.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use rustix::io::Errno;
use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitOptions, kill_process_group, prlimit, waitpgid,
};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};

use super::workplace::Workplace;

/// The exit code asked for when something is found: gitleaks' own, 1, means an error as well.
pub(super) const FOUND: i32 = 77;
/// What one scanner may take, in bytes of writable memory. It needs 60 MB; a push made of nothing but secrets makes it keep
/// them all.
pub(super) const MEMORY: u64 = 1 << 30;
/// From where on Go's collector works harder to stay below.
const MEMORY_SOUGHT: &str = "512MiB";
/// How much of the scanner's own words is kept, from their beginning and from their end.
const LONGEST_WORDS: usize = 32 * 1024;

/// One scanner at work, with its end of the patch. Dropped, it is killed, and its `git` with it.
#[derive(Debug)]
pub(super) struct Process {
    /// Gone once it has ended and was waited for.
    child: Option<Child>,
    group: Option<Pid>,
    patch: Option<PipeWriter>,
    report: Option<PipeReader>,
}

/// The one way in which gitleaks is started: full path, an environment of our own, an empty directory, a process group
/// that can be killed whole.
fn create_command(workplace: &Workplace) -> Command {
    let mut command = Command::new(workplace.gitleaks());
    command
        .env_clear()
        .env("PATH", workplace.path())
        .env("GOMEMLIMIT", MEMORY_SOUGHT)
        .current_dir(workplace.empty())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    command
}

impl Process {
    /// Starts gitleaks. It loads its rules and then waits for the patch.
    pub(super) fn start(workplace: &Workplace) -> io::Result<Self> {
        let (reader, patch) = io::pipe()?;
        let name =
            std::fs::read_link(Path::new("/proc/self/fd").join(reader.as_raw_fd().to_string()))?;
        let (report, writer) = io::pipe()?;
        let child = create_command(workplace)
            .arg("git")
            .arg("--config")
            .arg(workplace.rules())
            .args(["--exit-code", &FOUND.to_string()])
            .args(["--no-banner", "--no-color", "--log-level", "info", "--ignore-gitleaks-allow"])
            .args(["--max-archive-depth", "0", "--max-decode-depth", "5", "--platform", "none"])
            .arg("--gitleaks-ignore-path")
            .arg(workplace.empty())
            .args(["--report-format", "json", "--report-path", "-"])
            .arg("--log-opts")
            .arg(name)
            .arg(workplace.empty())
            .stdin(reader)
            .stdout(writer)
            .spawn()?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let limit = Rlimit { current: Some(MEMORY), maximum: Some(MEMORY) };
        prlimit(group, Resource::Data, limit)?;
        Ok(Self { child: Some(child), group, patch: Some(patch), report: Some(report) })
    }

    pub(super) fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Where the patch is written to, blocking; closing it ends the patch.
    pub(super) fn take_patch(&mut self) -> Option<PipeWriter> {
        self.patch.take()
    }

    /// Where the report comes from, blocking.
    pub(super) fn take_report(&mut self) -> Option<PipeReader> {
        self.report.take()
    }

    /// Waits until the process has ended, and answers what it said on standard error.
    pub(super) async fn end(&mut self) -> io::Result<(ExitStatus, String)> {
        let Some(child) = &mut self.child else {
            return Err(io::Error::other("it was waited for"));
        };
        let words = hear(child.stderr.take()).await?;
        let status = child.wait().await?;
        self.child = None;
        if let Some(group) = self.group.take() {
            let _later = reap(group);
        }
        Ok((status, words))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let Some(group) = self.group else { return };
        let _gone = kill_process_group(group, Signal::KILL);
        if let (Some(child), Ok(runtime)) = (self.child.take(), Handle::try_current()) {
            runtime.spawn(bury(child, group));
        }
    }
}

/// Waits for a killed scanner, and for its `git` where that is ours to wait for: whoever runs as process 1, as in a
/// container, inherits the children of the dead.
async fn bury(mut child: Child, group: Pid) {
    let Ok(mut deaths) = signal(SignalKind::child()) else { return };
    let _status = child.wait().await;
    while !reap(group) {
        deaths.recv().await;
    }
}

/// Takes the dead of a group whose leader was waited for; answers whether none of ours is left in it.
fn reap(group: Pid) -> bool {
    loop {
        match waitpgid(group, WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => return false,
            Err(_) => return true,
        }
    }
}

/// Runs `gitleaks version` and answers what it says.
pub(super) async fn version(workplace: &Workplace) -> io::Result<String> {
    let mut child = create_command(workplace).arg("version").spawn()?;
    let mut said = Vec::new();
    if let Some(out) = child.stdout.take() {
        out.take(LONGEST_WORDS as u64).read_to_end(&mut said).await?;
    }
    child.wait().await?;
    Ok(String::from_utf8_lossy(&said).trim().to_owned())
}

/// Reads all, keeps the first and the last: a crash says what it is first, a scan what it counted last.
async fn hear(from: Option<impl AsyncRead + Unpin>) -> io::Result<String> {
    let (mut first, mut last, mut piece) = (Vec::new(), Vec::new(), vec![0; 8192]);
    let Some(mut from) = from else { return Ok(String::new()) };
    loop {
        let read = from.read(&mut piece).await?;
        if read == 0 {
            break;
        }
        let (head, rest) = piece[..read].split_at(read.min(LONGEST_WORDS - first.len()));
        first.extend_from_slice(head);
        last.extend_from_slice(rest);
        let over = last.len().saturating_sub(LONGEST_WORDS);
        last.drain(..over);
    }
    first.append(&mut last);
    Ok(String::from_utf8_lossy(&first).into_owned())
}

/// What the log lines of a scan say: `INF scanned ~11 bytes (11 bytes) in 113ms`, `WRN leaks found: 4`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Words {
    pub(super) scanned: Option<u64>,
    pub(super) leaks: Option<u64>,
    /// The first line that a scan without trouble does not have.
    pub(super) trouble: Option<String>,
}

/// Reads the scanner's log.
pub(super) fn read_words(words: &str) -> Words {
    let mut read = Words::default();
    for line in words.lines().filter(|line| !line.trim().is_empty()) {
        let (level, text) = line
            .split_once(' ')
            .and_then(|(_time, rest)| rest.split_once(' '))
            .unwrap_or(("", line));
        if let Some(rest) = text.strip_prefix("scanned ~") {
            read.scanned = rest.split(' ').next().and_then(|number| number.parse().ok());
        }
        match (level, text.strip_prefix("leaks found: ")) {
            ("WRN", Some(number)) => read.leaks = number.parse().ok(),
            ("INF" | "DBG" | "TRC", _) => {}
            _ if read.trouble.is_none() => read.trouble = Some(line.trim().to_owned()),
            _ => {}
        }
    }
    read
}

/// How a process ended, in words.
pub(super) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown state".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_without_trouble_gives_its_numbers() {
        let words = "10:18AM INF 700 commits scanned.\n10:18AM INF scanned ~22400700 bytes (22.40 MB) in 725ms\n\
                     10:18AM WRN leaks found: 4\n";
        assert_eq!(
            read_words(words),
            Words { scanned: Some(22_400_700), leaks: Some(4), trouble: None }
        );
    }

    #[test]
    fn every_other_line_is_trouble() {
        for line in [
            "10:18AM ERR [git] fatal: bad object",
            "10:18AM FTL Failed to load config",
            "10:18AM WRN partial scan completed in 1s",
            "panic: runtime error",
        ] {
            assert_eq!(read_words(line).trouble.as_deref(), Some(line));
        }
    }
}
