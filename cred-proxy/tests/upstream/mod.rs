//! The TLS server, the egress proxy and the process under test.

use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A TLS server on loopback that knows a handful of paths and keeps every request's head.
pub(crate) struct Upstream {
    address: SocketAddr,
    ca: String,
    requests: Arc<Mutex<Vec<String>>>,
    release: SyncSender<()>,
}

impl Upstream {
    pub(crate) fn start() -> Self {
        let upstream_key = rcgen::generate_simple_self_signed(vec!["localhost".into()])
            .expect("make a certificate");
        let ca = upstream_key.cert.pem();
        let key = PrivateKeyDer::try_from(upstream_key.signing_key.serialize_der()).expect("a key");
        let tls =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .expect("versions")
                .with_no_client_auth()
                .with_single_cert(vec![upstream_key.cert.der().clone()], key)
                .expect("a server config");
        let tls = Arc::new(tls);
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = listener.local_addr().expect("address");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (release, released) = sync_channel(1);
        let released = Arc::new(Mutex::new(released));
        let seen = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (tls, seen, released) =
                    (Arc::clone(&tls), Arc::clone(&seen), Arc::clone(&released));
                thread::spawn(move || {
                    let connection = ServerConnection::new(tls).expect("a server connection");
                    // a client that hangs up or does not trust us ends only its own thread
                    drop(serve(StreamOwned::new(connection, stream), &seen, &released));
                });
            }
        });
        Self { address, ca, requests, release }
    }

    /// An address at which nothing listens.
    pub(crate) fn nobody() -> Self {
        let mut upstream = Self::start();
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        upstream.address = listener.local_addr().expect("address");
        upstream
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("requests").clone()
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Lets `/events` send its second event.
    pub(crate) fn release(&self) {
        self.release.send(()).expect("release the second event");
    }
}

fn serve(
    stream: StreamOwned<ServerConnection, TcpStream>,
    seen: &Mutex<Vec<String>>,
    released: &Mutex<Receiver<()>>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    seen.lock().expect("requests").push(head.clone());
    let length = head
        .lines()
        .find_map(|line| {
            line.to_ascii_lowercase().strip_prefix("content-length: ").and_then(|n| n.parse().ok())
        })
        .unwrap_or(0_u64);
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let answer = |text: &str, stream: &mut BufReader<StreamOwned<ServerConnection, TcpStream>>| {
        stream.get_mut().write_all(text.as_bytes())?;
        stream.get_mut().flush()
    };
    if path.contains("/events") {
        answer(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\ndata: first\n\n",
            &mut stream,
        )?;
        released.lock().expect("release").recv().expect("the test releases it");
        answer("data: second\n\n", &mut stream)?;
    } else if path.contains("/count") {
        let counted =
            std::io::copy(&mut Read::by_ref(&mut stream).take(length), &mut std::io::sink())?
                .to_string();
        answer(
            &format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{counted}",
                counted.len()
            ),
            &mut stream,
        )?;
    } else if path.contains("/redirect") {
        answer(
            "HTTP/1.1 302 Found\r\nLocation: https://elsewhere.invalid/\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            &mut stream,
        )?;
    } else {
        let mut body = String::new();
        Read::by_ref(&mut stream).take(length).read_to_string(&mut body)?;
        answer(
            &format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            ),
            &mut stream,
        )?;
    }
    stream.get_mut().conn.send_close_notify();
    stream.get_mut().flush()
}

/// An HTTP proxy that opens tunnels, or refuses them in the words of the real firewall.
pub(crate) struct Egress {
    pub(crate) address: SocketAddr,
    targets: Arc<Mutex<Vec<String>>>,
}

impl Egress {
    pub(crate) fn start(open: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = listener.local_addr().expect("address");
        let targets = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&targets);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let seen = Arc::clone(&seen);
                thread::spawn(move || drop(Self::tunnel(&stream, open, &seen)));
            }
        });
        Self { address, targets }
    }

    fn tunnel(stream: &TcpStream, open: bool, seen: &Mutex<Vec<String>>) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
        seen.lock().expect("targets").push(target.clone());
        if !open {
            let body = "CONNECT blocked: domain not in allowlist: localhost\n";
            let length = body.len();
            return (&*stream).write_all(
                format!("HTTP/1.1 403 Forbidden\r\nContent-Length: {length}\r\n\r\n{body}")
                    .as_bytes(),
            );
        }
        let upstream = TcpStream::connect(target.replace("localhost", "127.0.0.1"))?;
        (&*stream).write_all(b"HTTP/1.1 200 Connection Established\r\n\r\n")?;
        let (back_from, back_to) = (upstream.try_clone()?, stream.try_clone()?);
        thread::spawn(move || std::io::copy(&mut &back_from, &mut &back_to));
        std::io::copy(&mut reader, &mut &upstream)?;
        Ok(())
    }

    pub(crate) fn targets(&self) -> Vec<String> {
        self.targets.lock().expect("targets").clone()
    }
}

/// The process under test, ended when dropped.
pub(crate) struct CredProxy {
    pub(crate) address: SocketAddr,
    child: Child,
    log: PathBuf,
    _folder: tempfile::TempDir,
}

impl CredProxy {
    pub(crate) fn start(
        upstream: &Upstream,
        token: &str,
        scheme: &str,
        egress: Option<SocketAddr>,
    ) -> Self {
        Self::start_between(upstream, upstream, token, scheme, egress)
    }

    /// Trusts the roots of `trusted` and routes to `upstream`.
    pub(crate) fn start_between(
        trusted: &Upstream,
        upstream: &Upstream,
        token: &str,
        scheme: &str,
        egress: Option<SocketAddr>,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).expect("write a file");
            path.display().to_string()
        };
        let (token_file, ca) = (file("token", token), file("ca.pem", &trusted.ca));
        let proxy =
            egress.map_or_else(String::new, |address| format!("proxy = 'http://{address}'\n"));
        let config = file(
            "config.toml",
            &format!(
                "listen = '127.0.0.1:0'\nca_file = '{ca}'\n{proxy}[[routes]]\npath = '/api/'\n\
                 upstream = 'https://localhost:{}/base'\nauth_scheme = '{scheme}'\ntoken_file = '{token_file}'\n",
                upstream.port()
            ),
        );
        let mut child = Command::new(env!("CARGO_BIN_EXE_cred-proxy"))
            .args(["--config", &config])
            .stderr(Stdio::piped())
            .spawn()
            .expect("start cred-proxy");
        let log = folder.path().join("log");
        let mut lines = BufReader::new(child.stderr.take().expect("stderr"));
        let mut ready = String::new();
        lines.read_line(&mut ready).expect("the first line of the log");
        let (_, rest) =
            ready.split_once("\"listen\":\"").unwrap_or_else(|| panic!("not ready: {ready}"));
        let address = rest.split('"').next().expect("an address").parse().expect("an address");
        let mut copy = fs::File::create(&log).expect("a log");
        thread::spawn(move || std::io::copy(&mut lines, &mut copy));
        Self { address, child, log, _folder: folder }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("read the log")
    }

    /// The most memory the process ever held, in KiB.
    pub(crate) fn peak_memory_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))
            .expect("read the status");
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
        line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number")
    }
}

impl Drop for CredProxy {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
