//! What is sent, against `git rev-list --objects`.

use std::collections::BTreeSet;

use gate_store::{Filter, Interrupt, Negotiation, PackRequest};
use proto::ObjectId;

use crate::history::{Dice, random};
use crate::mirror::{Client, Mirror, pack};
use crate::support::FORMATS;

fn hex(ids: &[ObjectId], not: &[ObjectId]) -> Vec<String> {
    let wants = ids.iter().map(ObjectId::to_hex);
    wants.chain(not.iter().map(|id| format!("^{id}"))).collect()
}

fn args(all: &[String]) -> Vec<&str> {
    all.iter().map(String::as_str).collect()
}

#[test]
fn a_clone_gets_exactly_what_its_wants_reach() {
    for format in FORMATS {
        let history = random(format, 1, 60);
        let mirror = Mirror::of(&history.repo);
        let snapshot = mirror.snapshot();
        let mut dice = Dice::new(7);
        for round in 0..8 {
            let mut wants: Vec<_> =
                (0..=dice.below(3)).map(|_| *dice.pick(&history.commits)).collect();
            if round % 2 == 0 {
                wants.push(*dice.pick(&history.tags));
            }
            let request = PackRequest {
                wants: wants.clone(),
                ofs_delta: round % 3 != 0,
                ..PackRequest::default()
            };
            let client = Client::new(format);
            client.take(&pack(&snapshot, request));
            assert_eq!(client.objects(), mirror.objects(&args(&hex(&wants, &[]))), "{wants:?}");
        }
    }
}

#[test]
fn a_fetch_gets_what_is_new_and_nothing_that_no_want_reaches() {
    for format in FORMATS {
        let history = random(format, 2, 80);
        let mirror = Mirror::of(&history.repo);
        let snapshot = mirror.snapshot();
        let mut dice = Dice::new(3);
        let mut sent = 0;
        let mut least = 0;
        for round in 0..24 {
            let some = |dice: &mut Dice, n| {
                (0..=dice.below(n)).map(|_| *dice.pick(&history.commits)).collect()
            };
            let mut wants: Vec<ObjectId> = some(&mut dice, 2);
            let mut haves: Vec<ObjectId> = some(&mut dice, 3);
            if round % 4 == 0 {
                wants.push(*dice.pick(&history.tags));
                haves.push(*dice.pick(&history.tags));
            }
            let client = Client::new(format);
            client.take(&pack(
                &snapshot,
                PackRequest { wants: haves.clone(), ofs_delta: true, ..PackRequest::default() },
            ));
            let had = client.objects();

            let request = PackRequest {
                wants: wants.clone(),
                common: haves.clone(),
                thin: round % 2 == 0,
                ofs_delta: round % 3 != 0,
                ..PackRequest::default()
            };
            let fresh = Client::new(format);
            let answer = pack(&snapshot, request.clone());
            client.take_thin(&answer);
            client.is_whole(&wants);
            let reached = mirror.objects(&args(&hex(&wants, &[])));
            let expected = mirror.objects(&args(&hex(&wants, &haves)));
            // Without the bases that make a thin pack whole, for these are not sent.
            fresh.take_partial(&pack(&snapshot, PackRequest { thin: false, ..request }));
            let got = fresh.objects();
            assert!(got.is_subset(&reached), "round {round}: {:?}", got.difference(&reached));
            let missing: BTreeSet<_> =
                expected.difference(&got).filter(|id| !had.contains(*id)).collect();
            assert!(missing.is_empty(), "round {round}: {missing:?}");
            sent += got.len();
            least += expected.len();
        }
        assert!(sent <= least + least / 4 + 40, "{sent} objects sent where {least} are new");
    }
}

#[test]
fn a_filter_leaves_out_what_git_leaves_out() {
    let specs = [
        "blob:none",
        "blob:limit=0",
        "blob:limit=1500",
        "blob:limit=3k",
        "tree:0",
        "tree:1",
        "tree:2",
        "tree:3",
        "tree:4",
        "object:type=commit",
        "object:type=tree",
        "object:type=blob",
        "object:type=tag",
        "combine:tree:3+blob:limit=2k",
        "combine:blob:none+tree:2",
        "combine:object:type=blob+blob:limit=1k",
    ];
    for format in FORMATS {
        let history = random(format, 4, 40);
        let mirror = Mirror::of(&history.repo);
        let snapshot = mirror.snapshot();
        let tree = history.repo.id("t1^{tree}");
        let blob = ObjectId::from_hex(
            history
                .repo
                .git(&["ls-tree", "-r", "--format=%(objecttype) %(objectname)", "t1"])
                .lines()
                .find_map(|l| l.strip_prefix("blob "))
                .expect("a blob")
                .as_bytes(),
        )
        .expect("an id");
        let wants = [
            vec![*history.commits.last().expect("commits")],
            vec![history.commits[20], history.tags[0]],
            vec![history.commits[30], tree, blob],
            vec![history.tags[3], tree],
            vec![blob],
        ];
        // The hash changes nothing in what a filter means.
        for spec in specs.iter().skip(if format == FORMATS[0] { 0 } else { 12 }) {
            for wants in &wants {
                let filter = Some(Filter::parse(spec.as_bytes()).expect("a filter"));
                let request = PackRequest {
                    wants: wants.clone(),
                    filter,
                    ofs_delta: true,
                    thin: true,
                    ..PackRequest::default()
                };
                let client = Client::new(format);
                client.take_partial(&pack(&snapshot, request));
                // One by one: git forgets that a tree or blob was wanted once a commit leads to it.
                let option = format!("--filter={spec}");
                let one = |id: &ObjectId| mirror.objects(&[&option, &id.to_hex()]);
                let expected: BTreeSet<_> = wants.iter().flat_map(one).collect();
                assert_eq!(client.objects(), expected, "{spec} {wants:?}");
            }
        }
    }
}

#[test]
fn tags_follow_what_they_point_to() {
    for format in FORMATS {
        let history = random(format, 5, 30);
        let mirror = Mirror::of(&history.repo);
        let snapshot = mirror.snapshot();
        for tip in history.commits.iter().step_by(4) {
            let request =
                PackRequest { wants: vec![*tip], include_tag: true, ..PackRequest::default() };
            let client = Client::new(format);
            client.take(&pack(&snapshot, request));
            let without = mirror.objects(&[&tip.to_hex()]);
            let mut expected = without.clone();
            for tag in snapshot.refs().prefixed(b"refs/tags/") {
                if tag.peeled.is_some_and(|peeled| without.contains(&peeled)) {
                    expected.extend(mirror.objects(&[
                        "--ignore-missing",
                        "--no-walk",
                        &tag.target.to_hex(),
                    ]));
                    let mut at = tag.target.to_hex();
                    while history.repo.git(&["cat-file", "-t", &at]) == "tag" {
                        expected.insert(ObjectId::from_hex(at.as_bytes()).expect("an id"));
                        let body = history.repo.git(&["cat-file", "-p", &at]);
                        at = body
                            .lines()
                            .next()
                            .and_then(|l| l.strip_prefix("object "))
                            .expect("a tag")
                            .to_owned();
                    }
                }
            }
            expected.retain(|id| {
                without.contains(id) || history.repo.git(&["cat-file", "-t", &id.to_hex()]) == "tag"
            });
            assert_eq!(client.objects(), expected);
        }
    }
}

#[test]
fn negotiation_is_ready_when_every_want_has_a_common_ancestor() {
    for format in FORMATS {
        let history = random(format, 6, 50);
        let mirror = Mirror::of(&history.repo);
        let snapshot = mirror.snapshot();
        let interrupt = Interrupt::default();
        let mut dice = Dice::new(9);
        for _ in 0..25 {
            let wants = [*dice.pick(&history.commits), *dice.pick(&history.commits)];
            let haves = [*dice.pick(&history.commits), *dice.pick(&history.commits)];
            let mut negotiation = Negotiation::new(&snapshot, &wants).expect("wants");
            assert!(!negotiation.ready(&interrupt).expect("readable"));
            assert!(
                !negotiation
                    .have(
                        &ObjectId::from_hex("12".repeat(format.raw_len()).as_bytes()).expect("hex")
                    )
                    .expect("readable")
            );
            for have in &haves {
                assert!(negotiation.have(have).expect("readable"));
            }
            let ready = negotiation.ready(&interrupt).expect("readable");
            let related = wants.iter().all(|want| {
                haves.iter().any(|have| {
                    history.repo.is_ancestor(have, want) || shares_parent(&history.repo, have, want)
                })
            });
            // A wrong clock may hide an ancestor behind the oldest have's date; it never invents one.
            assert!(!ready || related, "{wants:?} {haves:?}");
            let direct = wants.iter().all(|want| haves.contains(want));
            assert!(ready || !direct);
        }
    }
}

/// The client has the parents of what it has, too.
fn shares_parent(repo: &crate::support::Repo, have: &ObjectId, want: &ObjectId) -> bool {
    let parents = repo.git(&["rev-parse", &format!("{have}^@")]);
    parents.lines().any(|parent| {
        let parent = ObjectId::from_hex(parent.as_bytes()).expect("an id");
        repo.is_ancestor(&parent, want)
    })
}
