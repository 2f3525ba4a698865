//! Pushes that no git client sends: spoken byte by byte, judged at the origin.

use std::io::Write;
use std::net::Shutdown;

use crate::env::TestEnv;
use crate::gate::{Door, Gate};
use crate::held::Held;
use crate::hostile::noise;
use crate::origin::Origin;
use crate::pkt;
use crate::servers::{Kind, Server};

const NULL: &str = "0000000000000000000000000000000000000000";
const CAPABILITIES: &str = "report-status side-band-64k atomic delete-refs ofs-delta agent=raw";

struct Scene<'e> {
    env: &'e TestEnv,
    origin: Origin<'e>,
    gate: Gate<'e>,
}

fn with_scene(more: &str, test: impl FnOnce(&Scene<'_>)) {
    let env = TestEnv::new();
    let server = Server::start(&env, Kind::Git);
    let origin = Origin::sample(&env, "app");
    let gate = Gate::with(&env, &server, more);
    env.git(["clone", "-q", &gate.url(Door::Git, "app"), "work"]).out();
    test(&Scene { env: &env, origin, gate });
}

impl Scene<'_> {
    /// Sends commands and a pack over git://; gives all the gate said after its advertisement.
    fn push(&self, commands: &[String], pack: &[u8]) -> String {
        let mut stream = pkt::connect(self.gate.addr(Door::Git));
        stream.write_all(&pkt::request("git-receive-pack", "app", 0)).expect("ask");
        let advertisement = pkt::read_section(&mut stream).expect("an advertisement");
        assert!(advertisement.len() > 3, "{advertisement:?}");
        let mut request = Vec::new();
        for (n, command) in commands.iter().enumerate() {
            let capabilities = if n == 0 { format!("\0 {CAPABILITIES}") } else { String::new() };
            request.extend(pkt::line(format!("{command}{capabilities}\n")));
        }
        request.extend(b"0000");
        request.extend(pack);
        // The gate may have refused and closed before it took all of it.
        stream.write_all(&request).ok();
        stream.shutdown(Shutdown::Write).ok();
        String::from_utf8_lossy(&pkt::drain(&mut stream)).into_owned()
    }

    /// A commit in `work` that is on no branch there.
    fn commit(&self, path: &str, content: &str) -> String {
        let blob = self.env.write("content", content);
        let blob = self.git(["hash-object", "-w", blob.to_str().expect("UTF-8")]);
        self.git(["read-tree", "HEAD"]);
        self.git(["update-index", "--add", "--cacheinfo", &format!("100644,{blob},{path}")]);
        let tree = self.git(["write-tree"]);
        self.git(["read-tree", "HEAD"]);
        self.git(["commit-tree", "-p", "HEAD", "-m", "raw", &tree])
    }

    fn git<const N: usize>(&self, args: [&str; N]) -> String {
        self.env.git_in("work", args).out()
    }

    /// A pack of what `revisions` name, in the form of `git rev-list` arguments.
    fn pack(&self, revisions: &str) -> Vec<u8> {
        let file = self.env.write("revisions", revisions);
        let mut pack = self.env.command("git");
        pack.args(["-C", "work", "pack-objects", "--revs", "--stdout", "-q"]);
        pack.stdin(std::fs::File::open(file).expect("open the revisions"));
        pack.output().expect("git pack-objects").stdout
    }

    fn unchanged(&self, test: impl FnOnce()) {
        let before = (self.origin.listing(), self.origin.git(["count-objects", "-v"]));
        test();
        assert_eq!((self.origin.listing(), self.origin.git(["count-objects", "-v"])), before);
    }
}

#[test]
fn objects_nobody_asked_for_stay_out_of_the_origin_and_the_mirror() {
    with_scene("", |scene| {
        let (new, stray) = (scene.commit("new", "new\n"), scene.commit("stray", "stray\n"));
        let old = scene.origin.tip("main");
        let pack = scene.pack(&format!("{new}\n{stray}\n^{old}\n"));
        let said = scene.push(&[format!("{old} {new} refs/heads/main")], &pack);
        assert!(said.contains("ok refs/heads/main"), "{said}");
        assert_eq!(scene.origin.tip("main"), new);
        let has = |id: &str| scene.env.git_in(&scene.origin.dir, ["cat-file", "-e", id]).ok;
        assert!(has(&new) && !has(&stray));
        let url = scene.gate.url(Door::Git, "app");
        scene.env.git(["init", "-q", "thief"]).out();
        scene.env.git(["-C", "thief", "fetch", "-q", &url, &stray]).refused();
    });
}

#[test]
fn commands_are_judged_before_the_pack() {
    with_scene("[limits]\ncommands = 4\n", |scene| {
        let old = scene.origin.tip("main");
        let new = scene.commit("new", "new\n");
        let pack = scene.pack(&format!("{new}\n^{old}\n"));
        let update = |name: &str| format!("{NULL} {new} {name}");
        let many: Vec<_> = (0..5).map(|n| update(&format!("refs/heads/m{n}"))).collect();
        let long = format!("refs/heads/{}", "a".repeat(5000));
        for (what, commands) in [
            ("a name outside refs", vec![update("main")]),
            ("dots", vec![update("refs/heads/../../config")]),
            ("a lock", vec![update("refs/heads/a.lock")]),
            ("a control byte", vec![update("refs/heads/a\x07b")]),
            ("too long", vec![update(&long)]),
            ("HEAD", vec![update("HEAD")]),
            ("twice the same", vec![update("refs/heads/a"), update("refs/heads/a")]),
            ("hidden", vec![update("refs/pull/7/head")]),
            ("hidden behind a good one", vec![update("refs/heads/a"), update("refs/pull/7/head")]),
            ("more than the limit", many),
            ("no ids", vec!["x y refs/heads/a".to_owned()]),
            ("nothing to nothing", vec![format!("{NULL} {NULL} refs/heads/a")]),
            (
                "ids of another format",
                vec![format!("{} {} refs/heads/a", "0".repeat(64), "1".repeat(64))],
            ),
        ] {
            scene.unchanged(|| {
                let said = scene.push(&commands, &pack);
                assert!(!said.contains("ok refs/"), "{what}: {said}");
                assert!(
                    said.contains("ng ") || said.contains("ERR ") || said.contains('\u{3}'),
                    "{what}: {said}"
                );
            });
        }
    });
}

#[test]
fn packs_that_are_cut_wrong_or_incomplete_are_refused() {
    with_scene("", |scene| {
        let old = scene.origin.tip("main");
        let new = scene.commit("new", &"new\n".repeat(1000));
        let whole = scene.pack(&format!("{new}\n^{old}\n"));
        let mut wrong = whole.clone();
        let middle = wrong.len() / 2;
        wrong[middle] ^= 0xff;
        let mut counted = whole.clone();
        counted[11] = 200;
        let mut version = whole.clone();
        version[7] = 9;
        let half = scene.env.write("ids", &new);
        let mut pack = scene.env.command("git");
        pack.args(["-C", "work", "pack-objects", "--stdout", "-q"])
            .stdin(std::fs::File::open(half).expect("ids"));
        let incomplete = pack.output().expect("git pack-objects").stdout;
        for (what, pack) in [
            ("cut in the header", &whole[..6]),
            ("cut in the middle", &whole[..middle]),
            ("cut before the trailer", &whole[..whole.len() - 20]),
            ("a flipped byte", &wrong),
            ("too few objects", &counted),
            ("an unknown version", &version),
            ("no pack at all", b"GIF89a"),
            ("nothing", b""),
            ("a commit without its tree", &incomplete),
        ] {
            scene.unchanged(|| {
                let said = scene.push(&[format!("{old} {new} refs/heads/main")], pack);
                assert!(!said.contains("ok refs/"), "{what}: {said}");
            });
        }
        let said = scene.push(&[format!("{old} {new} refs/heads/main")], &whole);
        assert!(said.contains("ok refs/heads/main"), "the whole one is taken: {said}");
    });
}

#[test]
fn an_old_id_that_is_not_the_origins_is_refused() {
    with_scene("", |scene| {
        let old = scene.origin.tip("main");
        let new = scene.commit("new", "new\n");
        let pack = scene.pack(&format!("{new}\n^{old}\n"));
        for wrong in [NULL.to_owned(), scene.origin.tip("main~1"), "1".repeat(40)] {
            scene.unchanged(|| {
                let said = scene.push(&[format!("{wrong} {new} refs/heads/main")], &pack);
                assert!(!said.contains("ok refs/"), "{said}");
            });
        }
    });
}

#[test]
fn lengths_no_packet_has_end_a_push() {
    with_scene("", |scene| {
        for bad in ["0001", "0002", "0003", "fff1", "zzzz", "PACK"] {
            let mut stream = pkt::connect(scene.gate.addr(Door::Git));
            stream
                .write_all(
                    &[&pkt::request("git-receive-pack", "app", 0)[..], bad.as_bytes()].concat(),
                )
                .expect("ask");
            pkt::drain(&mut stream);
        }
    });
}

#[test]
fn a_client_that_leaves_in_the_middle_leaves_nothing() {
    with_scene("", |scene| {
        let old = scene.origin.tip("main");
        let new = scene.commit("new", &"new\n".repeat(1000));
        let pack = scene.pack(&format!("{new}\n^{old}\n"));
        scene.unchanged(|| {
            scene.push(&[format!("{old} {new} refs/heads/main")], &pack[..pack.len() / 2]);
        });
        let quarantine = scene.gate.mirror("app").join("quarantine");
        let left = std::fs::read_dir(quarantine).map_or(0, Iterator::count);
        assert_eq!(left, 0, "the quarantine is gone");
        scene.env.git_in("work", ["push", "-q", "origin", &format!("{new}:refs/heads/main")]).out();
    });
}

#[test]
fn a_client_that_waits_hears_that_the_gate_lives() {
    with_scene("[limits]\nkeepalive = \"200ms\"\n", |scene| {
        let old = scene.origin.tip("main");
        let new = scene.commit("new", "new\n");
        let pack = scene.pack(&format!("{new}\n^{old}\n"));
        let hold = Held::at(scene.env, &scene.origin, "pre-receive");
        let mut stream = pkt::connect(scene.gate.addr(Door::Git));
        stream.write_all(&pkt::request("git-receive-pack", "app", 0)).expect("ask");
        pkt::read_section(&mut stream).expect("an advertisement");
        let command = pkt::line(format!("{old} {new} refs/heads/main\0 {CAPABILITIES}\n"));
        stream.write_all(&[&command[..], b"0000", &pack].concat()).expect("push");
        hold.reached();
        let mut keepalives = 0;
        while keepalives < 3 {
            let packet =
                pkt::read(&mut stream).expect("the connection lives").expect("a packet of a band");
            // git's own receive-pack keeps a connection alive by an empty packet of band 1
            let keepalive = packet.len() == 1;
            assert!(
                keepalive || packet.first() == Some(&2),
                "only progress may come: {}",
                packet.escape_ascii()
            );
            keepalives += usize::from(keepalive);
        }
        hold.go();
        let rest = String::from_utf8_lossy(&pkt::drain(&mut stream)).into_owned();
        assert!(rest.contains("ok refs/heads/main"), "{rest}");
    });
}

#[test]
fn a_large_push_and_its_clone_do_not_live_in_memory() {
    with_scene("", |scene| {
        for n in 0..3 {
            scene.env.write(&format!("work/blob{n}"), noise((40 << 20) + n));
        }
        scene.git(["add", "."]);
        scene.git(["commit", "-q", "-m", "large"]);
        scene.git(["push", "-q", "origin", "main"]);
        assert_eq!(scene.origin.tip("main"), scene.git(["rev-parse", "HEAD"]));
        scene.env.git(["clone", "-q", "--bare", &scene.gate.url(Door::Git, "app"), "clone"]).out();
        let peak = scene.gate.peak_memory() >> 20;
        assert!(peak < 250, "{peak} MiB at the peak");
    });
}
