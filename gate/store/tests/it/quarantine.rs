//! Taking packs in: git's own, cut, flipped, and forged.

use gate_store::{
    Check, IndexError, IndexLimits, IndexProgress, Interrupt, Kind, Quarantine, hash_object,
};
use proto::{ObjectFormat, ObjectId};
use std::io::{BufReader, Read};

use crate::forge::{BLOB, COMMIT, Forge, TREE, insert, seal};
use crate::gate::{Gate, LIMITS};
use crate::support::{FORMATS, Repo, git, git_output};

/// Git's own check of the quarantined pack.
fn verify(quarantine: &Quarantine, format: ObjectFormat) {
    let pack = quarantine.packs().packs().last().expect("a pack");
    let object_format = format!("--object-format={}", format.as_str());
    let idx = pack.path().with_extension("idx");
    git(
        pack.path().parent().expect("below"),
        &["verify-pack", &object_format, &idx.to_string_lossy()],
    );
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(pack.path()).expect("there").permissions(),
    );
    assert_eq!(mode & 0o777, 0o444);
}

fn assert_holds(quarantine: &Quarantine, ids: &[ObjectId]) {
    let mut reader = quarantine.packs().reader();
    let mut bytes = Vec::new();
    for id in ids {
        let kind = reader.read(id, &mut bytes).expect("readable");
        assert_eq!(hash_object(id.format(), kind, &bytes), Ok(*id));
    }
}

#[test]
fn takes_what_git_packs_and_reads_not_a_byte_more() {
    for format in FORMATS {
        let repo = Repo::init(format).with_history(40);
        let all = repo.objects(&["--all"]);
        for options in [&["--delta-base-offset"][..], &[], &["--depth=0"]] {
            let pack = repo.pack(options, "main\n");
            let tail = b"0000 what the client says next";
            let input = [&pack[..], tail].concat();
            for capacity in [1, 7, 64 * 1024] {
                let gate = Gate::empty(format);
                let mut reader = BufReader::with_capacity(capacity, &input[..]);
                let (quarantine, indexed) =
                    gate.index(&mut reader, &LIMITS, Check::Push).expect("good");
                assert_eq!(indexed.objects as usize, all.len());
                assert_eq!(indexed.bytes, pack.len() as u64);
                let mut rest = Vec::new();
                reader.read_to_end(&mut rest).expect("from memory");
                assert_eq!(rest, tail);
                assert_holds(&quarantine, &all);
                verify(&quarantine, format);
                let on_disk = std::fs::read(quarantine.packs().packs()[0].path()).expect("there");
                assert_eq!(on_disk, pack);
            }
        }
    }
}

/// Once a pack is there, asking for more would wait for a client that waits for us.
struct NoMore<'a>(&'a [u8]);

impl Read for NoMore<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        assert!(!self.0.is_empty(), "read past the pack's end");
        self.0.read(&mut out[..1])
    }
}

#[test]
fn never_asks_for_input_once_the_trailer_is_there() {
    let repo = Repo::init(ObjectFormat::Sha1).with_history(3);
    let pack = repo.pack(&[], "main\n");
    let gate = Gate::empty(ObjectFormat::Sha1);
    let mut reader = BufReader::with_capacity(1, NoMore(&pack));
    gate.index(&mut reader, &LIMITS, Check::Push).expect("good");
}

#[test]
fn completes_thin_packs_from_the_snapshot() {
    for format in FORMATS {
        let repo = Repo::init(format).with_history(30);
        let gate = Gate::cloned(&repo);
        let old = repo.objects(&["--all"]);
        let mut text = repo.git(&["show", "HEAD:a/long.txt"]);
        text.push_str("\nand one line more");
        repo.write("a/long.txt", text);
        repo.commit("new");
        let pack = repo.pack(&["--thin"], "main\n^main~1\n");
        let (quarantine, indexed) = gate.push(&pack).expect("good");
        assert_eq!(indexed.objects, 4, "a commit, two trees and a blob");
        assert!(quarantine.packs().packs()[1].len() > indexed.objects, "git sent it thin");
        verify(&quarantine, format);
        assert_holds(&quarantine, &repo.objects(&["--all"]));
        assert_holds(&quarantine, &old);
        let elsewhere = Gate::empty(format);
        assert!(matches!(elsewhere.refuses(&pack), IndexError::Unresolved { .. }));
    }
}

#[test]
fn an_empty_pack_is_a_pack() {
    for format in FORMATS {
        let (quarantine, indexed) =
            Gate::empty(format).push(&Forge::new(format).finish()).expect("good");
        assert_eq!(indexed.objects, 0);
        assert!(quarantine.packs().is_empty());
    }
}

#[test]
fn refuses_a_pack_cut_anywhere() {
    let repo = Repo::init(ObjectFormat::Sha1).with_history(4);
    let pack = repo.pack(&["--delta-base-offset"], "main\n");
    let gate = Gate::empty(ObjectFormat::Sha1);
    for at in 0..pack.len() {
        let error = gate.refuses(&pack[..at]);
        assert!(
            matches!(error, IndexError::Truncated { bytes } if bytes <= at as u64),
            "{at}: {error}"
        );
    }
}

#[test]
fn refuses_a_pack_with_any_bit_turned() {
    let repo = Repo::init(ObjectFormat::Sha1).with_history(4);
    let pack = repo.pack(&["--delta-base-offset"], "main\n");
    let gate = Gate::empty(ObjectFormat::Sha1);
    for at in 0..pack.len() {
        let mut bad = pack.clone();
        bad[at] ^= 1 << (at % 8);
        gate.refuses(&bad);
    }
}

#[test]
fn refuses_sealed_packs_with_any_bit_turned_or_reads_them_as_git_does() {
    let repo = Repo::init(ObjectFormat::Sha1).with_history(4);
    let pack = repo.pack(&["--delta-base-offset"], "main\n");
    let body = &pack[..pack.len() - 20];
    let gate = Gate::empty(ObjectFormat::Sha1);
    for at in (0..body.len()).step_by(3) {
        let mut bad = body.to_vec();
        bad[at] ^= 1 << (at % 8);
        // Whatever still is a pack must be one to git too.
        if let Ok((quarantine, _)) = gate.push(&seal(bad, ObjectFormat::Sha1)) {
            verify(&quarantine, ObjectFormat::Sha1);
        }
    }
}

fn check(name: &str, pack: &[u8], is_right: impl Fn(&IndexError) -> bool) {
    let error = Gate::empty(ObjectFormat::Sha1).refuses(pack);
    assert!(is_right(&error), "{name}: {error:?}");
}

fn forge() -> Forge {
    Forge::new(ObjectFormat::Sha1)
}

#[test]
fn refuses_headers_that_are_none() {
    let bad = |bytes: &[u8]| seal(bytes.to_vec(), ObjectFormat::Sha1);
    check("signature", &bad(b"PUCK\0\0\0\x02\0\0\0\0"), |e| matches!(e, IndexError::Signature));
    check("version", &bad(b"PACK\0\0\0\x04\0\0\0\0"), |e| {
        matches!(e, IndexError::Version { version: 4 })
    });
    let malformed = |e: &IndexError| matches!(e, IndexError::Malformed { .. });
    for kind in [0, 5] {
        let mut pack = forge();
        pack.object(kind, b"x");
        check("kind", &pack.finish(), malformed);
    }
}

#[test]
fn refuses_sizes_that_lie() {
    for (declared, content) in [(4, "12345"), (6, "12345"), (0, "1"), (1, "")] {
        let mut pack = forge();
        pack.entry(BLOB, declared, b"", content.as_bytes());
        check("size", &pack.finish(), |e| matches!(e, IndexError::Malformed { .. }));
    }
    let mut pack = forge();
    pack.entry(BLOB, u64::MAX, b"", b"x");
    check("huge", &pack.finish(), |e| matches!(e, IndexError::ObjectTooBig { size: u64::MAX, .. }));
}

#[test]
fn refuses_counts_that_lie() {
    let pack = |count| {
        let mut pack = forge();
        pack.object(BLOB, b"one");
        pack.object(BLOB, b"two");
        pack.finish_with_count(count)
    };
    assert!(Gate::empty(ObjectFormat::Sha1).push(&pack(2)).is_ok());
    check("too few", &pack(1), |e| matches!(e, IndexError::Trailer));
    Gate::empty(ObjectFormat::Sha1).refuses(&pack(3));
    check("far too many", &pack(u32::MAX), |e| matches!(e, IndexError::TooManyObjects { .. }));
}

#[test]
fn refuses_deltas_that_lead_nowhere() {
    let format = ObjectFormat::Sha1;
    let id = |content: &[u8]| hash_object(format, Kind::Blob, content).expect("no attack");
    let unresolved = |e: &IndexError| matches!(e, IndexError::Unresolved { .. });
    let malformed = |e: &IndexError| matches!(e, IndexError::Malformed { .. });

    let mut pack = forge();
    pack.ref_delta(&id(b"self"), &insert(4, b"self"));
    check("itself", &pack.finish(), unresolved);

    let mut pack = forge();
    pack.ref_delta(&id(b"b"), &insert(1, b"a"));
    pack.ref_delta(&id(b"a"), &insert(1, b"b"));
    check("a circle", &pack.finish(), unresolved);

    let mut pack = forge();
    pack.object(BLOB, b"base");
    pack.ofs_delta(1, &insert(4, b"x"));
    check("no entry", &pack.finish(), malformed);

    let mut pack = forge();
    pack.ofs_delta(0, &insert(4, b"x"));
    check("distance 0", &pack.finish(), malformed);

    let mut pack = forge();
    pack.ofs_delta(100, &insert(4, b"x"));
    check("before the pack", &pack.finish(), malformed);

    for delta in
        [&[9, 1, 1, b'x'][..], &[4, 9, 1, b'x'], &[4, 1, 0], &[4, 8, 0x91, 2, 8], &[4], &[]]
    {
        let mut pack = forge();
        let base = pack.object(BLOB, b"base");
        pack.ofs_delta((pack.bytes.len() as u64 - base) as u8, delta);
        check("a bad delta", &pack.finish(), malformed);
    }
}

#[test]
fn finds_bases_wherever_they_lie_in_the_pack() {
    let format = ObjectFormat::Sha1;
    let id = |content: &[u8]| hash_object(format, Kind::Blob, content).expect("no attack");
    let mut pack = forge();
    pack.ref_delta(&id(b"two"), &insert(3, b"three"));
    pack.ref_delta(&id(b"one"), &insert(3, b"two"));
    pack.object(BLOB, b"one");
    let gate = Gate::empty(format);
    let (quarantine, indexed) = gate.push(&pack.finish()).expect("good");
    assert_eq!(indexed.objects, 3);
    assert_holds(&quarantine, &[id(b"one"), id(b"two"), id(b"three")]);
    verify(&quarantine, format);
}

#[test]
fn refuses_an_object_twice_from_a_client_only() {
    let mut pack = forge();
    pack.object(BLOB, b"one");
    pack.object(BLOB, b"one");
    let pack = pack.finish();
    check("twice", &pack, |e| matches!(e, IndexError::Twice { .. }));
    let gate = Gate::empty(ObjectFormat::Sha1);
    gate.index(&mut &pack[..], &LIMITS, Check::Origin).expect("an origin may");
}

#[test]
fn each_limit_is_named_when_it_is_met() {
    let gate = Gate::empty(ObjectFormat::Sha1);
    let repo = Repo::init(ObjectFormat::Sha1).with_history(30);
    let pack = repo.pack(&["--delta-base-offset"], "main\n");
    for (limits, name) in [
        (IndexLimits { pack_bytes: pack.len() as u64 - 1, ..LIMITS }, "limits.pack"),
        (IndexLimits { objects: 5, ..LIMITS }, "limits.objects"),
        (IndexLimits { object_bytes: 300, ..LIMITS }, "limits.object"),
        (IndexLimits { delta_depth: 1, ..LIMITS }, "limits.delta_depth"),
    ] {
        let error =
            gate.index(&mut &pack[..], &limits, Check::Push).map(|(_, i)| i).expect_err(name);
        assert!(error.to_string().contains(name), "{error}");
    }
    let exact = IndexLimits { pack_bytes: pack.len() as u64, ..LIMITS };
    gate.index(&mut &pack[..], &exact, Check::Push).expect("just fits");
}

#[test]
fn a_delta_that_makes_too_much_is_refused_before_it_is_made() {
    let mut pack = forge();
    let base = pack.object(BLOB, &[b'x'; 70_000]);
    let mut delta = vec![0xf0, 0xa2, 0x04, 0x80, 0x80, 0x80, 0x80, 0x10];
    delta.extend([0x80].repeat(4000));
    let distance = pack.bytes.len() as u64 - base;
    pack.ofs_delta(u8::try_from(distance).expect("small, being deflated"), &delta);
    check("a bomb", &pack.finish(), |e| {
        matches!(e, IndexError::ObjectTooBig { size: 0x1_0000_0000, .. })
    });
}

#[test]
fn a_pack_that_inflates_without_end_stops_at_its_limit() {
    let mut pack = forge();
    let zeros = vec![0; 1 << 20];
    pack.object(BLOB, &zeros);
    let base = hash_object(ObjectFormat::Sha1, Kind::Blob, &zeros).expect("no attack");
    // Each delta makes another megabyte out of some bytes; more than INFLATE_FLOOR of them together.
    for n in 0..1100_u16 {
        let mut delta = vec![0x80, 0x80, 0x40, 0x80, 0x80, 0x40, 2, n as u8, (n >> 8) as u8];
        delta.extend([0xb0, 0xff, 0xff].repeat(16));
        delta.extend([0x90, 14]);
        pack.ref_delta(&base, &delta);
    }
    let limits = IndexLimits { inflate_ratio: 2, ..LIMITS };
    let gate = Gate::empty(ObjectFormat::Sha1);
    let error = gate
        .index(&mut &pack.finish()[..], &limits, Check::Push)
        .map(|(_, i)| i)
        .expect_err("bomb");
    assert!(matches!(error, IndexError::InflateRatio { limit: 2 }), "{error}");
}

#[test]
fn an_interrupt_ends_it() {
    let repo = Repo::init(ObjectFormat::Sha1).with_history(10);
    let pack = repo.pack(&[], "main\n");
    let gate = Gate::empty(ObjectFormat::Sha1);
    let interrupt = Interrupt::default();
    let mut quarantine = gate.store.quarantine(&gate.store.snapshot()).expect("a directory");
    let mut calls = 0;
    let error = quarantine
        .index(&mut &pack[..], &LIMITS, Check::Push, &interrupt.clone(), &mut |progress| {
            calls += 1;
            if matches!(progress, IndexProgress::Receiving { objects: 5, .. }) {
                interrupt.set();
            }
        })
        .expect_err("interrupted");
    assert!(matches!(error, IndexError::Interrupted(_)));
    assert_eq!(calls, 5);
}

#[test]
fn checks_pushed_objects_as_git_does() {
    let blob = hash_object(ObjectFormat::Sha1, Kind::Blob, b"x").expect("no attack");
    let tree = |entries: &[(&str, &str)]| {
        let mut tree = Vec::new();
        for (mode, name) in entries {
            tree.extend(format!("{mode} {name}\0").bytes());
            tree.extend(blob.as_bytes());
        }
        tree
    };
    let empty_tree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
    let commit = |author: &str| {
        format!("tree {empty_tree}\nauthor {author}\ncommitter C <c@x> 1 +0000\n\nm\n").into_bytes()
    };
    let cases: Vec<(&str, u8, Vec<u8>)> = vec![
        ("hasDotgit", TREE, tree(&[("100644", ".git")])),
        ("hasDotgit", TREE, tree(&[("40000", ".GIT ")])),
        ("hasDotgit", TREE, tree(&[("40000", "git~1")])),
        ("hasDotgit", TREE, tree(&[("40000", ".g\u{200c}it")])),
        ("hasDot", TREE, tree(&[("40000", ".")])),
        ("hasDotdot", TREE, tree(&[("40000", "..")])),
        ("fullPathname", TREE, tree(&[("100644", "a/b")])),
        ("badTree", TREE, tree(&[("100644", "")])),
        ("zeroPaddedFilemode", TREE, tree(&[("040000", "a")])),
        ("treeNotSorted", TREE, tree(&[("100644", "b"), ("100644", "a")])),
        ("duplicateEntries", TREE, tree(&[("100644", "a"), ("100644", "a")])),
        ("duplicateEntries", TREE, tree(&[("100644", "a"), ("100644", "a.b"), ("40000", "a")])),
        ("gitmodulesSymlink", TREE, tree(&[("120000", ".gitmodules")])),
        ("badTree", TREE, b"100644 a\0short".to_vec()),
        ("nullSha1", TREE, [&b"100644 a\0"[..], &[0; 20]].concat()),
        ("missingNameBeforeEmail", COMMIT, commit("<a@x> 1 +0000")),
        ("missingSpaceBeforeEmail", COMMIT, commit("A<a@x> 1 +0000")),
        ("missingEmail", COMMIT, commit("A 1 +0000")),
        ("badEmail", COMMIT, commit("A <a<@x> 1 +0000")),
        ("badName", COMMIT, commit("A> <a@x> 1 +0000")),
        ("missingSpaceBeforeDate", COMMIT, commit("A <a@x>1 +0000")),
        ("badDate", COMMIT, commit("A <a@x> soon +0000")),
        ("zeroPaddedDate", COMMIT, commit("A <a@x> 01 +0000")),
        ("badDateOverflow", COMMIT, commit("A <a@x> 99999999999999999999 +0000")),
        ("badTimezone", COMMIT, commit("A <a@x> 1 +000")),
        ("missingTree", COMMIT, b"author A <a@x> 1 +0000\n\n".to_vec()),
        (
            "missingAuthor",
            COMMIT,
            format!("tree {empty_tree}\ncommitter C <c@x> 1 +0000\n\n").into(),
        ),
        ("unterminatedHeader", COMMIT, format!("tree {empty_tree}").into()),
        ("badTreeSha1", COMMIT, b"tree 12\nauthor A <a@x> 1 +0000\n\n".to_vec()),
        ("missingObject", 4, b"type commit\ntag x\n\n".to_vec()),
        ("badType", 4, format!("object {empty_tree}\ntype trie\ntag x\n\n").into()),
    ];
    let (count, mut named) = (cases.len(), 0);
    for (rule, kind, content) in cases {
        let mut pack = forge();
        pack.object(kind, &content);
        let pack = pack.finish();
        check(rule, &pack, |e| matches!(e, IndexError::Fsck { error, .. } if error.rule == rule));
        // The judge: git refuses it under the same name.
        let repo = Repo::init(ObjectFormat::Sha1);
        let out = git_output(repo.path(), &["index-pack", "--strict", "--stdin"], &pack);
        let words = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!out.status.success(), "{rule}");
        named += usize::from(words.contains(rule));
        let gate = Gate::empty(ObjectFormat::Sha1);
        gate.index(&mut &pack[..], &LIMITS, Check::Origin).expect("an origin's past is its own");
    }
    // What git cannot even parse it refuses without naming the rule.
    assert!(named + 6 >= count, "{named} of {count}");
}

#[test]
fn checks_gitmodules_by_whatever_name_they_come() {
    let format = ObjectFormat::Sha1;
    for name in [".gitmodules", ".GITMODULES.", "GITMOD~1"] {
        let text = b"[submodule \"a\"]\n\tpath = a\n\turl = -x\n";
        let blob = hash_object(format, Kind::Blob, text).expect("no attack");
        let mut pack = forge();
        pack.object(TREE, &[format!("100644 {name}\0").as_bytes(), blob.as_bytes()].concat());
        pack.object(BLOB, text);
        check(
            name,
            &pack.finish(),
            |e| matches!(e, IndexError::Fsck { id, error } if *id == blob && error.rule == "gitmodulesUrl"),
        );
    }
}

#[test]
fn a_quarantine_vanishes_when_it_is_dropped() {
    let repo = Repo::init(ObjectFormat::Sha1).with_history(3);
    let gate = Gate::empty(ObjectFormat::Sha1);
    let (quarantine, _) = gate.push(&repo.pack(&[], "main\n")).expect("good");
    let packs = quarantine.packs().clone();
    drop(quarantine);
    let left = std::fs::read_dir(gate.store.dir().join("quarantine")).expect("list").count();
    assert_eq!(left, 0);
    let mut bytes = Vec::new();
    packs.read(&repo.id("main"), &mut bytes).expect("who holds it still reads it");
    assert!(!gate.store.snapshot().packs().contains(&repo.id("main")));
}

#[test]
fn a_large_pack_is_taken_and_read_like_a_small_one() {
    let repo = Repo::init(ObjectFormat::Sha1).with_history(5);
    // Bytes that do not deflate: a multiplicative generator's.
    let mut state = 1_u64;
    let mut noise = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    let mut big: Vec<u8> = (0..34 << 20).map(|_| noise()).collect();
    repo.write("big", &big);
    repo.commit("big");
    big[17 << 20] ^= 1;
    repo.write("big", &big);
    repo.commit("a little different");
    let pack = repo.pack(&["--delta-base-offset"], "main\n");
    assert!(pack.len() < 40 << 20, "git made a delta");
    let limits = IndexLimits { pack_bytes: 64 << 20, object_bytes: 64 << 20, ..LIMITS };
    let gate = Gate::empty(ObjectFormat::Sha1);
    let (quarantine, _) = gate.index(&mut &pack[..], &limits, Check::Push).expect("good");
    assert_holds(&quarantine, &repo.objects(&["--all"]));
    for name in ["main:big", "main~1:big"] {
        let mut streamed = Vec::new();
        let mut reader = quarantine.packs().reader();
        let id = repo.id(name);
        reader.read_to(&id, &mut streamed).expect("streams");
        assert_eq!(hash_object(ObjectFormat::Sha1, Kind::Blob, &streamed), Ok(id));
    }
    let incoming = &quarantine.packs().packs()[0];
    let mut bytes = Vec::new();
    incoming.range(5..u64::MAX).read_to_end(&mut bytes).expect("read");
    assert_eq!(bytes, pack[5..]);
}
