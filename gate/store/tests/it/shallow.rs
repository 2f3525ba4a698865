//! Where history is cut, against what stock git's upload-pack answers to the same request.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use gate_store::{Deepen, DeepenError, Interrupt, PackRequest, deepen};
use proto::{ObjectFormat, ObjectId};

use crate::history::{Dice, random};
use crate::mirror::{Client, Mirror, pack};
use crate::support::{FORMATS, Repo, git, git_output};

/// What stock git said.
#[derive(Debug, Default, PartialEq, Eq)]
struct Stock {
    shallow: BTreeSet<ObjectId>,
    unshallow: BTreeSet<ObjectId>,
    pack: Vec<u8>,
}

/// Sends one v2 `fetch` to stock git. `None` if it refuses.
fn stock(dir: &Path, format: ObjectFormat, lines: &[String]) -> Option<Stock> {
    let mut request = Vec::new();
    let mut packet =
        |text: &str| request.extend_from_slice(format!("{:04x}{text}", text.len() + 4).as_bytes());
    packet("command=fetch");
    packet(&format!("object-format={}", format.as_str()));
    let mut body = b"0001".to_vec();
    for line in lines.iter().map(String::as_str).chain(["ofs-delta", "thin-pack", "done"]) {
        body.extend_from_slice(format!("{:04x}{line}\n", line.len() + 5).as_bytes());
    }
    body.extend_from_slice(b"0000");
    request.extend_from_slice(&body);
    let mut child = Command::new("git")
        .args(["upload-pack", "--stateless-rpc"])
        .arg(dir)
        .env("GIT_PROTOCOL", "version=2")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("git is installed");
    child.stdin.take().expect("piped").write_all(&request).expect("git reads");
    let out = child.wait_with_output().expect("git ends").stdout;
    let mut stock = Stock::default();
    let mut rest = &out[..];
    let mut in_pack = false;
    while rest.len() >= 4 {
        let len =
            usize::from_str_radix(std::str::from_utf8(&rest[..4]).expect("hex"), 16).expect("hex");
        let line = &rest[4..len.max(4)];
        rest = &rest[len.max(4)..];
        let id = |hex: &[u8]| ObjectId::from_hex(hex.trim_ascii_end()).expect("an id");
        match line {
            _ if in_pack => match line {
                [1, data @ ..] => stock.pack.extend_from_slice(data),
                [3, ..] => return None,
                _ => {}
            },
            b"packfile\n" => in_pack = true,
            _ if line.starts_with(b"shallow ") => drop(stock.shallow.insert(id(&line[8..]))),
            _ if line.starts_with(b"unshallow ") => drop(stock.unshallow.insert(id(&line[10..]))),
            _ if line.starts_with(b"ERR ") => return None,
            _ => {}
        }
    }
    in_pack.then_some(stock)
}

/// A client's side: what it has, and where that ends.
struct Shallow {
    client: Client,
    cuts: BTreeSet<ObjectId>,
}

impl Shallow {
    fn new(format: ObjectFormat) -> Self {
        Self { client: Client::new(format), cuts: BTreeSet::new() }
    }

    fn update(&mut self, shallow: &[ObjectId], unshallow: &[ObjectId]) {
        self.cuts.extend(shallow);
        self.cuts.retain(|id| !unshallow.contains(id));
        self.client.set_shallow(&self.cuts.iter().copied().collect::<Vec<_>>());
    }

    /// Commits the client sees from its tips.
    fn commits(&self, tips: &[ObjectId]) -> String {
        let tips: Vec<_> = tips.iter().map(ObjectId::to_hex).collect();
        let mut args = vec!["rev-list"];
        args.extend(tips.iter().map(String::as_str));
        let mut lines: Vec<_> = git(self.client.path(), &args).lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines.join("\n")
    }
}

/// Fetches by our answer and by stock git's, into two clients alike; both must end up the same.
fn fetch_both(
    mirror: &Mirror,
    (ours, theirs): (&mut Shallow, &mut Shallow),
    wants: &[ObjectId],
    haves: &[ObjectId],
    ask: &Deepen,
    words: &[String],
) {
    let snapshot = mirror.snapshot();
    let interrupt = Interrupt::default();
    let cuts: Vec<ObjectId> = ours.cuts.iter().copied().collect();
    let deepened = deepen(&snapshot, wants, &cuts, ask, &interrupt);
    let mut lines: Vec<_> = wants.iter().map(|id| format!("want {id}")).collect();
    lines.extend(cuts.iter().map(|id| format!("shallow {id}")));
    lines.extend(words.iter().cloned());
    lines.extend(haves.iter().map(|id| format!("have {id}")));
    let Some(stock) = stock(&mirror.path(), snapshot.format(), &lines) else {
        assert!(matches!(deepened, Err(DeepenError::Nothing)), "{ask:?}: git refuses");
        return;
    };
    let deepened = deepened.expect("git answers");
    let cut: BTreeSet<_> = deepened.shallow.iter().copied().collect();
    if matches!(ask, Deepen::Relative(_)) {
        // git before 2.54 cuts as well where one end of history lies behind another
        assert!(cut.is_subset(&stock.shallow), "{ask:?} {wants:?} {cuts:?}");
    } else {
        assert_eq!(cut, stock.shallow, "{ask:?} {wants:?} {cuts:?}");
    }
    let same = cut == stock.shallow;
    assert_eq!(
        deepened.unshallow.iter().copied().collect::<BTreeSet<_>>(),
        stock.unshallow,
        "{ask:?} {wants:?} {cuts:?}"
    );
    let (shallow, unshallow) = (deepened.shallow.clone(), deepened.unshallow.clone());
    let request = PackRequest {
        wants: wants.to_vec(),
        common: haves.to_vec(),
        thin: true,
        ofs_delta: true,
        client_shallow: cuts,
        deepened: Some(deepened),
        ..PackRequest::default()
    };
    ours.client.take_lax(&pack(&snapshot, request));
    ours.update(&shallow, &unshallow);
    theirs.client.take_lax(&stock.pack);
    theirs.update(&shallow, &unshallow);
    ours.client.is_whole(wants);
    if !same {
        return;
    }
    assert_eq!(ours.commits(wants), theirs.commits(wants), "{ask:?}");
    if haves.is_empty() {
        assert_eq!(ours.client.objects(), theirs.client.objects(), "{ask:?}");
    }
}

fn depth(n: u32) -> (Deepen, Vec<String>) {
    (Deepen::Depth(n), vec![format!("deepen {n}")])
}

#[test]
fn shallow_clones_end_where_gits_do_and_deepen_as_gits_do() {
    for (seed, format) in [(11, FORMATS[0]), (12, FORMATS[1]), (13, FORMATS[0])] {
        let history = random(format, seed, 50);
        let mirror = Mirror::of(&history.repo);
        let mut dice = Dice::new(seed);
        for _ in 0..8 {
            let mut wants = vec![*dice.pick(&history.commits)];
            if dice.below(2) == 0 {
                wants.push(*dice.pick(&history.commits));
                wants.push(history.tags[0]);
            }
            wants.sort_unstable();
            wants.dedup();
            let mut both = (Shallow::new(format), Shallow::new(format));
            let (ask, words) = depth(1 + dice.below(4) as u32);
            fetch_both(&mirror, (&mut both.0, &mut both.1), &wants, &[], &ask, &words);
            let haves: Vec<_> = wants.clone();
            let (ask, words) = match dice.below(4) {
                0 => (Deepen::Infinite, vec!["deepen 2147483647".to_owned()]),
                1 => {
                    let n = 1 + dice.below(3) as u32;
                    (Deepen::Relative(n), vec![format!("deepen {n}"), "deepen-relative".to_owned()])
                }
                _ => depth(1 + dice.below(9) as u32),
            };
            let more = *dice.pick(&history.commits);
            let wants = if dice.below(2) == 0 { vec![more] } else { wants };
            fetch_both(&mirror, (&mut both.0, &mut both.1), &wants, &haves, &ask, &words);
        }
    }
}

/// One, two, three; four and five beside three's line; a merge of both. Cut at two and four, and deepened by one, history
/// ends at one and nowhere else: what lies behind four is there already.
#[test]
fn an_end_of_history_behind_another_is_none() {
    for format in FORMATS {
        let origin = Repo::init(format);
        let commit = |message: &str| {
            git(origin.path(), &["commit", "-q", "--allow-empty", "-m", message]);
            ObjectId::from_hex(git(origin.path(), &["rev-parse", "HEAD"]).trim().as_bytes())
                .expect("an id")
        };
        let (one, two) = (commit("one"), commit("two"));
        commit("three");
        git(origin.path(), &["checkout", "-q", "-b", "side"]);
        let four = commit("four");
        commit("five");
        git(origin.path(), &["checkout", "-q", "-"]);
        git(origin.path(), &["merge", "-q", "--no-ff", "-m", "merge", "side"]);
        let tip = ObjectId::from_hex(git(origin.path(), &["rev-parse", "HEAD"]).trim().as_bytes())
            .expect("an id");
        let mirror = Mirror::of(&origin);
        let snapshot = mirror.snapshot();
        let ask = |cuts: &[ObjectId], by| {
            deepen(&snapshot, &[tip], cuts, &Deepen::Relative(by), &Interrupt::default())
                .expect("an answer")
        };
        let answer = ask(&[two, four], 1);
        assert_eq!(answer.shallow, [one]);
        let gone: BTreeSet<_> = answer.unshallow.into_iter().collect();
        assert_eq!(gone, BTreeSet::from([two, four]));
        // who has all of history has it still
        assert_eq!(ask(&[], 1), gate_store::Deepened::default());
    }
}

#[test]
fn history_is_cut_by_date_and_by_ref_as_git_cuts_it() {
    for format in FORMATS {
        let history = random(format, 21, 50);
        let mirror = Mirror::of(&history.repo);
        let mut dice = Dice::new(4);
        for _ in 0..12 {
            let wants = [*dice.pick(&history.commits[25..])];
            let date: u64 = history
                .repo
                .git(&["log", "-1", "--format=%ct", &dice.pick(&history.commits).to_hex()])
                .parse()
                .expect("a date");
            let not = 1 + dice.below(history.commits.len());
            let (since, word) = (Some(date), format!("deepen-since {date}"));
            let (not, no) = (vec![history.commits[not - 1]], format!("deepen-not refs/keep/{not}"));
            let (ask, words) = match dice.below(3) {
                0 => (Deepen::RevList { since, not: vec![] }, vec![word]),
                1 => (Deepen::RevList { since: None, not }, vec![no]),
                _ => (Deepen::RevList { since, not }, vec![word, no]),
            };
            let mut both = (Shallow::new(format), Shallow::new(format));
            fetch_both(&mirror, (&mut both.0, &mut both.1), &wants, &[], &ask, &words);
        }
    }
}

#[test]
fn a_shallow_origin_ends_where_it_ends() {
    for format in FORMATS {
        let history = random(format, 31, 40);
        let url = format!("file://{}", history.repo.git_dir().display());
        let origin = Repo::init(format);
        git(
            origin.path(),
            &[
                "fetch",
                "-q",
                "--depth",
                "4",
                &url,
                "+refs/heads/*:refs/heads/*",
                "--update-head-ok",
            ],
        );
        let mirror = Mirror::shallow_of(&origin);
        let snapshot = mirror.snapshot();
        assert!(!snapshot.shallow().is_empty());
        let here: Vec<_> =
            history.commits.into_iter().filter(|id| snapshot.packs().contains(id)).collect();
        let mut dice = Dice::new(2);
        for round in 0..10 {
            let wants = [*dice.pick(&here)];
            let (ask, words) = match round % 3 {
                // What v2 answers although nobody asked.
                0 => (Deepen::Infinite, vec![]),
                1 => (Deepen::Infinite, vec!["deepen 2147483647".to_owned()]),
                _ => depth(1 + dice.below(6) as u32),
            };
            let mut both = (Shallow::new(format), Shallow::new(format));
            fetch_both(&mirror, (&mut both.0, &mut both.1), &wants, &[], &ask, &words);
        }
        let out = git_output(&mirror.path(), &["fsck", "--full", "--strict"], b"");
        assert!(out.status.success());
    }
}
