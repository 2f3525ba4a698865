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

    /// All that is shown until it ends.
    fn rest(mut self) -> (String, Option<i32>) {
        while let Ok(bytes) = self.screen.recv_timeout(DEADLINE) {
            self.seen.extend(bytes);
        }
        (String::from_utf8_lossy(&self.seen).into_owned(), self.end())
    }

    /// The `bottle` in it.
    fn bottle(&self) -> u32 {
        let python = self.child.id();
        let path = format!("/proc/{python}/task/{python}/children");
        let mut pid = None;
        crate::kit::await_that("python starts bottle", || {
            let children = std::fs::read_to_string(&path).unwrap_or_default();
            // What else is started is the shell's way to python.
            pid = children
                .split_whitespace()
                .find(|pid| {
                    std::fs::read_to_string(format!("/proc/{pid}/comm"))
                        .is_ok_and(|it| it == "bottle\n")
                })
                .and_then(|pid| pid.parse().ok());
            pid.is_some()
        });
        pid.expect("it was waited for")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Without its terminal a `bottle` hangs up, also a stopped one.
        drop(self.child.kill());
        drop(self.child.wait());
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

/// The steps a launch shows when it is over with them.
const STEPS: [&str; 4] = [
    "images",
    "networks",
    "containers",
    "self-test: the sidecars are ready, and nothing else is reached",
];

/// `STEP  1.2s`
fn is_step(line: &str) -> bool {
    let time = STEPS.iter().find_map(|step| line.strip_prefix(step)?.strip_prefix("  "));
    time.and_then(|time| time.strip_suffix('s')).is_some_and(|time| time.parse::<f32>().is_ok())
}

#[test]
fn a_terminal_shows_a_spinner_with_the_time_and_a_pipe_lines() {
    const COLUMNS: u16 = 100;
    let Some(mut bench) = Bench::new("t-spinner") else { return };
    bench.script("echo the agent");
    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    bench.variables =
        vec![variable("TERM", "xterm"), variable("BOTTLE_STOP_AFTER", "start pipelock")];
    let terminal = Terminal::open(&bench, &["run", bench.name], 24, COLUMNS);
    let bottle = terminal.bottle();
    crate::kit::await_that("start pipelock", || crate::kit::is_stopped(bottle));
    // Held for more than a second, so that the time has to go on.
    let began = Instant::now();
    crate::kit::await_that("a second passes", || began.elapsed() > Duration::from_millis(1100));
    let pid = rustix::process::Pid::from_raw(bottle.cast_signed()).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).expect("it is ours");
    let (screen, code) = terminal.rest();
    assert_eq!(code, Some(0), "{screen}");
    let shown = console::strip_ansi_codes(&screen);
    // What stays is written over the whole line, and the spinner goes on in the next one.
    let lines: Vec<String> = shown
        .split(['\r', '\n'])
        .flat_map(|text| {
            let text: Vec<char> = text.chars().collect();
            text.chunks(COLUMNS.into()).map(|it| it.iter().collect::<String>()).collect::<Vec<_>>()
        })
        .map(|line| line.trim_end().to_owned())
        .collect();
    for step in STEPS {
        assert!(
            lines.iter().any(|line| line.starts_with(step) && is_step(line)),
            "{step}: {screen:?}"
        );
    }
    // `⠁ containers 1s`: a glyph, what runs, for how long.
    let spun = |step: &str| -> Vec<(&str, &str)> {
        let parts = lines.iter().filter_map(|line| line.split_once(' '));
        let mut spun: Vec<_> = parts
            .filter(|(glyph, _)| glyph.chars().count() == 1 && !glyph.is_ascii())
            .filter_map(|(glyph, rest)| Some((glyph, rest.strip_prefix(step)?.trim_start())))
            .collect();
        spun.dedup();
        spun
    };
    let glyphs: std::collections::HashSet<&str> =
        spun(STEPS[3]).iter().map(|(glyph, _)| *glyph).collect();
    assert!(glyphs.len() > 1, "it turns: {screen:?}");
    assert!(
        spun("containers").iter().any(|(_, time)| *time == "1s" || *time == "2s"),
        "{screen:?}"
    );
    assert!(shown.ends_with("the agent\r\n"), "{screen:?}");

    // A terminal that can't move its cursor, and no terminal.
    bench.variables = vec![variable("TERM", "dumb")];
    let (dumb, code) = Terminal::open(&bench, &["run", bench.name], 24, COLUMNS).rest();
    assert_eq!(code, Some(0), "{dumb}");
    let piped = bench.run();
    for text in [dumb.strip_suffix("the agent\r\n").unwrap_or_default(), &piped.err] {
        assert!(text.lines().all(is_step) && text.lines().count() == STEPS.len(), "{text:?}");
    }
}
