use gate_core::session::Mode;
use proto::Version;
use proto::pktline::{Decoder, Packet};
use proto::sideband::{self, Band};

use crate::kit::{Repo, line};

/// Branches that part and meet, tags of three kinds, a ref outside heads and tags.
const HISTORY: &str = r#"
commit() { echo "$1" > "$1"; git add .; GIT_COMMITTER_DATE="$((1700000000 + $2)) +0000" \
  GIT_AUTHOR_DATE="$((1700000000 + $2)) +0000" git commit -qm "$1"; }
for n in 1 2 3 4 5 6; do commit main$n $((n * 100)); done
git checkout -q -b side HEAD~3
for n in 1 2 3; do commit side$n $((350 + n * 10)); done
git checkout -q main
git merge -q -m merge side
commit last 900
git tag light HEAD~2
git tag -a -m one annotated HEAD~1
git tag -a -m two nested annotated
git tag -a -m blob blob $(git rev-parse HEAD:last)
git update-ref refs/other/ref HEAD~3
git branch -q topic HEAD~4
"#;

/// The bytes before the pack, and the pack.
fn split(answer: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut decoder = Decoder::default();
    decoder.push(answer);
    let (mut before, mut pack) = (Vec::new(), Vec::new());
    loop {
        match decoder.next_packet() {
            Ok(Some(Packet::Data(data))) => match sideband::split(data) {
                // `sideband-all` frames the words before the pack as well
                Some((Band::Data, data)) if pack.is_empty() && !data.starts_with(b"PACK") => {
                    before.extend_from_slice(&line(data));
                }
                Some((Band::Data, data)) => pack.extend_from_slice(data),
                Some((Band::Progress, _)) => {}
                Some((Band::Error, data)) => before.extend_from_slice(data),
                None => before.extend_from_slice(&line(data)),
            },
            Ok(Some(Packet::Flush)) => before.extend_from_slice(b"0000"),
            Ok(Some(Packet::Delim)) => before.extend_from_slice(b"0001"),
            Ok(Some(Packet::ResponseEnd)) => before.extend_from_slice(b"0002"),
            Ok(None) => break,
            // a pack without a sideband begins here
            Err(_) => {
                pack = decoder.take_rest();
                break;
            }
        }
    }
    (before, pack)
}

pub(crate) async fn check(repo: &Repo, version: Version, mode: Mode, request: &[u8], what: &str) {
    let theirs = repo.theirs(version, mode, request);
    let (ours, served) = repo.ours(version, mode, request).await;
    served.unwrap_or_else(|error| panic!("{what}: {error:?}"));
    let ((their_words, their_pack), (our_words, our_pack)) = (split(&theirs), split(&ours));
    let (mut their_words, mut our_words) = (their_words, our_words);
    if mode == Mode::Stateful || mode == Mode::Advertise {
        (their_words, our_words) = (normal(&their_words), normal(&our_words));
    }
    if !request.windows(5).any(|bytes| bytes == b"have ") {
        // boundaries may be told in any order
        (their_words, our_words) = (sorted(&their_words), sorted(&our_words));
    }
    assert_eq!(
        our_words.escape_ascii().to_string(),
        their_words.escape_ascii().to_string(),
        "{what}"
    );
    assert_eq!(our_pack.is_empty(), their_pack.is_empty(), "{what}");
    if !our_pack.is_empty() {
        assert_eq!(repo.objects(&our_pack), repo.objects(&their_pack), "{what}");
    }
}

fn sorted(words: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(words).into_owned();
    let mut parts: Vec<_> = text.split_inclusive("00").collect();
    parts.sort_unstable();
    parts.concat().into_bytes()
}

/// What each server says of itself differs, and so does the length of that line.
fn normal(words: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(words).into_owned();
    let mut out = String::new();
    for piece in text.split_inclusive('\n') {
        if let Some((head, caps)) = piece.split_once('\0') {
            let caps: Vec<_> = caps
                .trim_end()
                .split(' ')
                .filter(|cap| {
                    !["agent=", "session-id=", "allow-tip"].iter().any(|own| cap.starts_with(own))
                })
                .collect();
            out.push_str(&format!("{}\0{}\n", &head[4..], caps.join(" ")));
        } else {
            out.push_str(piece);
        }
    }
    out.into_bytes()
}

fn haves(repo: &Repo, names: &[&str]) -> Vec<Vec<u8>> {
    names
        .iter()
        .map(|name| match *name {
            "-" => b"0000".to_vec(),
            "unknown" => line(format!("have {}\n", "12".repeat(20))),
            name => line(format!("have {}\n", repo.git(&["rev-parse", name]))),
        })
        .collect()
}

/// Rounds of haves, `-` for a flush.
const ROUNDS: &[&[&str]] = &[
    &[],
    &["-"],
    &["unknown", "-"],
    &["unknown", "unknown", "-", "unknown"],
    &["main~3", "-"],
    &["main~3", "unknown", "-"],
    &["unknown", "main~3", "unknown", "-"],
    &["main~3", "main~4", "main~5", "-", "unknown", "-"],
    &["side", "-", "main~1", "-", "unknown"],
    &["side", "side", "topic", "unknown", "unknown"],
    &["main~2^{tree}", "-", "annotated", "-"],
    &["main", "unknown", "-"],
];

#[tokio::test]
async fn v0_acknowledges_as_git_does() {
    let repo = Repo::new("sha1", HISTORY);
    let tip = repo.git(&["rev-parse", "main"]);
    let topic = repo.git(&["rev-parse", "topic"]);
    for caps in [
        "",
        " side-band-64k no-progress",
        " multi_ack side-band no-progress ofs-delta",
        " multi_ack_detailed side-band-64k thin-pack no-progress ofs-delta include-tag",
        " multi_ack_detailed no-done side-band-64k thin-pack no-progress ofs-delta",
    ] {
        for rounds in ROUNDS {
            for (mode, done) in
                [(Mode::Request, true), (Mode::Request, false), (Mode::Stateful, true)]
            {
                let mut request = line(format!("want {tip}{caps}\n"));
                request.extend(line(format!("want {topic}\n")));
                request.extend(b"0000");
                request.extend(haves(&repo, rounds).concat());
                if done {
                    request.extend(line("done\n"));
                } else if rounds.last() != Some(&"-") {
                    request.extend(b"0000");
                }
                let what = format!("{mode:?} caps '{caps}' rounds {rounds:?} done {done}");
                check(&repo, Version::V0, mode, &request, &what).await;
            }
        }
    }
}

#[tokio::test]
async fn v2_acknowledges_as_git_does() {
    let repo = Repo::new("sha1", HISTORY);
    let tip = repo.git(&["rev-parse", "main"]);
    for rounds in ROUNDS {
        for extra in [
            &[][..],
            &["done\n"],
            &["wait-for-done\n"],
            &["thin-pack\n", "include-tag\n", "ofs-delta\n"],
            &["sideband-all\n"],
        ] {
            let mut request = [line("command=fetch"), b"0001".to_vec()].concat();
            request.extend(line("no-progress\n"));
            extra.iter().for_each(|extra| request.extend(line(extra)));
            request.extend(line(format!("want {tip}\n")));
            haves(&repo, rounds)
                .iter()
                .filter(|have| *have != b"0000")
                .for_each(|have| request.extend(have));
            request.extend(b"0000");
            let what = format!("rounds {rounds:?} with {extra:?}");
            check(&repo, Version::V2, Mode::Request, &request, &what).await;
        }
    }
}

#[tokio::test]
async fn boundaries_move_as_gits_do() {
    for version in [Version::V0, Version::V2] {
        let repo = Repo::new("sha1", HISTORY);
        let id = |name: &str| repo.git(&["rev-parse", name]);
        let tip = id("main");
        for depth in [
            &["deepen 1"][..],
            &["deepen 3"],
            &["deepen 2147483647"],
            &["deepen-since 1700000500"],
            &["deepen-not side"],
            &["deepen-not refs/heads/topic", "deepen-since 1700000100"],
            &["shallow main~1", "deepen 3"],
            &["shallow main~1", "deepen 2147483647"],
            &["shallow main~1"],
        ] {
            let lines: Vec<_> = depth
                .iter()
                .map(|line| match line.strip_prefix("shallow ") {
                    Some(name) => format!("shallow {}", id(name)),
                    None => (*line).to_owned(),
                })
                .collect();
            let mut request = Vec::new();
            if version == Version::V2 {
                request = [line("command=fetch"), b"0001".to_vec()].concat();
                request.extend(line("no-progress\n"));
                request.extend(line(format!("want {tip}\n")));
            } else {
                request.extend(line(format!("want {tip} side-band-64k no-progress shallow\n")));
            }
            lines.iter().for_each(|text| request.extend(line(format!("{text}\n"))));
            if version == Version::V0 {
                request.extend(b"0000");
            }
            request.extend(line("done\n"));
            if version == Version::V2 {
                request.extend(b"0000");
            }
            check(&repo, version, Mode::Request, &request, &format!("{version:?} {depth:?}")).await;
        }
    }
}

#[tokio::test]
async fn refs_are_told_as_git_tells_them() {
    for format in ["sha1", "sha256"] {
        for script in [HISTORY, "git commit -q --allow-empty -m x; git checkout -q --detach"] {
            let repo = Repo::new(format, script);
            for (version, mode) in [
                (Version::V0, Mode::Advertise),
                (Version::V1, Mode::Advertise),
                (Version::V0, Mode::Stateful),
            ] {
                check(&repo, version, mode, b"0000", &format!("{version:?} {mode:?}")).await;
            }
            for arguments in [
                &["peel\n", "symrefs\n", "unborn\n"][..],
                &["symrefs\n"],
                &["peel\n", "ref-prefix refs/tags/\n", "ref-prefix HEAD\n"],
                &["ref-prefix refs/heads/m\n", "ref-prefix refs/heads/\n"],
            ] {
                let mut request = line("command=ls-refs\n");
                request.extend(line(format!("object-format={format}")));
                request.extend(b"0001");
                arguments.iter().for_each(|argument| request.extend(line(argument)));
                request.extend(b"0000");
                let what = format!("{format} {arguments:?}");
                check(&repo, Version::V2, Mode::Request, &request, &what).await;
            }
        }
    }
}

/// git 2.39 says nothing at all of an empty repository in v0; later ones tell their capabilities, as we do.
#[tokio::test]
async fn an_empty_repository_is_told_as_empty() {
    for format in ["sha1", "sha256"] {
        let repo = Repo::new(format, "true");
        let (told, served) = repo.ours(Version::V0, Mode::Stateful, b"0000").await;
        served.expect("it is served");
        let told = String::from_utf8(told).expect("text");
        assert!(told[4..].starts_with("00000000") && told.contains(" capabilities^{}\0"), "{told}");
        for arguments in [&["symrefs\n", "unborn\n"][..], &["symrefs\n"]] {
            let mut request = line("command=ls-refs\n");
            request.extend(line(format!("object-format={format}")));
            request.extend(b"0001");
            arguments.iter().for_each(|argument| request.extend(line(argument)));
            request.extend(b"0000");
            check(&repo, Version::V2, Mode::Request, &request, &format!("{arguments:?}")).await;
        }
    }
}

#[tokio::test]
async fn sizes_are_told_as_git_tells_them() {
    let repo = Repo::new("sha1", HISTORY);
    let mut request = [line("command=object-info"), b"0001".to_vec(), line("size")].concat();
    for name in ["main", "main^{tree}", "main:last", "annotated"] {
        request.extend(line(format!("oid {}", repo.git(&["rev-parse", name]))));
    }
    request.extend(line(format!("oid {}", "12".repeat(20))));
    request.extend(b"0000");
    check(&repo, Version::V2, Mode::Request, &request, "object-info").await;
}
