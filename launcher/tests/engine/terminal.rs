//! The agent's terminal is the person's: byte for byte, in its size, left and taken up again.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::kit::Bench;

/// A terminal with a `bottle` in it.
struct Terminal {
    screen: File,
    child: Child,
    seen: Vec<u8>,
}

const DEADLINE: Duration = Duration::from_secs(60);

impl Terminal {
    fn open(bench: &Bench, arguments: &[&str], rows: u16, columns: u16) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&master).expect("a terminal");
        unlockpt(&master).expect("a terminal");
        let name = ptsname(&master, Vec::new()).expect("a terminal has a name");
        let name = name.to_str().expect("in ASCII").to_owned();
        let screen = File::from(master);
        let slave = OpenOptions::new().read(true).write(true).open(name).expect("its other side");
        resize(&screen, rows, columns);
        let bottle = bench.command(arguments);
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait"]).arg(bottle.get_program()).args(bottle.get_args());
        command.env_clear();
        for (key, value) in bottle.get_envs() {
            command.env(key, value.expect("only set ones"));
        }
        let side = || slave.try_clone().expect("a file");
        let child = command.stdin(side()).stdout(side()).stderr(side()).spawn().expect("setsid");
        Self { screen, child, seen: Vec::new() }
    }

    /// Reads until the words stand on the screen, and forgets all up to there.
    fn expect(&mut self, words: &[u8]) -> Vec<u8> {
        let until = Instant::now() + DEADLINE;
        loop {
            if let Some(at) = self.seen.windows(words.len()).position(|window| window == words) {
                let rest = self.seen.split_off(at + words.len());
                return std::mem::replace(&mut self.seen, rest);
            }
            let seen = String::from_utf8_lossy(&self.seen).into_owned();
            assert!(
                Instant::now() < until,
                "{:?} never came: {seen}",
                String::from_utf8_lossy(words)
            );
            assert!(self.read(), "the terminal closed before {words:?}: {seen}");
        }
    }

    fn read(&mut self) -> bool {
        let mut fds = [PollFd::new(&self.screen, PollFlags::IN)];
        let second = Timespec { tv_sec: 1, tv_nsec: 0 };
        if rustix::event::poll(&mut fds, Some(&second)).expect("poll") == 0 {
            return true;
        }
        let mut buffer = [0; 4096];
        // Linux answers EIO when the other side is closed.
        let count = self.screen.read(&mut buffer).unwrap_or(0);
        self.seen.extend_from_slice(&buffer[..count]);
        count > 0
    }

    fn type_in(&mut self, bytes: &[u8]) {
        self.screen.write_all(bytes).expect("it is open");
    }

    fn end(mut self) -> Option<i32> {
        while self.read() {}
        self.child.wait().expect("it ends").code()
    }
}

fn resize(screen: &File, rows: u16, columns: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(screen, size).expect("a terminal has a size");
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
    resize(&terminal.screen, 40, 120);
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
