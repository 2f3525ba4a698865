//! Real servers on loopback, each connection handed to a program as inetd would; and lighttpd on a bound socket.

use std::io::{Read as _, Write as _};
use std::marker::PhantomData;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use gate_config::ResolvedRepo;

use crate::support::{ENVIRONMENT, Scene, command, git, rule};

/// Accepts connections and gives each to a program of its own.
pub(crate) struct Inetd {
    pub(crate) addr: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    accepted: AtomicUsize,
    stopped: AtomicBool,
    children: Mutex<Vec<Child>>,
}

impl Inetd {
    pub(crate) fn start(
        listener: TcpListener,
        mut program: impl FnMut() -> Command + Send + 'static,
    ) -> Self {
        let addr = listener.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        let inside = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if inside.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let stream = stream.unwrap();
                inside.accepted.fetch_add(1, Ordering::SeqCst);
                let output = OwnedFd::from(stream.try_clone().unwrap());
                let child = program().stdin(OwnedFd::from(stream)).stdout(output).spawn().unwrap();
                inside.children.lock().unwrap().push(child);
            }
        });
        Self { addr, shared, thread: Some(thread) }
    }

    /// Connections so far.
    pub(crate) fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Connections whose program runs.
    pub(crate) fn running(&self) -> usize {
        let mut children = self.shared.children.lock().unwrap();
        children
            .iter_mut()
            .map(Child::try_wait)
            .filter(|ended| ended.as_ref().unwrap().is_none())
            .count()
    }

    /// Stops every program in its tracks: its connection is silent from now on, and does not end.
    pub(crate) fn freeze(&self) {
        for child in &*self.shared.children.lock().unwrap() {
            let pid = rustix::process::Pid::from_child(child);
            rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
        }
    }

    /// Ends every connection; new ones are still taken.
    pub(crate) fn hang_up(&self) {
        for mut child in self.shared.children.lock().unwrap().drain(..) {
            drop(child.kill());
            child.wait().unwrap();
        }
    }
}

impl Drop for Inetd {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.addr));
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
        self.hang_up();
    }
}

/// Passes connections on to another server: counts them, and has a say in each piece that passes.
pub(crate) struct Relay {
    pub(crate) addr: SocketAddr,
    accepted: Arc<AtomicUsize>,
}

/// Called with each piece before it is passed on.
pub(crate) type Hook = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// Called with the connection's number, from 1 on, the direction and each piece of it.
pub(crate) type Judge = Arc<dyn Fn(usize, Way, &[u8]) -> Fate + Send + Sync>;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// What the gate says.
    Asked,
    /// What the server says.
    Answered,
}

/// What becomes of a piece.
pub(crate) enum Fate {
    Passed,
    /// It is lost, and nobody is told.
    Swallowed,
    /// It is lost, and the gate is told that the connection has ended.
    HungUp,
}

impl Relay {
    pub(crate) fn to(server: SocketAddr) -> Self {
        Self::judging(server, Arc::new(|_, _, _| Fate::Passed))
    }

    /// `asked` sees what the gate says, `answered` what the server says.
    pub(crate) fn with(server: SocketAddr, asked: Hook, answered: Hook) -> Self {
        let see = move |_, way, piece: &[u8]| {
            match way {
                Way::Asked => asked(piece),
                Way::Answered => answered(piece),
            }
            Fate::Passed
        };
        Self::judging(server, Arc::new(see))
    }

    pub(crate) fn judging(server: SocketAddr, judge: Judge) -> Self {
        let listener = loopback();
        let addr = listener.local_addr().unwrap();
        let accepted = Arc::<AtomicUsize>::default();
        let inside = Arc::clone(&accepted);
        // lives as long as the test's process; it holds nothing but its sockets
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let number = inside.fetch_add(1, Ordering::SeqCst) + 1;
                let beyond = TcpStream::connect(server).unwrap();
                let back = (beyond.try_clone().unwrap(), stream.try_clone().unwrap());
                let hook = Arc::clone(&judge);
                std::thread::spawn(move || {
                    pass(back.0, back.1, |piece| hook(number, Way::Answered, piece));
                });
                let hook = Arc::clone(&judge);
                std::thread::spawn(move || {
                    pass(stream, beyond, |piece| hook(number, Way::Asked, piece));
                });
            }
        });
        Self { addr, accepted }
    }

    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, judge: impl Fn(&[u8]) -> Fate) {
    let mut piece = vec![0; 1 << 14];
    while let Ok(read @ 1..) = from.read(&mut piece) {
        match judge(&piece[..read]) {
            Fate::Swallowed => {}
            Fate::Passed if to.write_all(&piece[..read]).is_ok() => {}
            Fate::Passed => break,
            Fate::HungUp => {
                drop(from.shutdown(std::net::Shutdown::Both));
                break;
            }
        }
    }
    drop(to.shutdown(std::net::Shutdown::Write));
}

/// A CA, and a certificate signed by it for `names` (`IP:127.0.0.1`, `DNS:localhost`), as files of these stems in `dir`.
pub(crate) fn certify(dir: &Path, ca: &str, server: &str, names: &str) {
    let openssl = |arguments: &str| {
        let mut openssl = command("openssl", dir);
        openssl.args(arguments.split(' ')).stderr(Stdio::null());
        assert!(openssl.status().unwrap().success(), "openssl {arguments}");
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!("req -x509 {key} -days 2 -subj /CN={ca} -keyout {ca}.key -out {ca}.pem"));
    openssl(&format!(
        "req -new {key} -subj /CN={server} -addext subjectAltName={names} -keyout {server}.key -out {server}.csr"
    ));
    openssl(&format!(
        "x509 -req -in {server}.csr -CA {ca}.pem -CAkey {ca}.key -days 2 -copy_extensions copyall -out {server}.pem"
    ));
    let pem = ["pem", "key"].map(|kind| std::fs::read(dir.join(format!("{server}.{kind}"))));
    std::fs::write(dir.join(format!("{server}.both")), pem.map(Result::unwrap).concat()).unwrap();
}

pub(crate) fn loopback() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// `git daemon` over the scene's folder; its options may be added to.
pub(crate) fn git_daemon(scene: &Scene, more: &'static [&'static str]) -> Inetd {
    let dir = scene.dir.path().to_owned();
    Inetd::start(loopback(), move || {
        let mut daemon = command("git", &dir);
        daemon.args(["daemon", "--inetd", "--export-all", "--informative-errors"]);
        daemon.args(more).arg(format!("--base-path={}", dir.display())).stderr(Stdio::null());
        daemon
    })
}

/// git's upload-pack as it was before protocol versions: its request line is read by sh, so that none reaches it.
pub(crate) fn old_upload_pack(scene: &Scene, repository: &'static str) -> Inetd {
    let dir = scene.dir.path().to_owned();
    Inetd::start(loopback(), move || {
        let mut program = command("sh", &dir);
        let script = "head -c $((0x$(head -c 4) - 4)) >/dev/null; exec git upload-pack";
        program.args(["-c", &format!("{script} {repository}")]);
        program
    })
}

/// A real sshd with a key for the gate; `sshd_config` may be added to.
pub(crate) struct Sshd {
    pub(crate) inetd: Inetd,
    pub(crate) files: PathBuf,
    origin: PathBuf,
}

impl Sshd {
    pub(crate) fn start(scene: &Scene, key_type: &str, more: &str) -> Self {
        // where its service would make it
        drop(std::fs::create_dir_all("/run/sshd"));
        let files = scene.dir.path().join("ssh");
        std::fs::create_dir_all(&files).unwrap();
        keygen(&files, "host", "ed25519");
        keygen(&files, "id", key_type);
        std::fs::copy(files.join("id.pub"), files.join("authorized_keys")).unwrap();
        let dir = files.display();
        let config = format!(
            "HostKey {dir}/host\nAuthorizedKeysFile {dir}/authorized_keys\nStrictModes no\nUsePAM no\nPidFile none\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nUseDNS no\n{more}\n\
             SetEnv GIT_CONFIG_NOSYSTEM=1 HOME=/nonexistent PATH=/usr/local/bin:/usr/bin:/bin\n"
        );
        std::fs::write(files.join("config"), config).unwrap();
        let folder = files.clone();
        let inetd = Inetd::start(loopback(), move || {
            let mut sshd = command("/usr/sbin/sshd", &folder);
            sshd.args(["-i", "-f"]).arg(folder.join("config")).arg("-E").arg(folder.join("log"));
            sshd.stderr(Stdio::null());
            sshd
        });
        let sshd = Self { inetd, files, origin: scene.origin() };
        sshd.pin(&sshd.read("host.pub"));
        sshd
    }

    pub(crate) fn rule(&self) -> ResolvedRepo {
        self.rule_for(&self.origin)
    }

    pub(crate) fn rule_for(&self, path: &Path) -> ResolvedRepo {
        let user =
            String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap();
        ResolvedRepo {
            identity: Some(self.files.join("id")),
            known_hosts: Some(self.files.join("known_hosts")),
            ..rule(&format!("ssh://{}@{}{}", user.trim(), self.inetd.addr, path.display()))
        }
    }

    /// Pins this public key and no other.
    pub(crate) fn pin(&self, public: &str) {
        let key: Vec<_> = public.split(' ').take(2).collect();
        let line = format!("[127.0.0.1]:{} {}\n", self.inetd.addr.port(), key.join(" "));
        std::fs::write(self.files.join("known_hosts"), line).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.files.join(name)).unwrap()
    }
}

pub(crate) fn keygen(dir: &Path, name: &str, key_type: &str) {
    let mut keygen = command("ssh-keygen", dir);
    keygen.args(["-q", "-t", key_type, "-N", "", "-f"]).arg(dir.join(name));
    assert!(keygen.status().unwrap().success());
}

/// lighttpd with `git http-backend` behind it. It reads its files while it is used already, so that the scene outlives it.
pub(crate) struct Lighttpd<'s> {
    pub(crate) addr: SocketAddr,
    child: Child,
    _scene: PhantomData<&'s Scene>,
}

impl<'s> Lighttpd<'s> {
    /// `more` is added to its configuration.
    pub(crate) fn start(scene: &'s Scene, more: &str) -> Self {
        let listener = loopback();
        let addr = listener.local_addr().unwrap();
        let dir = scene.dir.path();
        let exec_path = git(dir, &["--exec-path"]);
        let environment: Vec<_> =
            ENVIRONMENT.iter().map(|(key, value)| format!("\"{key}\" => \"{value}\"")).collect();
        let config = format!(
            "server.systemd-socket-activation = \"enable\"\nserver.bind = \"127.0.0.1\"\nserver.port = {port}\n\
             server.document-root = \"{dir}\"\nserver.errorlog = \"{dir}/lighttpd.log\"\n\
             server.modules = (\"mod_alias\", \"mod_cgi\", \"mod_setenv\", \"mod_redirect\", \"mod_access\", \"mod_auth\", \"mod_authn_file\")\n\
             alias.url = (\"/git/\" => \"{exec_path}/git-http-backend/\")\n\
             cgi.assign = (\"\" => \"\")\n\
             setenv.set-environment = (\"GIT_PROJECT_ROOT\" => \"{dir}\", \"GIT_HTTP_EXPORT_ALL\" => \"1\", {environment})\n{more}\n",
            port = addr.port(),
            dir = dir.display(),
            environment = environment.join(", "),
        );
        std::fs::write(dir.join("lighttpd.conf"), config).unwrap();
        let mut lighttpd = command("sh", dir);
        let script =
            "exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec lighttpd -D -f lighttpd.conf";
        lighttpd.args(["-c", script]).stdin(OwnedFd::from(listener)).stderr(Stdio::null());
        Self { addr, child: lighttpd.spawn().unwrap(), _scene: PhantomData }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/git/origin.git", self.addr)
    }
}

impl Drop for Lighttpd<'_> {
    fn drop(&mut self) {
        drop(self.child.kill());
        self.child.wait().unwrap();
    }
}
