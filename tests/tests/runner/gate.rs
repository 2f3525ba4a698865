//! The real gate: started with a config, waited for by the lines it prints, stopped and looked over at the end.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;

use rustix::process::{Pid, Signal};

use crate::env::{SEARCH_PATH, TestEnv, clean};
use crate::servers::{Kind, Server};

/// A running gate. Dropping it stops it and demands that every mirror is whole.
pub(crate) struct Gate<'e> {
    env: &'e TestEnv,
    process: Process,
    urls: Vec<String>,
    data: PathBuf,
    log: PathBuf,
}

enum Process {
    Gate(Option<Child>),
    /// Stock servers in its place, to try the harness itself.
    StandIn {
        _servers: Box<[Server; 2]>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    Git,
    Http,
    Ssh,
}

impl<'e> Gate<'e> {
    /// A gate with all its doors, in front of every repository of a server.
    pub(crate) fn before(env: &'e TestEnv, server: &Server) -> Self {
        Self::with(env, server, "")
    }

    /// The same with more lines of config (sections of their own).
    pub(crate) fn with(env: &'e TestEnv, server: &Server, more: &str) -> Self {
        if stand_in() {
            return Self::stand_in(env);
        }
        Self::start(env, "data", &config(env, "data", server, more))
    }

    /// Starts a gate on a whole config.
    pub(crate) fn start(env: &'e TestEnv, name: &str, config: &str) -> Self {
        Self::start_under(env, name, config, &[])
    }

    /// The same, run by another program.
    pub(crate) fn start_under(env: &'e TestEnv, name: &str, config: &str, by: &[&str]) -> Self {
        let doors =
            ["git = ", "http = ", "ssh = "].iter().filter(|door| config.contains(*door)).count();
        let log = env.path(format!("{name}.log"));
        let mut child = Self::spawn_under(env, name, config, by);
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let mut urls = Vec::new();
        while urls.len() < doors {
            let Some(Ok(line)) = lines.next() else {
                child.wait().expect("wait for the gate");
                panic!("the gate did not open its doors:\n{}", read(&log));
            };
            urls.extend(
                line.split_whitespace().find(|word| word.contains("://")).map(str::to_owned),
            );
        }
        std::thread::spawn(move || lines.for_each(drop));
        Self { env, process: Process::Gate(Some(child)), urls, data: env.path(name), log }
    }

    /// Starts the process and does not wait for its doors.
    pub(crate) fn spawn(env: &TestEnv, name: &str, config: &str) -> Child {
        Self::spawn_under(env, name, config, &[])
    }

    fn spawn_under(env: &TestEnv, name: &str, config: &str, by: &[&str]) -> Child {
        let file = env.write(&format!("{name}.toml"), config);
        let log = File::options().create(true).append(true).open(env.path(format!("{name}.log")));
        let mut command = match by {
            [] => command(env),
            [program, arguments @ ..] => {
                let gate = command(env);
                let mut command = Command::new(program);
                command.args(arguments).arg(gate.get_program()).env_clear();
                command.envs(gate.get_envs().filter_map(|(name, value)| Some((name, value?))));
                command
            }
        };
        command.arg("serve").arg("--config").arg(file).stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(log.expect("make a log")).spawn().expect("start git-gate")
    }

    fn stand_in(env: &'e TestEnv) -> Self {
        let servers = [Server::start(env, Kind::Git), Server::start(env, Kind::Http)];
        let urls =
            vec![format!("git://{}/", servers[0].addr), format!("http://{}/", servers[1].addr)];
        let process = Process::StandIn { _servers: Box::new(servers) };
        Self { env, process, urls, data: env.path("data"), log: env.path("data.log") }
    }

    /// The URL of a repository at a door.
    pub(crate) fn url(&self, door: Door, name: &str) -> String {
        format!("{}/{name}.git", self.base(door))
    }

    pub(crate) fn base(&self, door: Door) -> &str {
        let scheme = match door {
            Door::Git => "git://",
            Door::Http => "http://",
            Door::Ssh => "ssh://",
        };
        let url = self.urls.iter().find(|url| url.starts_with(scheme)).expect("the door is open");
        let end = url[scheme.len()..].find('/').map_or(url.len(), |at| scheme.len() + at);
        &url[..end]
    }

    /// `host:port` of a door.
    pub(crate) fn addr(&self, door: Door) -> &str {
        let base = self.base(door);
        &base[base.find("://").map_or(0, |at| at + 3)..]
    }

    pub(crate) fn mirror(&self, name: &str) -> PathBuf {
        self.data.join(format!("{name}.git"))
    }

    pub(crate) fn log(&self) -> String {
        read(&self.log)
    }

    pub(crate) fn pid(&self) -> Pid {
        match &self.process {
            Process::Gate(Some(child)) => Pid::from_child(child),
            Process::Gate(None) | Process::StandIn { .. } => panic!("no gate runs"),
        }
    }

    /// Waits until the log says a word: the gate tells what it has done, nothing else shows it.
    pub(crate) fn wait_for_log(&self, word: &str) {
        let mut tail = Command::new("timeout");
        tail.args([
            "20",
            "sh",
            "-c",
            "tail -n +1 -F \"$1\" 2>/dev/null | grep -q -m1 -- \"$2\"",
            "sh",
        ]);
        let status = tail.arg(&self.log).arg(word).status().expect("follow the log");
        assert!(status.success(), "the log never said {word}:\n{}", self.log());
    }

    /// The most memory it ever held, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = read(Path::new(&format!("/proc/{}/status", self.pid().as_raw_nonzero())));
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
    }

    /// How it ended by itself or by the test's signal.
    pub(crate) fn ended(mut self) -> ExitStatus {
        match &mut self.process {
            Process::Gate(child) => {
                child.take().expect("it runs").wait().expect("wait for the gate")
            }
            Process::StandIn { .. } => panic!("no gate runs"),
        }
    }

    /// kill -9, as a crash.
    pub(crate) fn kill(mut self) {
        rustix::process::kill_process(self.pid(), Signal::KILL).expect("kill the gate");
        if let Process::Gate(child) = &mut self.process {
            child.take().expect("it runs").wait().expect("wait for the gate");
        }
    }

    fn stop(&mut self) {
        let Process::Gate(Some(mut child)) =
            std::mem::replace(&mut self.process, Process::Gate(None))
        else {
            return;
        };
        let ended = child.try_wait().expect("look after the gate");
        assert!(ended.is_none(), "the gate ended by itself: {ended:?}\n{}", self.log());
        rustix::process::kill_process(Pid::from_child(&child), Signal::TERM)
            .expect("stop the gate");
        let status = child.wait().expect("wait for the gate");
        assert!(status.success(), "the gate ended with {status}\n{}", self.log());
    }

    /// Demands that `git fsck` finds nothing wrong with any mirror.
    pub(crate) fn fsck(&self) {
        for mirror in mirrors(&self.data) {
            let dir = mirror.to_str().expect("a UTF-8 path");
            let ran =
                self.env.git(["--git-dir", dir, "fsck", "--full", "--strict", "--no-dangling"]);
            let said = format!("{}{}", ran.stdout, ran.stderr);
            assert!(ran.ok, "fsck of {dir}:\n{said}\n{}", self.log());
        }
    }
}

impl Drop for Gate<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            if let Process::Gate(Some(child)) = &mut self.process {
                child.kill().ok();
                child.wait().ok();
            }
            eprintln!("--- the gate's log\n{}", self.log());
            return;
        }
        self.stop();
        self.fsck();
    }
}

/// A config for a server's repositories: every name, both doors, any free port.
pub(crate) fn config(env: &TestEnv, data: &str, server: &Server, more: &str) -> String {
    format!(
        "data = \"{}\"\n[listen]\ngit = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\nssh = \"127.0.0.1:0\"\n\
         [[repo]]\nname = \"*\"\norigin = \"{}\"\n{}{more}",
        env.path(data).display(),
        server.url("*"),
        server.repo_keys()
    )
}

/// The gate's binary with clean surroundings, the bundled scanner on its path.
pub(crate) fn command(env: &TestEnv) -> Command {
    let mut command = Command::new(binary());
    clean(&mut command, &env.path(""));
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools");
    command.env("PATH", format!("{}:{SEARCH_PATH}", tools.display()));
    command
}

pub(crate) fn stand_in() -> bool {
    std::env::var_os("E2E_STAND_IN").is_some()
}

/// The gate's binary, built at most once in a run.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(given) = std::env::var_os("GIT_GATE_BIN") {
            return given.into();
        }
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "-p", "git-gate"]).current_dir(env!("CARGO_MANIFEST_DIR"));
        assert!(cargo.status().expect("run cargo").success(), "cargo build -p git-gate");
        let test = std::env::current_exe().expect("this test's path");
        test.ancestors().nth(2).expect("it lies in target/debug/deps").join("git-gate")
    })
}

fn mirrors(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut found = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()) {
        if path.extension().is_some_and(|ext| ext == "git") {
            found.push(path);
        } else {
            found.extend(mirrors(&path));
        }
    }
    found
}

fn read(log: &Path) -> String {
    let mut text = Vec::new();
    if let Ok(mut file) = File::open(log) {
        file.read_to_end(&mut text).expect("read a log");
    }
    String::from_utf8_lossy(&text).into_owned()
}
