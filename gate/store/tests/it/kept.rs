//! Packs that are sent as they lie: when, and never more than what is wanted.

use std::path::PathBuf;
use std::sync::Barrier;

use gate_store::{Interrupt, Kind, PackRequest, hash_object, plan};
use proto::{ObjectFormat, ObjectId};

use crate::gate::Gate;
use crate::history::Dice;
use crate::mirror::{Client, Mirror, pack};
use crate::support::{FORMATS, Repo};

/// A history whose packs are large enough to be kept.
fn large(format: ObjectFormat) -> Repo {
    let repo = Repo::init(format).with_history(60);
    repo.git(&["checkout", "-q", "--orphan", "noise"]);
    repo.write("noise.bin", noise(5, 400_000));
    let root = repo.commit("noise");
    repo.git(&["checkout", "-q", "main"]);
    // main grows on from a merge of both, so that every later commit holds the noise.
    repo.git(&["merge", "-q", "--allow-unrelated-histories", "-m", "merge", &root.to_hex()]);
    repo.git(&["branch", "-q", "-D", "noise"]);
    for n in 0..20 {
        repo.write("late.txt", format!("{n}\n"));
        repo.commit("late");
    }
    repo.git(&["tag", "-a", "-m", "t", "v1", "HEAD~3"]);
    repo
}

/// Bytes that do not deflate.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut dice = Dice::new(seed);
    (0..len).map(|_| dice.below(256) as u8).collect()
}

fn wants(ids: &[ObjectId]) -> PackRequest {
    PackRequest {
        wants: ids.to_vec(),
        ofs_delta: true,
        include_tag: true,
        ..PackRequest::default()
    }
}

/// The certificates of at least so many kept packs. They are finished behind the answer's back.
fn kept(mirror: &Mirror, at_least: usize) -> Vec<PathBuf> {
    while mirror.store.kept().packs < at_least {
        std::thread::yield_now();
    }
    let Ok(dir) = std::fs::read_dir(mirror.path().join("kept")) else { return Vec::new() };
    let all = dir.map(|entry| entry.expect("listed").path());
    all.filter(|path| path.extension().is_some_and(|extension| extension == "tips")).collect()
}

#[test]
fn a_clone_of_everything_is_the_pack_as_it_lies() {
    for format in FORMATS {
        let repo = large(format);
        let mirror = Mirror::of(&repo);
        // Stock git made this mirror, so that nothing proves it holds no more than its refs reach.
        let all: Vec<_> = mirror.snapshot().refs().iter().map(|entry| entry.target).collect();
        let client = Client::new(format);
        client.take(&pack(&mirror.snapshot(), wants(&all)));
        client.is_whole(&all);
        assert_eq!(client.objects(), mirror.objects(&["--all"]));
    }
}

#[test]
fn the_same_question_is_answered_by_the_same_file() {
    for format in FORMATS {
        let repo = large(format);
        let mirror = Mirror::of(&repo);
        let tip = repo.id("HEAD~10");
        let first = pack(&mirror.snapshot(), wants(&[tip]));
        let files = kept(&mirror, 1);
        assert_eq!(std::fs::read(files[0].with_extension("pack")).expect("a pack"), first);
        let client = Client::new(format);
        client.take(&first);
        assert_eq!(client.objects(), mirror.objects(&[&tip.to_hex()]));
        let verify = files[0].with_extension("idx").display().to_string();
        crate::support::git(
            &mirror.path(),
            &["verify-pack", &format!("--object-format={}", format.as_str()), &verify],
        );

        let mirror = mirror.reopen();
        assert_eq!(pack(&mirror.snapshot(), wants(&[tip])), first);
        assert_eq!(kept(&mirror, 1).len(), 1);
        // Another filter is another question.
        let filter = gate_store::Filter::parse(b"blob:limit=1m").ok();
        let request = PackRequest { filter, ..wants(&[tip]) };
        let filtered = pack(&mirror.snapshot(), request.clone());
        assert_eq!(kept(&mirror, 1).len(), 1, "it may never be asked again");
        for _ in 0..2 {
            assert_eq!(pack(&mirror.snapshot(), request.clone()), filtered);
            assert_eq!(kept(&mirror, 2).len(), 2);
        }
    }
}

#[test]
fn a_later_state_is_a_kept_pack_and_a_tail() {
    for format in FORMATS {
        let repo = large(format);
        let mirror = Mirror::of(&repo);
        let snapshot = mirror.snapshot();
        let first = pack(&snapshot, wants(&[repo.id("HEAD~10")]));
        kept(&mirror, 1);
        for (tip, kept_packs) in [("HEAD~5", 1), ("HEAD", 1), ("HEAD~5", 1), ("HEAD~12", 2)] {
            let tip = repo.id(tip);
            let answer = pack(&snapshot, wants(&[tip]));
            let client = Client::new(format);
            client.take(&answer);
            let mut expected = mirror.objects(&[&tip.to_hex()]);
            let tag = repo.id("v1");
            if expected.contains(&repo.id("v1^{commit}")) {
                expected.insert(tag);
            }
            assert_eq!(client.objects(), expected, "no more than is wanted, whatever was kept");
            assert_eq!(
                kept(&mirror, kept_packs).len(),
                kept_packs,
                "{tip} {}",
                client.objects().len()
            );
            if kept_packs == 1 {
                assert_eq!(answer[12..5000], first[12..5000]);
            }
            assert_eq!(pack(&snapshot, wants(&[tip])), answer, "remembered");
        }
    }
}

#[test]
fn many_who_ask_at_once_share_one_generation() {
    let repo = large(ObjectFormat::Sha1);
    let mirror = Mirror::of(&repo);
    let tip = repo.id("HEAD~10");
    let barrier = Barrier::new(8);
    let packs: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let ask = || {
            barrier.wait();
            pack(&mirror.snapshot(), wants(&[tip]))
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().expect("a pack")).collect()
    });
    assert!(packs.iter().all(|pack| *pack == packs[0]));
    assert_eq!(kept(&mirror, 1).len(), 1);
    Client::new(ObjectFormat::Sha1).take(&packs[0]);
}

#[test]
fn who_goes_away_leaves_no_file_and_harms_nobody() {
    let repo = large(ObjectFormat::Sha1);
    let mirror = Mirror::of(&repo);
    let tip = repo.id("HEAD~10");
    let interrupt = Interrupt::default();
    interrupt.set();
    let gone = plan(&mirror.snapshot(), wants(&[tip]), &Interrupt::default(), &mut |_| {})
        .expect("a plan");
    assert!(gone.write(&mut Vec::new(), &interrupt, &mut |_| {}).is_err());
    drop(gone);
    let client = Client::new(ObjectFormat::Sha1);
    client.take(&pack(&mirror.snapshot(), wants(&[tip])));
    assert_eq!(client.objects(), mirror.objects(&[&tip.to_hex()]));
    kept(&mirror, 1);
}

#[test]
fn what_is_damaged_or_too_much_is_removed() {
    let repo = large(ObjectFormat::Sha1);
    let mirror = Mirror::of(&repo);
    let tips = [repo.id("HEAD~10"), repo.id("HEAD~15")];
    pack(&mirror.snapshot(), wants(&tips[..1]));
    let one = kept(&mirror, 1)[0].clone();
    pack(&mirror.snapshot(), wants(&tips[1..]));
    let both = kept(&mirror, 2);
    std::fs::write(&one, "kept-pack 1\n").expect("damage");
    std::fs::write(mirror.path().join("kept/x.tmp"), "half").expect("a crash");
    let mirror = mirror.reopen();
    assert_eq!(kept(&mirror, 1), both.into_iter().filter(|path| *path != one).collect::<Vec<_>>());
    assert_eq!(std::fs::read_dir(mirror.path().join("kept")).expect("a list").count(), 3);
    mirror.store.set_kept_limit(1000);
    assert_eq!(std::fs::read_dir(mirror.path().join("kept")).expect("a list").count(), 0);
    let client = Client::new(ObjectFormat::Sha1);
    client.take(&pack(&mirror.snapshot(), wants(&tips[1..])));
    assert!(kept(&mirror, 0).is_empty());
}

/// A mirror as the gate itself makes it: known to hold nothing that no ref reaches.
fn exact(repo: &Repo) -> Gate {
    let gate = Gate::mirror(repo);
    assert!(gate.store.snapshot().is_exact());
    gate
}

fn everything(gate: &Gate) -> PackRequest {
    wants(&gate.store.snapshot().refs().iter().map(|entry| entry.target).collect::<Vec<_>>())
}

#[test]
fn all_that_an_exact_mirror_holds_is_sent_as_it_lies() {
    for format in FORMATS {
        let repo = large(format);
        let gate = exact(&repo);
        let snapshot = gate.store.snapshot();
        let file = snapshot.packs().packs()[0].path().to_owned();
        let answer = pack(&snapshot, everything(&gate));
        assert_eq!(answer, std::fs::read(&file).expect("a pack"));
        // Who wants what reaches the rest wants it all.
        assert_eq!(pack(&snapshot, wants(&[repo.id("main"), repo.id("v1")])), answer);
        assert_eq!(pack(&snapshot, wants(&[repo.id("main")])), answer, "the tag follows");
        let no_ofs = pack(&snapshot, PackRequest { ofs_delta: false, ..everything(&gate) });
        assert_ne!(no_ofs, answer);
        Client::new(format).take(&no_ofs);
    }
}

#[test]
fn what_came_later_follows_the_first_pack() {
    for format in FORMATS {
        let repo = large(format);
        let gate = exact(&repo);
        let first = pack(&gate.store.snapshot(), everything(&gate));
        for n in 0..3 {
            repo.write("a/long.txt", format!("{n}\n").repeat(200));
            repo.commit("later");
            gate.refresh(&repo).expect("refreshed");
        }
        let snapshot = gate.store.snapshot();
        assert!(snapshot.is_exact() && snapshot.packs().packs().len() == 4);
        let answer = pack(&snapshot, everything(&gate));
        assert_eq!(
            answer[12..first.len() - format.raw_len()],
            first[12..first.len() - format.raw_len()]
        );
        let client = Client::new(format);
        client.take(&answer);
        assert_eq!(client.objects(), repo.objects(&["--all"]).into_iter().collect());
        assert_eq!(pack(&snapshot, everything(&gate)), answer, "remembered");
    }
}

#[test]
fn what_the_origin_forced_away_is_not_sent() {
    for format in FORMATS {
        let repo = large(format);
        repo.write("lost.txt", "lost");
        let lost = repo.commit("lost");
        let gate = exact(&repo);
        let whole = pack(&gate.store.snapshot(), everything(&gate));
        repo.git(&["reset", "-q", "--hard", "HEAD~1"]);
        gate.refresh(&repo).expect("refreshed");
        let snapshot = gate.store.snapshot();
        assert!(snapshot.packs().contains(&lost) && !snapshot.is_exact());
        let answer = pack(&snapshot, everything(&gate));
        assert_ne!(answer, whole);
        let client = Client::new(format);
        client.take(&answer);
        client.is_whole(&[repo.id("main")]);
        assert!(!client.objects().contains(&lost));
        assert!(
            !client.objects().contains(&hash_object(format, Kind::Blob, b"lost").expect("an id"))
        );
    }
}

#[test]
fn much_that_came_later_is_joined_once() {
    let format = ObjectFormat::Sha1;
    let repo = large(format);
    let gate = exact(&repo);
    repo.write("more.bin", noise(6, 1_200_000));
    repo.commit("more");
    gate.refresh(&repo).expect("refreshed");
    let first = pack(&gate.store.snapshot(), everything(&gate));
    while gate.store.kept().packs == 0 {
        std::thread::yield_now();
    }
    assert_eq!(pack(&gate.store.snapshot(), everything(&gate)), first);
    repo.write("a/long.txt", "later");
    repo.commit("later");
    gate.refresh(&repo).expect("refreshed");
    let second = pack(&gate.store.snapshot(), everything(&gate));
    assert_eq!(second[12..first.len() - 20], first[12..first.len() - 20]);
    let client = Client::new(format);
    client.take(&second);
    assert_eq!(client.objects(), repo.objects(&["--all"]).into_iter().collect());
    assert_eq!(gate.store.kept().packs, 1);
}
