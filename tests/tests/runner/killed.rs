//! kill -9 of the gate at each step of a push: nothing is lost, nothing half-visible, and the next gate heals.

use std::io::Write;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::mpsc::sync_channel;

use crate::env::TestEnv;
use crate::gate::{self, Door, Gate};
use crate::held::Held;
use crate::hostile::{Hostile, Trick, hear};
use crate::origin::Origin;
use crate::pkt;
use crate::push_verdict::commit;
use crate::servers::{Kind, Server};

/// A gate of one config before a sample origin, and a clone in `work` with a commit to push.
struct Scene<'e> {
    env: &'e TestEnv,
    origin: Origin<'e>,
    config: String,
    old: String,
    new: String,
}

impl<'e> Scene<'e> {
    fn new(env: &'e TestEnv, config: String) -> (Self, Gate<'e>) {
        let origin = Origin::sample(env, "app");
        let gate = Gate::start(env, "data", &config);
        env.git(["clone", "-q", &gate.url(Door::Git, "app"), "work"]).out();
        commit(env, "work", "file", &"the agent's line, one of many\n".repeat(20_000));
        let new = env.git_in("work", ["rev-parse", "HEAD"]).out();
        let old = origin.tip("main");
        (Self { env, origin, config, old, new }, gate)
    }

    fn push(&self, gate: &Gate<'_>) -> Child {
        let mut client = self.env.command("git");
        client.args(["-C", "work", "push", "-q", &gate.url(Door::Git, "app"), "main"]);
        client.stderr(Stdio::null()).spawn().expect("start a client")
    }

    /// A push of bytes over git://, as far as its commands; the pack comes with it.
    fn open(&self, gate: &Gate<'_>) -> (TcpStream, Vec<u8>) {
        let revisions = self.env.write("revisions", format!("{}\n^{}\n", self.new, self.old));
        let mut pack = self.env.command("git");
        pack.args(["-C", "work", "pack-objects", "--revs", "--stdout", "-q"]);
        pack.stdin(std::fs::File::open(revisions).expect("open the revisions"));
        let pack = pack.output().expect("git pack-objects").stdout;
        let mut stream = pkt::connect(gate.addr(Door::Git));
        stream.write_all(&pkt::request("git-receive-pack", "app", 0)).expect("ask");
        pkt::read_section(&mut stream).expect("an advertisement");
        let command =
            format!("{} {} refs/heads/main\0 report-status side-band-64k", self.old, self.new);
        stream.write_all(&[&pkt::line(command)[..], b"0000"].concat()).expect("command");
        (stream, pack)
    }

    /// Kills the gate; at once stock git must find its mirror whole, at the old state or the new one, and so must the
    /// next gate, which shows what the origin has and takes the push.
    fn kill(&self, what: &str, gate: Gate<'_>) -> Killed<'_> {
        let mirror = gate.mirror("app");
        let before = self.env.git_in(&mirror, ["for-each-ref"]).out();
        gate.kill();
        self.env.git_in(&mirror, ["fsck", "--full", "--strict", "--no-dangling"]).out();
        let left = self.env.git_in(&mirror, ["for-each-ref"]).out();
        assert!(left == before || left.contains(&self.new), "{what}: {left}");
        Killed { scene: self, what: what.to_owned(), mirror }
    }
}

struct Killed<'s> {
    scene: &'s Scene<'s>,
    what: String,
    mirror: PathBuf,
}

impl Killed<'_> {
    /// `landed` tells whether the origin must have taken it.
    fn heals(self, landed: bool) {
        let Self { scene: Scene { env, origin, config, old, new }, what, mirror } = self;
        assert_eq!(origin.tip("main"), *if landed { new } else { old }, "{what}");
        origin.git(["fsck", "--full", "--strict", "--no-dangling"]);
        let gate = Gate::start(env, "data", config);
        let url = gate.url(Door::Git, "app");
        assert_eq!(env.git(["ls-remote", &url]).out(), origin.listing(), "{what}: healed");
        let list = |dir: PathBuf| std::fs::read_dir(dir).map_or(0, Iterator::count);
        assert_eq!(list(mirror.join("quarantine")), 0, "{what}: quarantines are swept");
        let names = std::fs::read_dir(&mirror).expect("list the mirror").flatten();
        let names: Vec<_> =
            names.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        assert!(!names.iter().any(|name| name.ends_with(".tmp")), "{what}: {names:?}");
        // Whether or not the origin had taken it: the same push now ends well.
        env.git_in("work", ["push", "-q", &url, "main"]).out();
        assert_eq!(origin.tip("main"), *new, "{what}");
        env.git(["clone", "-q", "--mirror", &url, "whole"]).out();
        let scans = list(mirror.with_file_name(".scan"));
        assert!(scans <= 1, "{what}: {scans} folders of scanners");
    }
}

fn plain(env: &TestEnv, more: &str) -> String {
    gate::config(env, "data", &Server::start(env, Kind::File), more)
}

/// The client must not have heard that all is well.
fn unheard(mut client: Child, what: &str) {
    assert!(!client.wait().expect("wait for it").success(), "{what}: it was told that all is well");
}

#[test]
fn while_the_pack_comes_in() {
    let env = TestEnv::new();
    // The scanner is started when the commands were read: from then on the gate takes the pack.
    let (held, scan) = Held::scanner(&env, "$HOLD; exec \"$REAL\" \"$@\"");
    let (scene, gate) = Scene::new(&env, plain(&env, &scan));
    let (mut stream, pack) = scene.open(&gate);
    stream.write_all(&pack[..pack.len() / 2]).expect("half a pack");
    held.reached();
    let killed = scene.kill("in the pack", gate);
    held.go();
    killed.heals(false);
}

#[test]
fn while_the_scanner_is_fed_and_when_it_has_read_all() {
    for (what, script) in [
        (
            "in the patch",
            "[ -e \"$0.once\" ] || { : >\"$0.once\"; PATH=/usr/bin:/bin head -c 50000 >/dev/null; $HOLD; }; exec \"$REAL\" \"$@\"",
        ),
        (
            "at the verdict",
            "[ -e \"$0.once\" ] && exec \"$REAL\" \"$@\"; : >\"$0.once\"; \"$REAL\" \"$@\"; code=$?; $HOLD; exit $code",
        ),
    ] {
        let env = TestEnv::new();
        let (held, scan) = Held::scanner(&env, script);
        let (scene, gate) = Scene::new(&env, plain(&env, &scan));
        let client = scene.push(&gate);
        held.reached();
        let killed = scene.kill(what, gate);
        unheard(client, what);
        held.go();
        killed.heals(false);
    }
}

#[test]
fn after_the_scan_and_before_the_first_byte_to_the_origin() {
    let env = TestEnv::new();
    let hostile = Hostile::start(&env);
    let (scene, gate) = Scene::new(&env, hostile.config(&env, ""));
    let (told, stalled) = sync_channel(1);
    hostile.now(Trick::StallPush(0, told));
    let (mut stream, pack) = scene.open(&gate);
    stream.write_all(&pack).expect("the pack");
    hear(&stalled);
    let mut heard = Vec::new();
    while !String::from_utf8_lossy(&heard).contains("sending to origin") {
        let packet = pkt::read(&mut stream).expect("the connection lives");
        heard.extend(packet.expect("a packet of a band"));
    }
    let killed = scene.kill("before forward", gate);
    hostile.now(Trick::None);
    killed.heals(false);
}

#[test]
fn while_the_origin_has_it() {
    // The last hook runs when git has sent its report; the gate still waits for the end of its words.
    for hook in ["pre-receive", "update", "reference-transaction", "post-receive"] {
        for kind in [Kind::Git, Kind::File] {
            let env = TestEnv::new();
            let server = Server::start(&env, kind);
            let (scene, gate) = Scene::new(&env, gate::config(&env, "data", &server, ""));
            let held = Held::at(&env, &scene.origin, hook);
            let client = scene.push(&gate);
            held.reached();
            let killed = scene.kill(hook, gate);
            unheard(client, hook);
            held.go();
            scene.settled(hook);
            let landed = scene.origin.tip("main") == scene.new;
            assert!(landed || hook != "post-receive");
            killed.heals(landed);
        }
    }
}

impl Scene<'_> {
    /// Waits for the origin's processes, which outlive the gate, and takes the hook away.
    fn settled(&self, hook: &str) {
        let at_work = || {
            let processes = std::fs::read_dir("/proc").expect("list the processes").flatten();
            processes
                .filter_map(|process| std::fs::read_link(process.path().join("cwd")).ok())
                .any(|dir| dir.starts_with(&self.origin.dir))
        };
        while at_work() {
            std::thread::yield_now();
        }
        std::fs::remove_file(self.origin.dir.join("hooks").join(hook)).expect("remove the hook");
    }

    /// So many refs that the file of refs does not fit into a pipe.
    fn many_refs(&self) {
        let refs: String = (0..2000)
            .map(|n| format!("create refs/many/of-them/number-{n} {}\n", self.old))
            .collect();
        let file = self.env.write("refs", refs);
        let mut update = self.env.command("git");
        update.arg("-C").arg(&self.origin.dir).args(["update-ref", "--stdin"]);
        update.stdin(std::fs::File::open(file).expect("open the refs"));
        crate::env::run(&mut update).out();
    }
}

#[test]
fn between_the_origins_report_and_the_mirrors_new_refs() {
    let env = TestEnv::new();
    let (scene, gate) = Scene::new(&env, plain(&env, ""));
    scene.many_refs();
    env.git(["ls-remote", &gate.url(Door::Git, "app")]).out();
    // The new file of refs is a pipe that nobody empties: its first byte is there when the origin has reported, and the
    // last never will be.
    let pipe = gate.mirror("app").join("packed-refs.tmp");
    crate::env::run(env.command("mkfifo").arg(&pipe)).out();
    let client = scene.push(&gate);
    let first = crate::env::run(env.command("head").args(["-c", "1"]).arg(&pipe)).out();
    assert_eq!(first, "#", "the commit has begun");
    let killed = scene.kill("in the commit", gate);
    unheard(client, "in the commit");
    killed.heals(true);
}

#[test]
fn before_the_client_hears() {
    let env = TestEnv::new();
    let (scene, gate) = Scene::new(&env, plain(&env, ""));
    let (mut stream, pack) = scene.open(&gate);
    stream.write_all(&pack).expect("the pack");
    gate.wait_for_log("pushed");
    let killed = scene.kill("before the answer", gate);
    killed.heals(true);
}

#[test]
fn a_mirror_that_cannot_be_written_does_not_undo_what_the_origin_took() {
    let env = TestEnv::new();
    let (scene, gate) = Scene::new(&env, plain(&env, ""));
    let url = gate.url(Door::Git, "app");
    // A directory in the place of the new file of refs.
    let blocked = gate.mirror("app").join("packed-refs.tmp");
    std::fs::create_dir(&blocked).expect("block the file of refs");
    env.git_in("work", ["push", "-q", &url, "main"]).out();
    assert_eq!(
        scene.origin.tip("main"),
        scene.new,
        "the origin has it, and the client was told so"
    );
    gate.wait_for_log("push not committed to the mirror");
    let said = env.git(["ls-remote", &url]).refused();
    assert!(!said.contains(&scene.old), "no stale refs are shown: {said}");
    std::fs::remove_dir(&blocked).expect("unblock it");
    assert_eq!(env.git(["ls-remote", &url]).out(), scene.origin.listing(), "healed");
}
