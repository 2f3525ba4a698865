//! A home with manifests, images made here, and the engine's own CLI as the judge.

#![expect(
    clippy::print_stderr,
    reason = "which pipelock ran, and what was skipped, is for whoever runs the tests"
)]

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// One bottle of one test. Tests take turns: an engine has one set of networks.
pub(crate) struct Bench {
    pub(crate) home: TempDir,
    pub(crate) name: &'static str,
    pub(crate) variables: Vec<(String, String)>,
    _turn: File,
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Addresses that nobody has (RFC 5737, RFC 3849) instead of real ones outside.
pub(crate) const NOBODY: &str = r#"
[self_test]
outside = ["198.51.100.7:443"]
dns = ["198.51.100.7:53"]
metadata = ["198.51.100.7:80"]
lan = ["198.51.100.7:22"]
ipv6 = ["[2001:db8::1]:443"]
"#;

pub(crate) const AGENT_IMAGE: &str = "bottle-test/agent:1";
const STANDIN_IMAGE: &str = "bottle-test/pipelock-standin:1";
const PIPELOCK_IMAGE: &str = "ghcr.io/luckypipewrench/pipelock:2.3.0";
const LONGEST: Duration = Duration::from_secs(120);

impl Bench {
    /// `None` when the engine's tests are to be skipped; says so.
    pub(crate) fn new(name: &'static str) -> Option<Self> {
        if variable("BOTTLE_TEST_ENGINE").as_deref() == Some("skip") {
            eprintln!("SKIPPED: {name} needs a Docker engine, and BOTTLE_TEST_ENGINE=skip");
            return None;
        }
        let lock = Path::new(env!("CARGO_TARGET_TMPDIR")).join("engine.turn");
        let turn = File::create(lock).expect("the target folder is writable");
        rustix::fs::flock(&turn, rustix::fs::FlockOperation::LockExclusive).expect("a turn");
        static READY: OnceLock<()> = OnceLock::new();
        READY.get_or_init(prepare);
        let home = tempfile::tempdir().expect("a folder");
        std::fs::create_dir_all(home.path().join(".config/bottle")).expect("a folder");
        let bench = Self { home, name, variables: Vec::new(), _turn: turn };
        bench.sweep();
        Some(bench)
    }

    /// Writes this test's manifest: the text, the images and the harmless self-test.
    pub(crate) fn manifest(&self, text: &str) {
        self.manifest_exactly(&format!("{text}\n{NOBODY}"));
    }

    pub(crate) fn manifest_exactly(&self, text: &str) {
        self.write(self.name, text);
    }

    /// As [`Self::manifest`], of another bottle of the same test.
    pub(crate) fn manifest_of(&self, name: &str, text: &str) {
        self.write(name, &format!("{text}\n{NOBODY}"));
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.home.path().join(format!(".config/bottle/{name}.toml"));
        std::fs::write(path, format!("{text}\n{}", pipelock_line())).expect("the home is writable");
    }

    /// An agent that runs a shell script.
    pub(crate) fn script(&self, script: &str) {
        self.manifest(&format!(
            "[agent]\nimage = \"{AGENT_IMAGE}\"\ncommand = [\"sh\", \"-c\", '''{script}''']\n"
        ));
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bottle"));
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.home.path())
            .env("PATH", variable("PATH").unwrap_or_default())
            .env("BOTTLE_LIBEXEC", libexec())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn bottle(&self, arguments: &[&str]) -> Ran {
        ran(self.command(arguments).output().expect("bottle runs"))
    }

    /// `bottle run` of this test's bottle.
    pub(crate) fn run(&self) -> Ran {
        self.bottle(&["run", self.name])
    }

    /// Whatever of this bottle the engine still has, by label or by name.
    pub(crate) fn left(&self) -> Vec<String> {
        let label = format!("label=dev.bottle.name={}", self.name);
        let mut left = Vec::new();
        for list in [
            &["ps", "-aq", "--filter", &label][..],
            &["network", "ls", "-q", "--filter", &label],
            &["volume", "ls", "-q", "--filter", &label],
        ] {
            left.extend(docker(list).lines().map(str::to_owned));
        }
        let names = docker(&["ps", "-a", "--format", "{{.Names}}"]);
        let ours = |name: &&str| {
            *name == format!("bottle-{}", self.name) || name.ends_with(&format!("-{}", self.name))
        };
        left.extend(names.lines().filter(ours).map(str::to_owned));
        left
    }

    /// Whether the engine knows gVisor; says so when the test is skipped for that.
    pub(crate) fn knows_gvisor(&self) -> bool {
        let runtimes = docker(&["info", "-f", "{{range $name, $_ := .Runtimes}}{{$name}} {{end}}"]);
        let knows = runtimes.split(' ').any(|name| name == "runsc");
        if !knows {
            skipped(self.name, "the engine knows no runtime `runsc` (gVisor, with --net-raw)");
        }
        knows
    }

    fn sweep(&self) {
        self.bottle(&["cleanup", "--force", self.name]);
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.sweep();
    }
}

pub(crate) fn ran(output: Output) -> Ran {
    Ran {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Asks the engine by its own CLI.
pub(crate) fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().expect("docker is installed");
    assert!(output.status.success(), "docker {arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Runs a command in a container's network namespace, from the host.
pub(crate) fn in_netns(container: &str, words: &[&str]) -> Command {
    let pid = docker(&["inspect", "-f", "{{.State.Pid}}", container]);
    let mut command = Command::new("nsenter");
    command.args(["-t", &pid, "-n"]).args(words);
    command
}

pub(crate) fn succeed(command: &mut Command) -> String {
    let output = command.output().expect("the command is installed");
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Waits for something to become so; looks, and does not guess how long it takes.
pub(crate) fn await_that(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + LONGEST;
    while !is_so() {
        assert!(Instant::now() < until, "waited in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// Whether a process is stopped by a signal, as /proc says.
pub(crate) fn is_stopped(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
}

pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::vars().find(|(key, _)| key == name).map(|(_, value)| value)
}

/// The folder with the static programs.
pub(crate) fn libexec() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_bottle")).parent().expect("it lies in a folder").join("libexec")
}

/// What a manifest says where the real pipelock is not to be had.
pub(crate) fn pipelock_line() -> String {
    match pipelock() {
        PIPELOCK_IMAGE => String::new(),
        other => format!("[images]\npipelock = \"{other}\"\n"),
    }
}

/// Says that a test was left out, and why.
pub(crate) fn skipped(what: &str, why: &str) {
    eprintln!("SKIPPED: {what}: {why}");
}

/// The image these tests use for pipelock.
pub(crate) fn pipelock() -> &'static str {
    static IMAGE: OnceLock<&str> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let mut look = Command::new("docker");
        look.args(["image", "inspect", PIPELOCK_IMAGE]);
        if look.output().expect("docker is installed").status.success() {
            eprintln!("pipelock: the real one, {PIPELOCK_IMAGE}");
            return PIPELOCK_IMAGE;
        }
        eprintln!("pipelock: a STAND-IN, as the engine has no {PIPELOCK_IMAGE}");
        STANDIN_IMAGE
    })
}

fn prepare() {
    let engine = Command::new("docker")
        .args(["version"])
        .output()
        .expect("docker is not installed: apt-get install docker.io, or BOTTLE_TEST_ENGINE=skip");
    assert!(
        engine.status.success(),
        "no Docker engine answers: start dockerd, or BOTTLE_TEST_ENGINE=skip leaves these tests out\n{}",
        String::from_utf8_lossy(&engine.stderr)
    );
    assemble();
    build_agent();
    if pipelock() == STANDIN_IMAGE {
        let program = std::fs::read(libexec().join("pipelock-standin")).expect("it was assembled");
        let mut rootfs = tar::Builder::new(Vec::new());
        add(&mut rootfs, "pipelock", 0o755, &program);
        build(STANDIN_IMAGE, "scratch", rootfs, "ENTRYPOINT [\"/pipelock\"]\n");
    }
}

/// Links the sidecars' programs statically, into the folder where `bottle` finds them.
fn assemble() {
    let target = libexec();
    let target = target.ancestors().nth(2).expect("target/debug/libexec");
    let profile = if cfg!(debug_assertions) { &[][..] } else { &["--release"] };
    let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docker/assemble");
    succeed(Command::new(recipe).args(profile).env("CARGO_TARGET_DIR", target));
}

/// An image with a shell, git and curl, of this machine's own programs and the libraries they name.
fn build_agent() {
    const PROGRAMS: [&str; 22] = [
        "sh",
        "env",
        "id",
        "cat",
        "ls",
        "touch",
        "head",
        "tr",
        "stty",
        "git",
        "curl",
        "timeout",
        "grep",
        "sed",
        "mkdir",
        "chmod",
        "sleep",
        "date",
        "od",
        "dd",
        "true",
        "sha256sum",
    ];
    let mut rootfs = tar::Builder::new(Vec::new());
    add_programs(&mut rootfs, PROGRAMS.map(|program| (program, find_on_path(program))));
    add(&mut rootfs, "etc/passwd", 0o644, b"agent:x:1000:1000::/home/agent:/bin/sh\n");
    add(&mut rootfs, "etc/nsswitch.conf", 0o644, b"hosts: files dns\n");
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    rootfs.append_link(&mut header, "bin", "usr/bin").expect("memory takes every write");
    build(AGENT_IMAGE, "scratch", rootfs, "ENV PATH=/usr/bin\n");
}

/// An image on top of another, with more of this machine's programs and others that lie somewhere.
pub(crate) fn build_with(tag: &str, from: &str, programs: &[&str], others: &[(&str, &Path)]) {
    let mut rootfs = tar::Builder::new(Vec::new());
    let programs = programs.iter().map(|program| (*program, find_on_path(program)));
    add_programs(
        &mut rootfs,
        programs.chain(others.iter().map(|(name, at)| (*name, at.to_path_buf()))),
    );
    build(tag, from, rootfs, "");
}

/// Programs in /usr/bin, and the libraries they name.
fn add_programs<'p>(
    rootfs: &mut tar::Builder<Vec<u8>>,
    programs: impl IntoIterator<Item = (&'p str, PathBuf)>,
) {
    let mut libraries = std::collections::BTreeSet::new();
    for (program, path) in programs {
        let listing = succeed(Command::new("ldd").arg(&path));
        libraries.extend(
            listing.split_whitespace().filter(|word| word.starts_with('/')).map(str::to_owned),
        );
        let bytes = std::fs::read(&path).expect("it is there");
        add(rootfs, &format!("usr/bin/{program}"), 0o755, &bytes);
    }
    for library in libraries {
        let bytes = std::fs::read(&library).expect("ldd named it");
        add(rootfs, library.trim_start_matches('/'), 0o755, &bytes);
    }
}

fn find_on_path(program: &str) -> PathBuf {
    let path = variable("PATH").unwrap_or_default();
    let found =
        path.split(':').map(|folder| Path::new(folder).join(program)).find(|it| it.is_file());
    let found = found.unwrap_or_else(|| panic!("{program} is not installed"));
    std::fs::canonicalize(found).expect("it is there")
}

fn add(archive: &mut tar::Builder<Vec<u8>>, path: &str, mode: u32, bytes: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_mode(mode);
    header.set_size(bytes.len() as u64);
    header.set_mtime(0);
    archive.append_data(&mut header, path, bytes).expect("memory takes every write");
}

fn build(tag: &str, from: &str, rootfs: tar::Builder<Vec<u8>>, more: &str) {
    let rootfs = rootfs.into_inner().expect("memory takes every write");
    let mut context = tar::Builder::new(Vec::new());
    add(&mut context, "rootfs.tar", 0o644, &rootfs);
    add(
        &mut context,
        "Dockerfile",
        0o644,
        format!("FROM {from}\nADD rootfs.tar /\n{more}").as_bytes(),
    );
    let context = context.into_inner().expect("memory takes every write");
    let mut child = Command::new("docker")
        .args(["build", "-q", "-t", tag, "-"])
        .env("DOCKER_BUILDKIT", "0")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("docker is installed");
    child.stdin.take().expect("it is piped").write_all(&context).expect("docker reads it");
    let output = child.wait_with_output().expect("docker ends");
    assert!(output.status.success(), "build {tag}: {output:?}");
}
