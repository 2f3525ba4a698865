//! What lies outside of a bottle: an origin behind sshd, and an API by TLS whose name only we know.

use std::io::Read as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::kit::succeed;

/// The host as containers see it: docker0's address, which the agent's network must not reach.
pub(crate) fn host() -> String {
    let shown = succeed(Command::new("ip").args(["-4", "-o", "addr", "show", "docker0"]));
    let address = shown.split_whitespace().skip_while(|word| *word != "inet").nth(1);
    let address = address.and_then(|address| address.split('/').next());
    address.expect("the engine has its default bridge").to_owned()
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A real origin: a bare repository behind a real sshd.
pub(crate) struct Origin {
    _sshd: Server,
    pub(crate) repository: PathBuf,
    pub(crate) url: String,
    pub(crate) host_key: String,
    pub(crate) identity: PathBuf,
}

pub(crate) fn origin(folder: &Path, host: &str) -> Origin {
    let path = |name: &str| folder.join(name);
    let text = |path: &Path| path.to_str().expect("ASCII").to_owned();
    for key in ["host", "client"] {
        let key = text(&path(key));
        succeed(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", &key]));
    }
    std::fs::copy(path("client.pub"), path("authorized")).expect("a file");
    let repository = path("app.git");
    let work = path("seed");
    let git = |words: &[&str]| succeed(Command::new("git").current_dir(folder).args(words));
    git(&["init", "-q", "--bare", "-b", "main", &text(&repository)]);
    git(&["init", "-q", "-b", "main", &text(&work)]);
    std::fs::write(work.join("file"), "first\n").expect("a file");
    let seed = |words: &[&str]| {
        let me = ["-c", "user.name=t", "-c", "user.email=t@example.com"];
        succeed(Command::new("git").current_dir(&work).args(me).args(words))
    };
    seed(&["add", "."]);
    seed(&["commit", "-qm", "first"]);
    seed(&["push", "-q", &text(&repository), "main"]);
    let port = free_port(host);
    let config = format!(
        "Port {port}\nListenAddress {host}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\n\
         PermitRootLogin prohibit-password\nPasswordAuthentication no\nUsePAM no\n",
        text(&path("host")),
        text(&path("authorized")),
    );
    std::fs::write(path("sshd_config"), config).expect("a file");
    std::fs::create_dir_all("/run/sshd").expect("we are root");
    let sshd = Command::new("/usr/sbin/sshd")
        .args(["-D", "-e", "-f", &text(&path("sshd_config"))])
        .stderr(Stdio::null())
        .spawn()
        .expect("openssh-server is installed");
    let host_key = std::fs::read_to_string(path("host.pub")).expect("a key");
    Origin {
        _sshd: Server(sshd),
        url: format!("ssh://root@git.internal:{port}{}", text(&repository)),
        repository,
        host_key: host_key.split_whitespace().take(2).collect::<Vec<_>>().join(" "),
        identity: path("client"),
    }
}

fn free_port(host: &str) -> u16 {
    let listener = TcpListener::bind((host, 0)).expect("an address of this host");
    listener.local_addr().expect("it is bound").port()
}

/// An API by real TLS, `api.test`, whose name only a name server of ours knows.
pub(crate) struct Api {
    _servers: [Server; 2],
    pub(crate) seen: PathBuf,
    pub(crate) url: String,
    pub(crate) ca: PathBuf,
}

pub(crate) fn api(folder: &Path, host: &str, program: &str) -> Api {
    let text = |name: &str| folder.join(name).to_str().expect("ASCII").to_owned();
    let openssl = |words: &[&str]| succeed(Command::new("openssl").args(words));
    let (ca, ca_key, key) = (text("ca.pem"), text("ca.key"), text("api.key"));
    openssl(&[
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=test CA",
        "-keyout",
        &ca_key,
        "-out",
        &ca,
    ]);
    openssl(&[
        "req",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-subj",
        "/CN=api.test",
        "-keyout",
        &key,
        "-out",
        &text("api.csr"),
    ]);
    std::fs::write(folder.join("san"), "subjectAltName=DNS:api.test\n").expect("a file");
    openssl(&[
        "x509",
        "-req",
        "-days",
        "2",
        "-in",
        &text("api.csr"),
        "-CA",
        &ca,
        "-CAkey",
        &ca_key,
        "-CAcreateserial",
        "-extfile",
        &text("san"),
        "-out",
        &text("api.pem"),
    ]);
    let seen = folder.join("seen");
    let port = free_port(host).to_string();
    let mut https = python(program, &[host, &port, &text("api.pem"), &key, &text("seen")]);
    let mut dns = python(DNS, &[host]);
    for server in [&mut https, &mut dns] {
        let mut word = [0; 6];
        let out = server.0.stdout.as_mut().expect("it is piped");
        out.read_exact(&mut word).expect("it says that it is ready");
    }
    let url = format!("https://api.test:{port}");
    Api { _servers: [https, dns], seen, url, ca: ca.into() }
}

fn python(program: &str, arguments: &[&str]) -> Server {
    let child = Command::new("python3")
        .args(["-c", program])
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is installed");
    Server(child)
}

pub(crate) const HTTPS: &str = r#"
import http.server, ssl, sys
host, port, cert, key, seen = sys.argv[1:]
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        open(seen, "a").write(self.path + "\n" + str(self.headers))
        body = b"hello from the api\n"
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *a): pass
s = http.server.ThreadingHTTPServer((host, int(port)), H)
c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); c.load_cert_chain(cert, key)
s.socket = c.wrap_socket(s.socket, server_side=True)
print("ready", flush=True)
s.serve_forever()
"#;

/// Knows one name: api.test is this host.
const DNS: &str = r#"
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind((sys.argv[1], 53))
print("ready", flush=True)
while True:
    q, who = s.recvfrom(1500)
    end = q.index(b"\0", 12) + 5
    a = q[12:end] == b"\x03api\x04test\x00\x00\x01\x00\x01"
    answer = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04" + socket.inet_aton(sys.argv[1]) if a else b""
    flags = b"\x81\x80" if a or q[12:end].startswith(b"\x03api\x04test\x00") else b"\x81\x83"
    s.sendto(q[:2] + flags + b"\0\1" + (b"\0\1" if a else b"\0\0") + b"\0\0\0\0" + q[12:end] + answer, who)
"#;
