//! An origin made of real git and of malice.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::env::{TestEnv, clean};
use crate::gate;
use crate::pkt;
use crate::servers::{Kind, Server};

/// What the origin does to one connection.
#[derive(Clone)]
pub(crate) enum Trick {
    /// Real git daemon, but the connection ends after so many bytes of its answer.
    Cut(usize),
    /// As `Cut`, but only pushes are cut: what is read goes through.
    CutPush(usize),
    /// Real git daemon, but one byte of its answer is another.
    Flip(usize),
    /// Says this and closes.
    Say(Vec<u8>),
    /// Real git daemon, but after so many bytes nothing more comes; says so on the channel.
    Stall(usize, SyncSender<()>),
    /// As `Stall`, but only pushes are held up.
    StallPush(usize, SyncSender<()>),
    /// Real git daemon, but after so many bytes nothing more comes until the other end of the second channel is dropped;
    /// says so on the first.
    Pause(usize, SyncSender<()>, Arc<Mutex<Receiver<()>>>),
    /// Lists a ref, and sends a pack that does not hold it.
    WrongPack {
        tip: String,
        pack: Vec<u8>,
    },
    None,
}

pub(crate) struct Hostile {
    pub(crate) addr: SocketAddr,
    trick: Arc<Mutex<Trick>>,
    served: Arc<AtomicUsize>,
}

impl Hostile {
    pub(crate) fn start(env: &TestEnv) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind a loopback port");
        let addr = listener.local_addr().expect("its address");
        let trick = Arc::new(Mutex::new(Trick::None));
        let served = Arc::new(AtomicUsize::new(0));
        let (inside, count) = (Arc::clone(&trick), Arc::clone(&served));
        let (home, origins) = (env.path(""), env.origins());
        // The thread lives as long as the test process; it holds nothing but the socket.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let trick = inside.lock().expect("no holder panics").clone();
                let (home, origins, count) = (home.clone(), origins.clone(), Arc::clone(&count));
                std::thread::spawn(move || {
                    // A peer that closes early is expected here: errors end the connection and nothing else.
                    play(stream, &trick, &home, &origins).ok();
                    count.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Self { addr, trick, served }
    }

    /// A config whose every repository lies behind this origin.
    pub(crate) fn config(&self, env: &TestEnv, more: &str) -> String {
        let files = Server::start(env, Kind::File);
        let folder = format!("file://{}/", env.origins().display());
        gate::config(env, "data", &files, more).replace(&folder, &format!("git://{}/", self.addr))
    }

    /// Connections that came to their end.
    pub(crate) fn served(&self) -> usize {
        self.served.load(Ordering::SeqCst)
    }

    pub(crate) fn now(&self, trick: Trick) {
        *self.trick.lock().expect("no holder panics") = trick;
    }
}

fn play(
    mut stream: TcpStream,
    trick: &Trick,
    home: &std::path::Path,
    origins: &std::path::Path,
) -> std::io::Result<()> {
    match trick {
        Trick::Say(bytes) => {
            pkt::read(&mut stream)?;
            stream.write_all(bytes)
        }
        Trick::WrongPack { tip, pack } => wrong_pack(&mut stream, tip, pack),
        Trick::Cut(_)
        | Trick::CutPush(_)
        | Trick::Flip(_)
        | Trick::Stall(..)
        | Trick::StallPush(..)
        | Trick::Pause(..)
        | Trick::None => {
            let mut start = [0; 20];
            let cuts_pushes = matches!(trick, Trick::CutPush(_) | Trick::StallPush(..));
            let pushes = cuts_pushes
                && stream.peek(&mut start)? == 20
                && start.ends_with(b"git-receive-pack");
            let mut daemon = std::process::Command::new("git");
            clean(&mut daemon, home);
            daemon.args([
                "daemon",
                "--inetd",
                "--export-all",
                "--informative-errors",
                "--enable=receive-pack",
            ]);
            daemon.arg(format!("--base-path={}", origins.display()));
            daemon
                .stdin(std::os::fd::OwnedFd::from(stream.try_clone()?))
                .stdout(Stdio::piped())
                .stderr(Stdio::null());
            let mut daemon = daemon.spawn()?;
            let mut output = daemon.stdout.take().expect("its output");
            let (mut buffer, mut sent) = (vec![0; 16 << 10], 0);
            loop {
                let mut n = output.read(&mut buffer)?;
                if let Trick::Flip(at) = trick
                    && (sent..sent + n).contains(at)
                {
                    buffer[at - sent] ^= 0x41;
                }
                match trick {
                    Trick::Cut(at) => n = n.min(at - sent),
                    Trick::CutPush(at) if pushes => n = n.min(at - sent),
                    _ => {}
                }
                let stall = match trick {
                    Trick::Stall(at, told) => Some((at, told)),
                    Trick::StallPush(at, told) if pushes => Some((at, told)),
                    _ => None,
                };
                if let Some((at, told)) = stall
                    && sent + n > *at
                {
                    stream.write_all(&buffer[..at - sent])?;
                    told.try_send(()).ok();
                    // Until the other side goes away.
                    while stream.read(&mut buffer)? > 0 {}
                    break;
                }
                if let Trick::Pause(at, told, hold) = trick
                    && sent + n > *at
                    && told.try_send(()).is_ok()
                {
                    let hold = hold.lock().expect("no holder panics");
                    assert!(hold.recv().is_err(), "nothing is ever sent");
                }
                if n == 0 || stream.write_all(&buffer[..n]).is_err() {
                    break;
                }
                sent += n;
                // The end is there as soon as it is reached, not when more would come.
                let end = match trick {
                    Trick::Cut(at) => Some(*at),
                    Trick::CutPush(at) if pushes => Some(*at),
                    _ => None,
                };
                if end.is_some_and(|end| sent >= end) {
                    break;
                }
            }
            stream.shutdown(std::net::Shutdown::Both).ok();
            drop(output);
            daemon.kill().ok();
            daemon.wait().map(drop)
        }
    }
}

fn wrong_pack(stream: &mut TcpStream, tip: &str, pack: &[u8]) -> std::io::Result<()> {
    pkt::read(stream)?;
    let mut advertisement = Vec::new();
    for capability in ["version 2\n", "ls-refs\n", "fetch=shallow\n", "object-format=sha1\n"] {
        advertisement.extend(pkt::line(capability));
    }
    stream.write_all(&[&advertisement, &b"0000"[..]].concat())?;
    while let Ok(request) = pkt::read_section(stream) {
        // A v2 request has a delimiter: its arguments are a section of their own up to the flush.
        let command = request.first().cloned().unwrap_or_default();
        if command.starts_with(b"command=ls-refs") {
            drop(pkt::read_section(stream)?);
            let line = pkt::line(format!("{tip} refs/heads/main\n"));
            stream.write_all(&[&line, &b"0000"[..]].concat())?;
        } else if command.starts_with(b"command=fetch") {
            drop(pkt::read_section(stream)?);
            let band = pkt::line([b"\x01", pack].concat());
            stream.write_all(&[&pkt::line("packfile\n"), &band, &b"0000"[..]].concat())?;
        }
    }
    Ok(())
}

/// Waits until a trick is played. One that never is fails the test rather than holds it up.
pub(crate) fn hear(played: &Receiver<()>) {
    played.recv_timeout(Duration::from_secs(100)).expect("the origin plays its trick");
}

/// Bytes no compression shortens, the same each time.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64 ^ length as u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    })
    .take(length)
    .collect()
}
