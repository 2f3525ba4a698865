//! An origin that takes long over a first mirror, or over what is new: who waits hears of it where the protocol lets the gate
//! speak, and who gives up ends nothing.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};

use crate::env::TestEnv;
use crate::gate::{Door, Gate};
use crate::hostile::{Hostile, Trick, hear, noise};
use crate::origin::Origin;
use crate::pkt;

/// The origin stops in the middle of a pack until the sender is dropped; the receiver hears when it does.
fn paused(hostile: &Hostile) -> (Receiver<()>, SyncSender<()>) {
    let ((told, stopped), (release, hold)) = (sync_channel(1), sync_channel(0));
    hostile.now(Trick::Pause(100_000, told, Arc::new(Mutex::new(hold))));
    (stopped, release)
}

fn with_gate(test: impl FnOnce(&TestEnv, &Origin<'_>, &Hostile, &Gate<'_>)) {
    let env = TestEnv::new();
    let origin = Origin::sample(&env, "app");
    let hostile = Hostile::start(&env);
    let config = hostile.config(&env, "[limits]\nkeepalive = \"100ms\"\n");
    let gate = Gate::start(&env, "data", &config);
    test(&env, &origin, &hostile, &gate);
}

fn start(env: &TestEnv, url: &str, said: &str) -> Child {
    let mut client = env.command("git");
    client.args(["ls-remote", url]).stdout(Stdio::piped());
    client.stderr(File::create(env.path(said)).expect("make a file"));
    client.spawn().expect("start a client")
}

/// Ends the client and its children: `timeout`, which runs it, passes this on to them all.
fn give_up(client: &mut Child) {
    kill_process(Pid::from_child(client), Signal::TERM).expect("end the client");
    client.wait().expect("wait for the client");
}

/// Waits until a file says a word.
fn wait_for(env: &TestEnv, file: &str, word: &str) {
    let mut tail = Command::new("timeout");
    let script = "tail -n +1 -F \"$1\" 2>/dev/null | grep -q -m1 -- \"$2\"";
    tail.args(["20", "sh", "-c", script, "sh"]).arg(env.path(file)).arg(word);
    let found = tail.status().expect("follow the file").success();
    let text = std::fs::read_to_string(env.path(file)).unwrap_or_default();
    assert!(found, "{file} never said {word}:\n{text}");
}

#[test]
fn a_first_mirror_is_logged_told_over_ssh_and_outlives_who_gave_up() {
    with_gate(|env, origin, hostile, gate| {
        origin.commit_files("main", &[("blob", &noise(400_000))]);
        let (stopped, release) = paused(hostile);
        let mut gives_up = start(env, &gate.url(Door::Git, "app"), "gives-up");
        hear(&stopped);
        hostile.now(Trick::None);
        let served = hostile.served();
        gate.wait_for_log("KiB received");
        give_up(&mut gives_up);
        let patient = start(env, &gate.url(Door::Ssh, "app"), "patient");
        wait_for(env, "patient", "git-gate: mirroring the origin: .* KiB received");
        drop(release);
        let listed = patient.wait_with_output().expect("wait for the client");
        assert_eq!(String::from_utf8_lossy(&listed.stdout).trim_end(), origin.listing());
        assert!(hostile.served() > served, "the first conversation came to its own end");
        let log = gate.log();
        assert_eq!(log.matches("fetched=true").count(), 1, "one pack was enough:\n{log}");
    });
}

#[test]
fn an_http_client_that_gives_up_leaves_its_place_to_others() {
    with_gate(|env, origin, hostile, gate| {
        origin.commit_files("main", &[("blob", &noise(400_000))]);
        let (stopped, release) = paused(hostile);
        let mut gives_up = start(env, &gate.url(Door::Http, "app"), "gives-up");
        stopped.recv().expect("the origin stops");
        hostile.now(Trick::None);
        give_up(&mut gives_up);
        gate.wait_for_log("the client went away");
        drop(release);
        assert_eq!(env.git(["ls-remote", &gate.url(Door::Http, "app")]).out(), origin.listing());
        let log = gate.log();
        assert_eq!(log.matches("fetched=true").count(), 1, "one pack was enough:\n{log}");
    });
}

#[test]
fn a_fetch_that_waits_for_the_origin_hears_of_it_in_its_sideband() {
    with_gate(|env, origin, hostile, gate| {
        env.git(["ls-remote", &gate.url(Door::Http, "app")]).out();
        let tip = origin.commit_files("main", &[("blob", &noise(400_000))]);
        let (_stopped, release) = paused(hostile);
        let body = [
            &pkt::line("command=fetch")[..],
            b"0001",
            &pkt::line("sideband-all"),
            &pkt::line(format!("want {tip}")),
            &pkt::line("done"),
            b"0000",
        ]
        .concat();
        let head = format!(
            "POST /app.git/git-upload-pack HTTP/1.1\r\nHost: gate\r\nGit-Protocol: version=2\r\n\
             Content-Type: application/x-git-upload-pack-request\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        // a session opened before the trick is honest, and may bring the pack sooner than there is anything to tell
        let mut answer = Vec::new();
        for _ in 0..3 {
            let mut stream = pkt::connect(gate.addr(Door::Http));
            stream.write_all(&[head.as_bytes(), &body].concat()).expect("ask");
            answer = until(&mut stream, b"KiB received");
            if answer.ends_with(b"KiB received") {
                break;
            }
            origin.commit_files("main", &[("blob", &noise(400_001))]);
        }
        let text = String::from_utf8_lossy(&answer).into_owned();
        assert!(text.contains("\u{2}mirroring the origin: "), "{text}");
        hostile.now(Trick::None);
        drop(release);
    });
}

/// Reads until the bytes end in `word`, or end.
fn until(stream: &mut impl Read, word: &[u8]) -> Vec<u8> {
    let (mut read, mut byte) = (Vec::new(), [0]);
    while !read.ends_with(word) && stream.read(&mut byte).expect("read on") > 0 {
        read.push(byte[0]);
    }
    read
}
