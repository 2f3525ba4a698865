//! An origin that cuts, stalls, lies or babbles: the request fails, the mirror stays whole, the next good answer heals.

use crate::env::TestEnv;
use crate::gate::{Door, Gate};
use crate::hostile::{Hostile, Trick, noise};
use crate::origin::Origin;
use crate::pkt;

struct Scene<'e> {
    origin: Origin<'e>,
    hostile: Hostile,
    gate: Gate<'e>,
}

fn scene(env: &TestEnv) -> Scene<'_> {
    let origin = Origin::sample(env, "app");
    let hostile = Hostile::start(env);
    let gate = Gate::start(
        env,
        "data",
        &hostile.config(env, "[limits]\nrefresh = \"5s\"\nfirst_mirror = \"5s\"\n"),
    );
    Scene { origin, hostile, gate }
}

/// The gate must refuse, and be right again as soon as the origin is.
fn refused_then_healed(env: &TestEnv, scene: &Scene<'_>, what: &str, trick: Trick) {
    scene.hostile.now(trick);
    let said = refused(env, scene, what);
    assert!(said.contains("origin"), "{what}: {said}");
    scene.hostile.now(Trick::None);
    // A session that was opened while the trick was on may have to be used up first.
    let url = scene.gate.url(Door::Git, "app");
    let healed = (0..3).map(|_| env.git(["ls-remote", &url])).find(|ran| ran.ok);
    let healed = healed.unwrap_or_else(|| panic!("{what}: not healed")).out();
    assert_eq!(healed, scene.origin.listing(), "{what}: healed");
}

/// What a client is told once the trick is met. Connections that the gate had opened before are honest still, so that the
/// first answers may be right: then they must be fresh.
fn refused(env: &TestEnv, scene: &Scene<'_>, what: &str) -> String {
    for _ in 0..3 {
        let tip = scene.origin.commit("ticks", "tick", what);
        let ran = env.git(["ls-remote", &scene.gate.url(Door::Git, "app")]);
        if !ran.ok {
            return ran.stderr;
        }
        assert!(ran.stdout.contains(&tip), "{what}: stale:\n{}", ran.stdout);
    }
    panic!("{what}: was not refused");
}

#[test]
fn an_answer_that_is_cut_anywhere_is_no_answer() {
    let env = TestEnv::new();
    let scene = scene(&env);
    for at in [0, 1, 4, 20, 100, 300, 500, 900] {
        refused_then_healed(
            &env,
            &scene,
            &format!("cut at {at} with a mirror or without"),
            Trick::Cut(at),
        );
        // The next cut is met with something new to fetch.
        scene.origin.commit_files("main", &[("blob", &noise(at))]);
    }
    assert!(scene.hostile.served() > 0);
}

#[test]
fn a_pack_with_a_wrong_byte_is_refused() {
    let env = TestEnv::new();
    let scene = scene(&env);
    scene.origin.commit_files("main", &[("blob", &noise(1 << 16))]);
    // Deep inside the pack: the capabilities and the list take far less.
    refused_then_healed(&env, &scene, "a flipped byte", Trick::Flip(40_000));
}

#[test]
fn garbage_and_false_lengths_are_refused() {
    let env = TestEnv::new();
    let scene = scene(&env);
    let tricks: [(&str, Vec<u8>); 8] = [
        ("nothing", Vec::new()),
        ("http", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        ("a length of 3", b"0003".to_vec()),
        ("a length over the limit", b"fff5aaaa".to_vec()),
        ("no hex", b"zzzz".to_vec()),
        ("zeros", vec![0; 4096]),
        ("noise", noise(4096)),
        ("an ERR", [pkt::line("ERR the origin is on holiday\n"), b"0000".to_vec()].concat()),
    ];
    for (what, bytes) in tricks {
        refused_then_healed(&env, &scene, what, Trick::Say(bytes));
    }
    scene
        .hostile
        .now(Trick::Say([pkt::line("ERR the origin is on holiday\n"), b"0000".to_vec()].concat()));
    let said = refused(&env, &scene, "an ERR");
    assert!(said.contains("the origin is on holiday"), "{said}");
    scene.hostile.now(Trick::None);
}

#[test]
fn what_leads_around_the_gate_is_not_passed_on() {
    let env = TestEnv::new();
    let scene = scene(&env);
    let blob = scene.origin.tip("main:README");
    let elsewhere = format!("{blob} {} https://elsewhere.example/a.pack", "1".repeat(40));
    scene.origin.git(["config", "uploadpack.blobPackfileUri", &elsewhere]);
    scene.origin.git(["config", "uploadpack.advertiseBundleURIs", "true"]);
    scene.origin.git(["config", "promisor.advertise", "true"]);
    let ask = pkt::request("git-upload-pack", "app", 2);
    let theirs = pkt::exchange(&scene.hostile.addr.to_string(), &[&ask[..], b"0000"].concat());
    let text = String::from_utf8_lossy(&theirs).into_owned();
    assert!(text.contains("packfile-uris"), "this git has nothing to pass on: {text}");
    let want = pkt::line(format!("want {}", scene.origin.tip("main")));
    let uris = pkt::line("packfile-uris https");
    let fetch = |more: &[u8]| {
        [
            &ask[..],
            &pkt::line("command=fetch"),
            b"0001",
            more,
            &want,
            &pkt::line("done"),
            b"00000000",
        ]
        .concat()
    };
    for (more, served) in [(&b""[..], true), (&uris, false)] {
        let ours = pkt::exchange(scene.gate.addr(Door::Git), &fetch(more));
        let text = String::from_utf8_lossy(&ours).into_owned();
        assert_eq!(text.contains("PACK"), served, "{text}");
        for word in ["elsewhere", "packfile-uris\n", "bundle-uri", "promisor", "packfile-uris "] {
            assert!(!text.replace("got 'packfile-uris", "").contains(word), "{word}: {text}");
        }
    }
}

#[test]
fn a_pack_that_lacks_the_listed_tip_is_refused() {
    let env = TestEnv::new();
    let scene = scene(&env);
    // A pack of no objects is well formed; the tip it should bring does not exist.
    let empty = [&b"PACK\0\0\0\x02\0\0\0\0"[..], &EMPTY_PACK_SHA1].concat();
    refused_then_healed(
        &env,
        &scene,
        "no tip",
        Trick::WrongPack { tip: "1".repeat(40), pack: empty.clone() },
    );
    // The commit comes, its tree does not.
    let tip = scene.origin.commit("other", "deep/file", "content\n");
    scene.origin.git(["update-ref", "-d", "refs/heads/other"]);
    let file = env.write("ids", &tip);
    let mut pack = env.command("git");
    pack.args(["pack-objects", "--stdout", "-q"]).current_dir(&scene.origin.dir);
    pack.stdin(std::fs::File::open(file).expect("open the ids"));
    let pack = pack.output().expect("git pack-objects").stdout;
    refused_then_healed(&env, &scene, "a commit without its tree", Trick::WrongPack { tip, pack });
}

/// SHA-1 of the header of an empty pack.
const EMPTY_PACK_SHA1: [u8; 20] = [
    0x02, 0x9d, 0x08, 0x82, 0x3b, 0xd8, 0xa8, 0xea, 0xb5, 0x10, 0xad, 0x6a, 0xc7, 0x5c, 0x82, 0x3c,
    0xfd, 0x3e, 0xd3, 0x1e,
];
