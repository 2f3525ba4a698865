//! The agent's terminal is the person's: byte for byte, in its size, left and taken up again.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use crate::kit::Bench;

/// A terminal with a `bottle` in it.
pub(crate) struct Terminal {
    keyboard: ChildStdin,
    screen: Receiver<Vec<u8>>,
    child: Child,
    seen: Vec<u8>,
}

const DEADLINE: Duration = Duration::from_secs(60);

/// A terminal of its own for a command; ours are its keyboard and screen. SIGUSR1 makes it 40 by 120.
const TERMINAL: &str = r#"
import fcntl, os, pty, signal, struct, subprocess, sys, termios, threading
rows, columns = int(sys.argv[1]), int(sys.argv[2])
master, slave = pty.openpty()
def size(r, c): fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", r, c, 0, 0))
size(rows, columns)
signal.signal(signal.SIGUSR1, lambda *_: size(40, 120))
child = subprocess.Popen(sys.argv[3:], stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
    preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
os.close(slave)
def keys():
    while data := os.read(0, 4096): os.write(master, data)
threading.Thread(target=keys, daemon=True).start()
while True:
    try: data = os.read(master, 4096)
    except OSError: break
    if not data: break
    os.write(1, data)
os._exit(child.wait())
"#;

impl Terminal {
    pub(crate) fn open(bench: &Bench, arguments: &[&str], rows: u16, columns: u16) -> Self {
        let bottle = bench.command(arguments);
        let mut command = Command::new("python3");
        command.args(["-c", TERMINAL, &rows.to_string(), &columns.to_string()]);
        command.arg(bottle.get_program()).args(bottle.get_args()).env_clear();
        for (key, value) in bottle.get_envs() {
            command.env(key, value.expect("only set ones"));
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("python3 is installed");
        let keyboard = child.stdin.take().expect("it is piped");
        let out = child.stdout.take().expect("it is piped");
        Self { keyboard, screen: watch(out), child, seen: Vec::new() }
    }

    /// Reads until the words stand on the screen, and forgets all up to there.
    pub(crate) fn expect(&mut self, words: &[u8]) -> Vec<u8> {
        let until = Instant::now() + DEADLINE;
        loop {
            if let Some(at) = self.seen.windows(words.len()).position(|window| window == words) {
                let rest = self.seen.split_off(at + words.len());
                return std::mem::replace(&mut self.seen, rest);
            }
            match self.screen.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.seen.extend(bytes),
                Err(error) => panic!(
                    "{error}: {:?} never came: {}",
                    String::from_utf8_lossy(words),
                    String::from_utf8_lossy(&self.seen)
                ),
            }
        }
    }

    pub(crate) fn type_in(&mut self, bytes: &[u8]) {
        self.keyboard.write_all(bytes).expect("it is open");
    }

    fn resize(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::USR1).expect("it is ours");
    }

    pub(crate) fn end(mut self) -> Option<i32> {
        self.child.wait().expect("it ends").code()
    }
}

fn watch(mut out: ChildStdout) -> Receiver<Vec<u8>> {
    let (sender, receiver) = sync_channel(1024);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = out.read(&mut buffer) {
            if sender.send(buffer[..count].to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}

#[test]
fn every_byte_passes_both_ways_and_the_size_is_right_from_the_start() {
    let Some(bench) = Bench::new("t-tty") else { return };
    // What goes in: all bytes, downwards (upwards, ctrl-p ctrl-q would leave). What comes out: all bytes.
    bench.script(
        "stty size; stty raw -echo; echo ready; head -c 256 | sha256sum; \
         i=0; while [ $i -lt 256 ]; do printf \"\\\\$(printf %03o $i)\"; i=$((i+1)); done; echo done; \
         head -c 1 >/dev/null; stty size; exit 3",
    );
    let mut terminal = Terminal::open(&bench, &["run", "-q", bench.name], 33, 97);
    terminal.expect(b"33 97\r\n");
    terminal.expect(b"ready");
    terminal.expect(b"\n");
    let all: Vec<u8> = (0..=255).rev().collect();
    terminal.type_in(&all);
    let digest: String = {
        use sha2::Digest as _;
        sha2::Sha256::digest(&all).iter().map(|byte| format!("{byte:02x}")).collect()
    };
    terminal.expect(digest.as_bytes());
    terminal.expect(b"  -\n");
    let mut out = terminal.expect(b"done");
    out.truncate(out.len() - 4);
    assert_eq!(out, (0..=255).collect::<Vec<u8>>());
    terminal.resize();
    crate::kit::await_that("the new size arrives", || {
        let ran = bench.bottle(&["exec", bench.name, "sh", "-c", "stty size </proc/1/fd/0"]);
        ran.out.trim() == "40 120"
    });
    terminal.type_in(b"x");
    terminal.expect(b"40 120");
    assert_eq!(terminal.end(), Some(3));
    assert_eq!(bench.left(), Vec::<String>::new());
}

#[test]
fn it_is_left_and_taken_up_again() {
    let Some(bench) = Bench::new("t-detach") else { return };
    bench.script("echo hello; while read word; do echo got $word; [ $word = bye ] && exit 9; done");
    let mut terminal = Terminal::open(&bench, &["run", "-q", bench.name], 24, 80);
    terminal.expect(b"hello\r\n");
    // Alone, ctrl-p is the agent's.
    terminal.type_in(b"\x10one\r");
    terminal.expect(b"got \x10one");
    terminal.type_in(b"\x10\x11");
    terminal.expect(b"bottle attach t-detach takes up its terminal");
    assert_eq!(terminal.end(), Some(0));
    let mut again = Terminal::open(&bench, &["attach", bench.name], 24, 80);
    again.type_in(b"two\r");
    again.expect(b"got two");
    again.type_in(b"bye\r");
    again.expect(b"got bye");
    assert_eq!(again.end(), Some(9));
    assert_eq!(bench.left(), Vec::<String>::new());
}
