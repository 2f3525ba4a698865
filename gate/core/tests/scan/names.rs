//! Secrets outside of files' content: names, messages, identities, headers.

use gate_core::scan::Kind;

use crate::content::{gzip, tar, zip};
use crate::support::{ALNUM, Push, token};

async fn one(push: Push) -> (Kind, u64, String) {
    let findings = push.findings().await;
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].rule, "github-pat");
    (findings[0].kind, findings[0].line, findings[0].text.clone())
}

#[tokio::test]
async fn the_name_of_a_file_or_directory_is_scanned_and_redacted() {
    let secret = token("name");
    let push = Push::new()
        .path(format!("keys/{secret}/x.txt"))
        .blob(format!("keys/{secret}/x.txt"), "x\n");
    let findings = push.findings().await;
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!((findings[0].kind, findings[0].line), (Kind::Path, 0));
    assert_eq!(findings[0].path, "keys/***/x.txt");
    assert!(!findings[0].fingerprint().contains(&secret));
}

#[tokio::test]
async fn the_name_of_a_new_ref_is_scanned() {
    let push = Push::new().create_ref(&format!("refs/heads/wip-{}", token("ref")));
    assert_eq!(one(push).await, (Kind::Ref, 0, "refs/heads/wip-***".to_owned()));
}

#[tokio::test]
async fn a_push_option_is_scanned() {
    let secret = token("option");
    let push = Push::new().option("ci.skip").option(&format!("ci.variable=TOKEN={secret}"));
    let findings = push.findings().await;
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!((findings[0].kind, findings[0].line), (Kind::Option, 0));
    assert_eq!(findings[0].text, "ci.variable=TOKEN=***");
    let print = findings[0].fingerprint();
    assert!(print.ends_with(":/option/ci.variable=TOKEN=***:github-pat:0"), "{print}");
}

#[tokio::test]
async fn every_part_of_a_commit_is_scanned() {
    let secret = token("commit");
    for (line, text, shown) in [
        (1, format!("author {secret} <a@b.c> 1 +0000\n\nm\n"), "author *** <a@b.c> 1 +0000"),
        (2, format!("author a <b> 1 +0000\nx-note {secret}\n\nm\n"), "x-note ***"),
        (4, format!("author a <b> 1 +0000\n\nUse a token\n{secret}\n"), "***"),
    ] {
        assert_eq!(one(Push::new().commit(&text)).await, (Kind::Commit, line, shown.to_owned()));
    }
}

#[tokio::test]
async fn an_annotated_tag_is_scanned() {
    let text =
        format!("object {}\ntype commit\ntag v1\n\nrelease {}\n", "a".repeat(40), token("tag"));
    assert_eq!(one(Push::new().tag(&text)).await, (Kind::Tag, 5, "release ***".to_owned()));
}

/// Most rules want white space, a quote or the end after a token, and no name has that.
#[tokio::test]
async fn what_stands_beside_a_token_in_a_name_hides_nothing() {
    let secret = format!("np{}{}", "m_", crate::support::random("names", 36, ALNUM));
    let random = |seed, length| crate::support::random(seed, length, ALNUM);
    let dotted = format!("S{}.{}.{}", "G", random("key", 22), random("id", 43));
    let findings = Push::new().path(format!("keys/{dotted}/x.txt")).findings().await;
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].text, "keys/***/x.txt");
    for (push, kind, shown) in [
        (Push::new().path(format!("keys/{secret}.txt")), Kind::Path, "keys/***.txt"),
        (Push::new().path(format!("keys/{secret}/x")), Kind::Path, "keys/***/x"),
        (Push::new().create_ref(&format!("refs/heads/{secret}/x")), Kind::Ref, "refs/heads/***/x"),
        (
            Push::new().commit(&format!("author a <{secret}> 1 +0000\n\nm\n")),
            Kind::Commit,
            "author a <***> 1 +0000",
        ),
        (
            Push::new().commit(&format!("committer a <{secret}@b.c> 1 +0000\n\nm\n")),
            Kind::Commit,
            "committer a <***@b.c> 1 +0000",
        ),
        (
            Push::new().tag(&format!("tag x\ntagger a <b@{secret}> 1 +0000\n\nm\n")),
            Kind::Tag,
            "tagger a <b@***> 1 +0000",
        ),
    ] {
        let findings = push.findings().await;
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].rule, "npm-access-token");
        assert_eq!((findings[0].kind, &*findings[0].text), (kind, shown));
    }
}

/// A token may be all small letters, and one with dots in it may have a file's ending behind it, or two.
#[tokio::test]
async fn neither_small_letters_nor_an_ending_hide_a_token_in_a_name() {
    let small = crate::support::random("hf", 34, b"abcdefghijklmnopqrstuvwxyz");
    let random = |seed, length| crate::support::random(seed, length, ALNUM);
    let small = format!("h{}_{small}", "f");
    let dotted = format!("S{}.{}.{}", "G", random("key", 22), random("id", 43));
    let jwt = format!("{0}{1}.{0}{2}.{3}", "ey", random("a", 20), random("b", 50), random("c", 43));
    for (token, rule) in
        [(small, "huggingface-access-token"), (dotted, "sendgrid-api-token"), (jwt, "jwt")]
    {
        for around in ["*", "*.txt", "a/*/x", "old.*.tar.gz", "a/*.b.c.d.e.f/x.y.z", "a@*.b.c"] {
            let name = around.replace('*', &token);
            for push in [
                Push::new().path(name.clone()),
                Push::new().create_ref(&format!("refs/heads/{name}")),
            ] {
                let findings = push.findings().await;
                assert!(!findings.is_empty(), "{rule}: {around}");
                for finding in &findings {
                    assert_eq!(finding.rule, rule, "{around}");
                    let hidden = finding.text.contains("***") && !finding.text.contains(&token);
                    assert!(hidden, "{around}: {}", finding.text);
                }
            }
        }
    }
}

#[tokio::test]
async fn the_name_of_a_file_in_an_archive_is_scanned() {
    let secret = format!("np{}{}", "m_", crate::support::random("member", 36, ALNUM));
    let name = format!("in/{secret}.txt");
    for (data, shown) in [
        (zip(&name, b"x\n"), "a!in/***.txt"),
        (gzip(&tar(&name, b"x\n")), "a!content!in/***.txt"),
        (zip("b.tar", &tar(&name, b"x\n")), "a!b.tar!in/***.txt"),
    ] {
        let findings = Push::new().blob("a", &data).findings().await;
        assert_eq!(findings.len(), 1, "{shown}: {findings:?}");
        assert_eq!((findings[0].line, &*findings[0].rule), (0, "npm-access-token"));
        assert_eq!(findings[0].path, shown);
        assert!(!findings[0].text.contains(&secret), "{}", findings[0].text);
        let old = Push::new().blob("a", &data).origin("a", &data);
        assert!(old.findings().await.is_empty(), "{shown}");
    }
}

#[tokio::test]
async fn what_is_encoded_in_a_message_is_told_by_the_line_where_it_begins() {
    let text = format!("{}T = '{}'\n", "# pad pad pad\n".repeat(9), token("encoded message"));
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    let lines: String = hex
        .as_bytes()
        .chunks(60)
        .map(|line| format!("{}\n", String::from_utf8_lossy(line)))
        .collect();
    let commit = format!("author a <b> 1 +0000\n\nA dump:\n\n{lines}");
    let findings = Push::new().commit(&commit).findings().await;
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(
        (findings[0].kind, findings[0].line, &*findings[0].text),
        (Kind::Commit, 5, "T = '***'")
    );
    assert!(findings[0].path.is_empty());
}

#[tokio::test]
async fn ids_in_a_commits_headers_are_no_secrets() {
    let id = "8f3c1d5e7a9b2c4d6e8f0a1b3c5d7e9f1a2b3c4d";
    let text =
        format!("tree {id}\nparent {id}\nauthor a <b> 1 +0000\n\nUpdate the sourcegraph client\n");
    assert!(Push::new().commit(&text).findings().await.is_empty());
}

#[tokio::test]
async fn names_made_to_confuse_a_patch_reader_hide_nothing() {
    let secret = token("parser");
    let names: [&[u8]; 8] = [
        b"conf.py\\",
        b"a\n+++ b/x \"y",
        b"tab\there",
        b" leading and trailing ",
        b"\xff\xfe",
        b"dev/null",
        "ü/\u{202e}".as_bytes(),
        &[b'd'; 4200],
    ];
    for name in names {
        let push = Push::new()
            .blob(name, format!("T = '{secret}'\n"))
            .blob("b.py", format!("x\ny = '{secret}'\n"));
        let found: Vec<_> = push.findings().await.into_iter().map(|f| (f.path, f.line)).collect();
        assert!(found.contains(&(name.into(), 1)), "{}: {found:?}", name.escape_ascii());
        assert!(found.contains(&("b.py".into(), 2)), "{}: {found:?}", name.escape_ascii());
    }
}

#[tokio::test]
async fn content_that_imitates_a_patch_hides_nothing() {
    let text = format!(
        "commit {}\nAuthor: x <x@y>\n\ndiff --git a/q b/q\nindex 1..2 100644\nBinary files a/q and b/q differ\n\
         --- a/q\n+++ b/q\n@@ -1 +1 @@\n-x\n+y\nT = '{}'\n\\ No newline at end of file\n",
        "1".repeat(40),
        token("fake")
    );
    let findings = Push::new().blob("p.txt", text).findings().await;
    assert_eq!(
        findings.iter().map(|f| (f.path.to_string(), f.line)).collect::<Vec<_>>(),
        [("p.txt".to_owned(), 12)]
    );
}
