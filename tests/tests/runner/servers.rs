//! Real origin servers on loopback: git daemon, OpenSSH's sshd, lighttpd with git http-backend.
//!
//! Sockets are bound here to port 0 and handed to the servers, so that no two tests ever race for a port.

use std::fs::{File, Permissions};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::thread::JoinHandle;

use crate::env::{TestEnv, clean, run};

const SSH_PORT: u16 = 22;

/// A server whose URLs lead to the test's origins.
pub(crate) struct Server {
    kind: Kind,
    pub(crate) addr: SocketAddr,
    process: Process,
    files: PathBuf,
    origins: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Git,
    Ssh,
    /// As `Ssh`, with the URL that scp would take, which has no place for a port.
    Scp,
    Http,
    /// As `Http`, behind TLS with a CA of its own.
    Https,
    File,
}

enum Process {
    None,
    Listener(Listener),
    Child(Child),
}

impl Server {
    pub(crate) fn start(env: &TestEnv, kind: Kind) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind a loopback port");
        Self::start_on(env, kind, listener)
    }

    /// Starts OpenSSH on port 22 of a loopback address of its own; `None` where only root may have that port.
    pub(crate) fn start_scp(env: &TestEnv) -> Option<Self> {
        let [.., a, b] = std::process::id().to_be_bytes();
        for last in 1..255 {
            let address = IpAddr::V4(Ipv4Addr::new(127, a | 1, b, last));
            match TcpListener::bind((address, SSH_PORT)) {
                Ok(listener) => return Some(Self::start_on(env, Kind::Scp, listener)),
                Err(error) if error.kind() == ErrorKind::AddrInUse => {}
                Err(error) if error.kind() == ErrorKind::PermissionDenied => return None,
                Err(error) => panic!("bind {address}, port {SSH_PORT}: {error}"),
            }
        }
        panic!("every address of 127.{}.{b}.0/24 has port {SSH_PORT} in use", a | 1)
    }

    /// Starts on a socket that is already bound: an origin that comes back.
    pub(crate) fn start_on(env: &TestEnv, kind: Kind, listener: TcpListener) -> Self {
        let addr = listener.local_addr().expect("the bound address");
        let files = env.path(format!("server-{}", addr.port()));
        std::fs::create_dir_all(&files).expect("make the server's folder");
        let origins = env.origins();
        let process = match kind {
            Kind::Git => Process::Listener(Listener::spawn(listener, git_daemon(env))),
            Kind::Ssh | Kind::Scp => {
                Process::Listener(Listener::spawn(listener, sshd(env, &files, addr)))
            }
            Kind::Http => Process::Child(lighttpd(env, &files, listener, "")),
            Kind::Https => {
                let tls = certify(env, &files);
                Process::Child(lighttpd(env, &files, listener, &tls))
            }
            Kind::File => Process::None,
        };
        Self { kind, addr, process, files, origins }
    }

    /// The URL of an origin; `name` may be a `*`.
    pub(crate) fn url(&self, name: &str) -> String {
        let (addr, origins) = (self.addr, self.origins.display());
        match self.kind {
            Kind::Git => format!("git://{addr}/{name}.git"),
            Kind::Http => format!("http://{addr}/{name}.git"),
            Kind::Https => format!("https://{addr}/{name}.git"),
            Kind::Ssh => format!("ssh://{}@{addr}{origins}/{name}.git", user()),
            Kind::Scp => format!("{}@{}:{origins}/{name}.git", user(), addr.ip()),
            Kind::File => format!("file://{origins}/{name}.git"),
        }
    }

    /// The keys of a `[[repo]]` entry that open this origin.
    pub(crate) fn repo_keys(&self) -> String {
        match self.kind {
            Kind::Ssh | Kind::Scp => format!(
                "identity = \"{0}/id\"\nknown_hosts = \"{0}/known_hosts\"\n",
                self.files.display()
            ),
            Kind::Https => format!("ca_file = \"{}/ca.pem\"\n", self.files.display()),
            Kind::Git | Kind::Http | Kind::File => String::new(),
        }
    }

    pub(crate) fn files(&self) -> &Path {
        &self.files
    }

    /// Connections taken so far, where the harness accepts them itself (git, ssh).
    pub(crate) fn connections(&self) -> usize {
        match &self.process {
            Process::Listener(listener) => listener.shared.accepted.load(Ordering::SeqCst),
            Process::None | Process::Child(_) => 0,
        }
    }

    /// Ends the server and every connection; its port then refuses.
    pub(crate) fn stop(&mut self) {
        match std::mem::replace(&mut self.process, Process::None) {
            Process::None => {}
            Process::Listener(listener) => drop(listener),
            Process::Child(child) => end(child),
        }
    }

    /// Starts it again on the port it had.
    pub(crate) fn restart(&mut self, env: &TestEnv) {
        self.stop();
        let listener = TcpListener::bind(self.addr).expect("bind the same port again");
        *self = Self::start_on(env, self.kind, listener);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for log in ["log", "stderr"] {
                let text = std::fs::read_to_string(self.files.join(log)).unwrap_or_default();
                eprintln!("--- the {:?} origin's {log}\n{text}", self.kind);
            }
        }
        self.stop();
    }
}

/// Accepts connections and gives each to what serves it, as inetd would.
struct Listener {
    shared: Arc<Shared>,
    addr: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    accepted: AtomicUsize,
    stopped: AtomicBool,
    children: Mutex<Vec<Child>>,
}

impl Listener {
    fn spawn(listener: TcpListener, mut command: impl FnMut() -> Command + Send + 'static) -> Self {
        let addr = listener.local_addr().expect("the bound address");
        let shared = Arc::new(Shared {
            accepted: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
            children: Mutex::new(Vec::new()),
        });
        let inside = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if inside.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                inside.accepted.fetch_add(1, Ordering::SeqCst);
                let output: OwnedFd = stream.try_clone().expect("clone a socket").into();
                let mut command = command();
                command.stdin(OwnedFd::from(stream)).stdout(output).process_group(0);
                let mut children = inside.children.lock().expect("no thread panics with it");
                children.retain_mut(|child| child.try_wait().is_ok_and(|ended| ended.is_none()));
                children.push(command.spawn().expect("start a server for one connection"));
            }
        });
        Self { shared, addr, thread: Some(thread) }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.addr));
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the accepting thread does not panic");
        }
        let mut children = self.shared.children.lock().expect("no thread panics with it");
        children.drain(..).for_each(end);
    }
}

/// Ends a child and all it started: each leads a process group.
fn end(mut child: Child) {
    let group = rustix::process::Pid::from_child(&child);
    if child.try_wait().is_ok_and(|ended| ended.is_none()) {
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).ok();
    }
    child.wait().expect("wait for a server");
}

fn git_daemon(env: &TestEnv) -> impl FnMut() -> Command + Send + 'static {
    let (home, origins) = (env.path(""), env.origins());
    move || {
        let mut command = Command::new("git");
        clean(&mut command, &home);
        command.args([
            "daemon",
            "--inetd",
            "--export-all",
            "--enable=receive-pack",
            "--informative-errors",
        ]);
        command.arg(format!("--base-path={}", origins.display())).stderr(Stdio::null());
        command
    }
}

fn sshd(env: &TestEnv, files: &Path, addr: SocketAddr) -> impl FnMut() -> Command + Send + 'static {
    static PRIVSEP: Once = Once::new();
    PRIVSEP.call_once(|| drop(std::fs::create_dir_all("/run/sshd"))); // as its service would
    for key in ["id", "host"] {
        if !files.join(key).exists() {
            let mut keygen = env.command("ssh-keygen");
            run(keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(files.join(key))).out();
        }
    }
    let read = |name: &str| std::fs::read_to_string(files.join(name)).expect("read a public key");
    let host = read("host.pub").split(' ').take(2).collect::<Vec<_>>().join(" ");
    let name = match addr.port() {
        SSH_PORT => addr.ip().to_string(),
        port => format!("[{}]:{port}", addr.ip()),
    };
    std::fs::write(files.join("known_hosts"), format!("{name} {host}\n"))
        .expect("write known_hosts");
    std::fs::write(files.join("authorized_keys"), read("id.pub")).expect("write authorized_keys");
    let (dir, home) = (files.display(), env.path(""));
    let config = format!(
        "HostKey {dir}/host\nAuthorizedKeysFile {dir}/authorized_keys\nStrictModes no\nUsePAM no\nPidFile none\n\
         PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n\
         AcceptEnv GIT_PROTOCOL\nMaxSessions 200\nPrintMotd no\nPrintLastLog no\nUseDNS no\n\
         SetEnv HOME={home} GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL={home}/gitconfig PATH=/usr/local/bin:/usr/bin:/bin\n",
        home = home.display()
    );
    std::fs::write(files.join("sshd_config"), config).expect("write sshd_config");
    let files = files.to_owned();
    move || {
        let mut command = Command::new("/usr/sbin/sshd");
        clean(&mut command, &home);
        command.arg("-i").arg("-f").arg(files.join("sshd_config")).arg("-E").arg(files.join("log"));
        command.stderr(Stdio::null());
        command
    }
}

/// lighttpd takes the bound socket as systemd would give it.
fn lighttpd(env: &TestEnv, files: &Path, listener: TcpListener, more: &str) -> Child {
    let exec_path = env.git(["--exec-path"]).out();
    let home = env.path("");
    let config = format!(
        "server.systemd-socket-activation = \"enable\"\nserver.bind = \"127.0.0.1\"\nserver.port = {port}\n\
         server.document-root = \"{origins}\"\nserver.errorlog = \"{log}\"\n\
         server.modules = (\"mod_alias\", \"mod_cgi\", \"mod_setenv\")\n\
         server.stream-request-body = 0\nserver.stream-response-body = 1\n\
         alias.url = (\"/\" => \"{exec_path}/git-http-backend/\")\ncgi.assign = (\"\" => \"\")\n\
         setenv.set-environment = (\"GIT_PROJECT_ROOT\" => \"{origins}\", \"GIT_HTTP_EXPORT_ALL\" => \"1\",\n\
         \"REMOTE_USER\" => \"tester\", \"GIT_CONFIG_NOSYSTEM\" => \"1\", \"HOME\" => \"{home}\",\n\
         \"GIT_CONFIG_GLOBAL\" => \"{home}/gitconfig\", \"PATH\" => \"/usr/local/bin:/usr/bin:/bin\")\n{more}",
        port = listener.local_addr().expect("the bound address").port(),
        origins = env.origins().display(),
        log = files.join("log").display(),
        home = home.display()
    );
    std::fs::write(files.join("lighttpd.conf"), config).expect("write lighttpd.conf");
    std::fs::set_permissions(files, Permissions::from_mode(0o755)).expect("open the folder");
    let mut command = Command::new("sh");
    clean(&mut command, &home);
    let script = "exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec lighttpd -D -f \"$1\"";
    command.args(["-c", script, "sh"]).arg(files.join("lighttpd.conf")).process_group(0);
    command.stdin(OwnedFd::from(listener)).stdout(Stdio::null());
    command.stderr(File::create(files.join("stderr")).expect("make a log"));
    command.spawn().expect("start lighttpd")
}

/// Makes a CA and a certificate for 127.0.0.1, and the lines that make lighttpd use it.
fn certify(env: &TestEnv, files: &Path) -> String {
    let openssl = |arguments: &str| {
        let mut openssl = env.command("openssl");
        run(openssl.current_dir(files).args(arguments.split(' '))).out();
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!("req -x509 {key} -days 2 -subj /CN=ca -keyout ca.key -out ca.pem"));
    openssl(&format!(
        "req -new {key} -subj /CN=server -addext subjectAltName=IP:127.0.0.1 -keyout key -out csr"
    ));
    openssl("x509 -req -in csr -CA ca.pem -CAkey ca.key -days 2 -copy_extensions copyall -out pem");
    let both = ["pem", "key"].map(|file| std::fs::read(files.join(file)).expect("read it back"));
    std::fs::write(files.join("both"), both.concat()).expect("write the certificate");
    format!(
        "server.modules += (\"mod_openssl\")\nssl.engine = \"enable\"\nssl.pemfile = \"{}/both\"\n",
        files.display()
    )
}

fn user() -> String {
    let name = Command::new("id").arg("-un").output().expect("run id").stdout;
    String::from_utf8_lossy(&name).trim().to_owned()
}
