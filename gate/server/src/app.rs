//! Builds the gate from its config, opens its doors, and closes them again.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use gate_config::{Config, ListenAddr, Repo, RepoPattern};
use gate_core::Gate;
use gate_core::scan::{self, Scanner};
use gate_store::DataLock;
use tokio::net::TcpListener;
use tracing::{info, warn};

use crate::doors::{self, Hall};
use crate::origin::Origins;

/// A gate whose doors are open.
#[derive(Debug)]
pub struct App {
    hall: Hall,
    doors: Vec<Door>,
    _lock: DataLock,
}

#[derive(Debug)]
struct Door {
    scheme: &'static str,
    addr: SocketAddr,
}

impl App {
    /// Takes the data folder, binds every door and begins to accept.
    ///
    /// # Errors
    /// The data folder belongs to another process, or an address is taken.
    pub async fn open(config: Config) -> Result<Self, anyhow::Error> {
        std::fs::create_dir_all(&config.data)
            .with_context(|| format!("make the data folder {}", config.data.display()))?;
        let lock = DataLock::take(&config.data)?;
        let listen = config.listen.clone();
        let dial = Arc::new(Origins::new(config.limits.clone()));
        let scanner = Scanner::new(scanner(&config, Some(workshop(&config.data)?))?);
        let hall = Hall::new(Gate::new(config, dial, scanner));
        let mut app = Self { hall, doors: Vec::new(), _lock: lock };
        if let Some(addr) = listen.git {
            let listener = app.bind("git", addr).await?;
            app.hall.guests.spawn(doors::git::serve(app.hall.clone(), listener));
        }
        if let Some(addr) = listen.http {
            let listener = app.bind("http", addr).await?;
            app.hall.guests.spawn(doors::http::serve(app.hall.clone(), listener));
        }
        if let Some(addr) = listen.ssh {
            let key = doors::ssh::HostKey::load_or_make(&app.gate().config().data)
                .context("the ssh door's host key")?;
            if let Some(file) = &listen.ssh_keys {
                doors::ssh::Keys::read(file)
                    .with_context(|| format!("listen.ssh_keys, {}", file.display()))?;
            }
            let listener = app.bind("ssh", addr).await?;
            info!(ssh.host_key = key.fingerprint(), "host key");
            app.hall.guests.spawn(doors::ssh::serve(app.hall.clone(), listener, key));
        }
        app.hall.guests.spawn(close_idle(app.hall.clone()));
        Ok(app)
    }

    async fn bind(
        &mut self,
        scheme: &'static str,
        addr: ListenAddr,
    ) -> Result<TcpListener, anyhow::Error> {
        let listener =
            TcpListener::bind(addr.0).await.with_context(|| format!("open the {scheme} door"))?;
        self.doors.push(Door { scheme, addr: listener.local_addr()? });
        Ok(listener)
    }

    pub fn gate(&self) -> &Arc<Gate> {
        &self.hall.gate
    }

    /// Puts another config in force. The data folder, the doors and the counts of sessions stay as they are.
    ///
    /// # Errors
    /// It allows a fingerprint that can't be read; then nothing changes.
    pub fn reload(&self, config: Config) -> Result<(), anyhow::Error> {
        // what the scans under way use stays
        let scratch = self.gate().config().data.join(SCRATCH);
        let scanner = Scanner::new(scanner(&config, Some(scratch))?);
        self.gate().set_config(config, scanner);
        Ok(())
    }

    /// Writes one line a door: the URL to clone from, or with several repositories the one their names are appended to.
    ///
    /// # Errors
    /// Nobody reads.
    pub fn announce(&self, out: &mut dyn Write) -> io::Result<()> {
        let config = self.gate().config();
        let path = match &config.repos[..] {
            [Repo { name: RepoPattern::Exact(name), .. }] => format!("/{name}.git"),
            _ => String::new(),
        };
        for Door { scheme, addr } in &self.doors {
            writeln!(out, "{scheme}://{addr}{path}")?;
            info!(door.url = format!("{scheme}://{addr}{path}"), "door open");
        }
        out.flush()
    }

    /// Lets nobody in any more and waits for those who are in, as long as `limits.drain` allows or until `hurry`; then
    /// ends them. What an origin has been told already still runs to its end.
    pub async fn drain(self, hurry: impl Future<Output = ()>) {
        let grace: Duration = self.gate().config().limits.drain.duration();
        self.hall.closing.cancel();
        self.hall.guests.close();
        info!(drain.sessions = self.hall.guests.len(), drain.grace_s = grace.as_secs(), "draining");
        tokio::select! {
            () = self.hall.guests.wait() => {}
            () = tokio::time::sleep(grace) => warn!("drain is over (limits.drain)"),
            () = hurry => warn!("drain is cut short"),
        }
        self.hall.evicting.cancel();
        self.gate().tails().close();
        let forward = self.gate().config().limits.forward.duration();
        if tokio::time::timeout(forward, self.gate().tails().wait()).await.is_err() {
            warn!("a push was still being forwarded (limits.forward)");
        }
        info!("closed");
    }
}

/// Closes idle mirrors until the hall closes. Looks four times in each `limits.mirror_idle`, which a reload may change;
/// nothing waits for it.
async fn close_idle(hall: Hall) {
    loop {
        let idle = hall.gate.config().limits.mirror_idle.duration();
        tokio::select! {
            () = tokio::time::sleep(idle / 4) => {}
            () = hall.closing.cancelled() => return,
        }
        let closed = hall.gate.close_idle();
        if closed > 0 {
            info!(mirrors.closed = closed, "idle mirrors closed (limits.mirror_idle)");
        }
    }
}

/// The scanner's folder within the data folder. No repository's name begins with a dot.
const SCRATCH: &str = ".scan";

/// An empty folder for the scanner: what a killed gate left in it is gone. The data folder must be locked.
fn workshop(data: &Path) -> Result<PathBuf, anyhow::Error> {
    let dir = data.join(SCRATCH);
    match std::fs::remove_dir_all(&dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("empty {}", dir.display()));
        }
        _ => {}
    }
    std::fs::create_dir(&dir).with_context(|| format!("make {}", dir.display()))?;
    Ok(dir)
}

/// How this config scans pushes; `scratch` is where large archives are unpacked.
///
/// # Errors
/// An allowed fingerprint can't be read.
pub fn scanner(config: &Config, scratch: Option<PathBuf>) -> Result<scan::Options, anyhow::Error> {
    let program = std::env::current_exe().context("find the gate's own binary")?;
    let limits = &config.limits;
    let cores = std::thread::available_parallelism().map_or(2, Into::into);
    Ok(scan::Options {
        gitleaks: gitleaks(config.scan.gitleaks.as_deref(), &program),
        rules: config.scan.rules.clone(),
        allowed: scan::Allowed::parse(&config.scan.allow)?,
        scanners: config.scan.scanners.map_or(cores, Into::into),
        deadline: limits.scan.duration(),
        queue: limits.scan_queue.duration(),
        idle: limits.scanner_idle.duration(),
        scratch,
        patch_source: program,
        unpack: scan::UnpackLimits {
            depth: u32::try_from(limits.archive_depth).unwrap_or(u32::MAX),
            bytes: limits.archive_bytes.bytes(),
            ratio: limits.inflate_ratio as u64,
            members: limits.archive_files as u64,
            ..scan::UnpackLimits::default()
        },
    })
}

/// The configured binary, else the one beside ours, else the first on PATH. Where there is none, it is missed beside ours:
/// reading needs no scanner, and a push will say so.
fn gitleaks(configured: Option<&Path>, program: &Path) -> PathBuf {
    if let Some(file) = configured {
        return file.to_owned();
    }
    let beside = program.with_file_name("gitleaks");
    let search = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&search).map(|dir| dir.join("gitleaks"));
    let found = std::iter::once(beside.clone()).chain(on_path).find(|file| file.is_file());
    found.unwrap_or(beside)
}
