use gate_core::session::Mode;
use proto::Version;

use crate::kit::{Repo, line};

const ONE: &str = "git commit -q --allow-empty -m one";

async fn refusal(repo: &Repo, version: Version, request: &[u8]) -> String {
    let (answer, served) = repo.ours(version, Mode::Request, request).await;
    let said = served.expect_err("it is refused").to_string();
    let told = String::from_utf8_lossy(&answer).into_owned();
    assert!(told.contains(&said), "the client is told: {told}");
    said
}

fn fetch(lines: &[String]) -> Vec<u8> {
    let mut request = [line("command=fetch"), b"0001".to_vec()].concat();
    lines.iter().for_each(|text| request.extend(line(text)));
    request.extend(b"0000");
    request
}

#[tokio::test]
async fn what_no_ref_reaches_is_not_ours() {
    let repo = Repo::new("sha1", ONE);
    let id = "12".repeat(20);
    let line_of = format!("upload-pack: not our ref {id}");
    let v2 = fetch(&[format!("want {id}"), "done".into()]);
    assert_eq!(refusal(&repo, Version::V2, &v2).await, line_of);
    let v0 = [line(format!("want {id} side-band-64k")), b"0000".to_vec(), line("done")].concat();
    assert_eq!(refusal(&repo, Version::V0, &v0).await, line_of);
    let all = fetch(&["sideband-all".into(), format!("want {id}"), "done".into()]);
    assert_eq!(refusal(&repo, Version::V2, &all).await, line_of);
}

#[tokio::test]
async fn each_refusal_says_what_was_wrong() {
    let repo = Repo::new("sha1", ONE);
    let tip = repo.git(&["rev-parse", "main"]);
    let want = format!("want {tip}");
    for (lines, said) in [
        (vec!["want 12".to_owned()], "protocol error: expected an object id to want, got '12'"),
        (
            vec!["gimme\x1b".to_owned()],
            "protocol error: expected an argument of fetch, got 'gimme\\x1b'",
        ),
        (vec!["want-ref refs/heads/none".to_owned()], "unknown ref refs/heads/none"),
        (
            vec![want.clone(), "filter sparse:oid=main".to_owned()],
            "filter 'sparse:oid' not supported",
        ),
        (
            vec![want.clone(), "deepen 0".to_owned()],
            "protocol error: expected a depth, got 'deepen 0'",
        ),
        (
            vec![want.clone(), "deepen 1".to_owned(), "deepen-since 5".to_owned()],
            "deepen and deepen-since (or deepen-not) cannot be used together",
        ),
        (
            vec![want.clone(), "deepen-not nowhere".to_owned()],
            "upload-pack: deepen-not is not a ref: nowhere",
        ),
        (
            (0..101).map(|n| format!("have {n:040x}")).collect(),
            "more than 100 haves in one request (limits.haves)",
        ),
        (
            (0..101).map(|n| format!("want {n:040x}")).collect(),
            "more than 100 wants in one request (limits.wants)",
        ),
    ] {
        assert_eq!(refusal(&repo, Version::V2, &fetch(&lines)).await, said);
    }
    for (request, said) in [
        ([line("command=push"), b"0000".to_vec()].concat(), "invalid command 'push'"),
        ([line("agent=x"), b"0000".to_vec()].concat(), "no command requested"),
        ([line("bundle-uri"), b"0000".to_vec()].concat(), "unknown capability 'bundle-uri'"),
        (
            [line("command=ls-refs"), line("object-format=sha256"), b"0000".to_vec()].concat(),
            "mismatched object format: server sha1; client sha256",
        ),
        (b"0003".to_vec(), "protocol error: pkt-line length 3 is not allowed"),
        (line("command=fetch"), "the remote end hung up in the middle of a request"),
    ] {
        assert_eq!(refusal(&repo, Version::V2, &request).await, said);
    }
}
