//! Holds the agent's command back until the launcher opens the gate, then becomes the command.

use std::convert::Infallible;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::inotify;

/// The folder of ours in the agent's container; only root may write there.
pub const FOLDER: &str = "/run/bottle";
/// The launcher writes this file when the network is proved closed.
pub const OPEN: &str = "/run/bottle/open";
/// This program, in the agent's container.
pub const PROGRAM: &str = "/run/bottle/guest";

/// Why the command never started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no command to run")]
    NoCommand,
    #[error("the launcher did not open the gate within {} s: it is gone, or the launch failed", .0.as_secs())]
    NotOpened(Duration),
    #[error("wait for {OPEN}")]
    Wait(#[source] io::Error),
    #[error("the agent's command cannot start in {folder} (`start_in` of the manifest)")]
    StartIn { folder: String, source: io::Error },
    #[error(
        "the agent's command `{command}` does not start (`command` in [agent] of the manifest; else the image's own)"
    )]
    Run { command: String, source: io::Error },
}

/// Waits, then replaces this process by the command.
///
/// # Errors
/// [`Error`]; it does not return otherwise.
pub fn hold(
    command: &[String],
    start_in: Option<&str>,
    patience: Duration,
) -> Result<Infallible, Error> {
    let (program, arguments) = command.split_first().ok_or(Error::NoCommand)?;
    let until = Instant::now() + patience;
    let watch = watch().map_err(Error::Wait)?;
    while !Path::new(OPEN).exists() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::NotOpened(patience));
        }
        pause(&watch, left.min(GLANCE)).map_err(Error::Wait)?;
    }
    drop(watch);
    if let Some(folder) = start_in {
        std::env::set_current_dir(folder)
            .map_err(|source| Error::StartIn { folder: folder.to_owned(), source })?;
    }
    let source = Command::new(program).args(arguments).exec();
    Err(Error::Run { command: program.clone(), source })
}

/// Where the folder's events are not to be had (gVisor), a look this often stands in.
const GLANCE: Duration = Duration::from_millis(50);

fn watch() -> io::Result<OwnedFd> {
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    inotify::add_watch(
        &watch,
        FOLDER,
        inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO,
    )?;
    Ok(watch)
}

fn pause(watch: &OwnedFd, wait: Duration) -> io::Result<()> {
    let wait = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() };
    let mut fds = [PollFd::new(watch, PollFlags::IN)];
    match rustix::event::poll(&mut fds, Some(&wait)) {
        Ok(0) | Err(rustix::io::Errno::INTR) => {}
        Ok(_) => {
            let mut events = [0; 4096];
            match rustix::io::read(watch, &mut events) {
                Ok(_) | Err(rustix::io::Errno::AGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
