//! A place of its own for each test: a folder, a clean git, and what git said.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A test's folder and its git, which sees no configuration but the one written here.
pub(crate) struct TestEnv {
    dir: TempDir,
}

/// How a command ended.
pub(crate) struct Ran {
    pub(crate) ok: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    shown: String,
}

impl TestEnv {
    pub(crate) fn new() -> Self {
        let dir =
            tempfile::Builder::new().prefix("git-gate-e2e-").tempdir().expect("make a folder");
        std::fs::create_dir(dir.path().join("origins")).expect("make origins");
        let env = Self { dir };
        let config = format!("{GITCONFIG}[core]\n\tsshCommand = {}\n", env.ssh());
        std::fs::write(env.path("gitconfig"), config).expect("write gitconfig");
        env
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    /// ssh that trusts the host key it meets first and keeps it in the test's folder, and has no key of its own.
    pub(crate) fn ssh(&self) -> String {
        let pins = self.path("ssh_pins");
        format!(
            "ssh -F none -o UserKnownHostsFile={} -o StrictHostKeyChecking=accept-new -o BatchMode=yes \
             -o IdentityFile=none",
            pins.display()
        )
    }

    pub(crate) fn origins(&self) -> PathBuf {
        self.path("origins")
    }

    /// Runs git in the test's folder; two minutes are its end.
    pub(crate) fn git<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        self.git_in("", args)
    }

    pub(crate) fn git_in<S: AsRef<OsStr>>(
        &self,
        dir: impl AsRef<Path>,
        args: impl IntoIterator<Item = S>,
    ) -> Ran {
        let mut command = self.command("git");
        command.args(args).current_dir(self.path(dir));
        run(&mut command)
    }

    /// A program with git's clean surroundings, under `timeout`.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("timeout");
        command.args(["-k", "5", "120", program]).current_dir(self.dir.path()).stdin(Stdio::null());
        clean(&mut command, self.dir.path());
        command
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).expect("make a folder");
        }
        std::fs::write(&path, text).expect("write a file");
        path
    }
}

/// Gives a child nothing of this process's environment but the search path, and git only the test's configuration.
pub(crate) fn clean(command: &mut Command, home: &Path) {
    command.env_clear().envs([
        ("PATH", SEARCH_PATH),
        ("LC_ALL", "C"),
        ("TZ", "UTC"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_TERMINAL_PROMPT", "0"),
    ]);
    command.env("HOME", home).env("GIT_CONFIG_GLOBAL", home.join("gitconfig"));
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Ran {
    let shown = command.get_args().map(|arg| arg.to_string_lossy()).collect::<Vec<_>>().join(" ");
    let output = command.output().unwrap_or_else(|e| panic!("{shown}: {e}"));
    Ran::new(&output, shown)
}

impl Ran {
    pub(crate) fn new(output: &Output, shown: String) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            ok: output.status.success(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
            shown,
        }
    }

    /// The trimmed output of a command that had to succeed.
    #[track_caller]
    pub(crate) fn out(self) -> String {
        assert!(self.ok, "{} failed:\n{}{}", self.shown, self.stdout, self.stderr);
        self.stdout.trim_end().to_owned()
    }

    /// What a command said that had to fail.
    #[track_caller]
    pub(crate) fn refused(self) -> String {
        assert!(!self.ok, "{} did not fail:\n{}{}", self.shown, self.stdout, self.stderr);
        self.stderr
    }
}

pub(crate) const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const GITCONFIG: &str = "\
[user]
\tname = Tester
\temail = tester@example.org
[safe]
\tdirectory = *
[init]
\tdefaultBranch = main
[advice]
\tdetachedHead = false
[protocol \"file\"]
\tallow = always
[gc]
\tauto = 0
[maintenance]
\tauto = false
[transfer]
\tfsckObjects = true
";
