//! Requests that no client of today sends, or none should: served where stock git serves them, refused where it refuses.

use gate_core::session::Mode;
use proto::Version;

use crate::kit::{Repo, line};
use crate::parity::check;

const HISTORY: &str = "\
for n in 1 2 3; do echo $n > file; git add .; git commit -q -m $n; done
git tag -a -m one annotated HEAD~1
git branch -q topic HEAD~1";

fn fetch(lines: &[String]) -> Vec<u8> {
    let mut request = [line("command=fetch"), b"0001".to_vec(), line("no-progress")].concat();
    lines.iter().for_each(|text| request.extend(line(text)));
    request.extend(b"0000");
    request
}

#[tokio::test]
async fn what_git_serves_is_served_alike() {
    let repo = Repo::new("sha1", HISTORY);
    let id = |name: &str| repo.git(&["rev-parse", name]);
    let want = format!("want {}", id("main"));
    for lines in [
        vec![],
        vec!["done".to_owned()],
        vec![want.clone(), want.clone(), "done".into()],
        vec![want.to_uppercase().replace("WANT", "want"), "done".into()],
        vec![format!("{want}\n"), "done\n".into()],
        vec![format!("want {}", id("main:file")), "done".into()],
        vec![format!("have {}", id("main"))],
        vec![format!("have {}", "12".repeat(20)), want.clone()],
        vec!["want-ref refs/heads/topic".into(), "done".into()],
        vec!["want-ref HEAD".into(), want.clone(), "done".into()],
        vec![
            "want-ref refs/tags/annotated".into(),
            "want-ref refs/heads/main".into(),
            "done".into(),
        ],
        vec![want.clone(), "deepen-relative".into(), "deepen 1".into(), "done".into()],
        vec![want.clone(), "deepen-since 0".into(), "done".into()],
        vec![want.clone(), "filter combine:blob%3anone+tree:1".into(), "done".into()],
        vec![
            want.clone(),
            "filter combine:combine%3ablob%253anone%2btree%3a1+tree:2".into(),
            "done".into(),
        ],
        vec![want.clone(), "filter blob:limit=1k".into(), "done".into()],
    ] {
        check(&repo, Version::V2, Mode::Request, &fetch(&lines), &format!("{lines:?}")).await;
    }
    let mut flood = [line("command=ls-refs"), b"0001".to_vec()].concat();
    (0..70_000).for_each(|n| flood.extend(line(format!("ref-prefix refs/heads/x{n}"))));
    flood.extend(b"0000");
    check(&repo, Version::V2, Mode::Request, &flood, "70,000 prefixes").await;
    let empty = [line("command=ls-refs"), b"0001".to_vec(), line("ref-prefix "), b"0000".to_vec()];
    check(&repo, Version::V2, Mode::Request, &empty.concat(), "an empty prefix").await;
    let bare = [line("command=ls-refs"), b"0000".to_vec()].concat();
    check(&repo, Version::V2, Mode::Request, &bare, "no delimiter").await;
}

#[tokio::test]
async fn what_git_refuses_is_refused_in_words() {
    let repo = Repo::new("sha1", HISTORY);
    let want = format!("want {}", repo.git(&["rev-parse", "main"]));
    let odd = |more: &[&str]| {
        let more = more.iter().map(|text| (*text).to_owned());
        fetch(
            &[want.clone()].into_iter().chain(more).chain(["done".to_owned()]).collect::<Vec<_>>(),
        )
    };
    let ls_refs = |more: &[u8]| [&line("command=ls-refs")[..], b"0001", more, b"0000"].concat();
    for request in [
        odd(&["deepen 0"]),
        odd(&["deepen -1"]),
        odd(&["deepen 1x"]),
        odd(&["deepen-since soon"]),
        odd(&["deepen-not nowhere"]),
        odd(&["filter tree:x"]),
        odd(&["filter blob:limit=x"]),
        odd(&["filter combine:"]),
        odd(&["filter object:type=x"]),
        odd(&["filter auto"]),
        odd(&["filter blob:none", "filter tree:0"]),
        odd(&["have xyz"]),
        odd(&["shallow x"]),
        odd(&["frobnicate"]),
        odd(&["done\n\n"]),
        odd(&["want-ref refs/heads/nowhere"]),
        fetch(&["want xyz".to_owned(), "done".to_owned()]),
        [line("command=frobnicate"), b"0000".to_vec()].concat(),
        [line("agent=x"), b"0000".to_vec()].concat(),
        [line("command=fetch"), line(&want), b"0001".to_vec(), line("done"), b"0000".to_vec()]
            .concat(),
        [line("command=fetch"), line("command=ls-refs"), b"0000".to_vec()].concat(),
        [line("command=ls-refs"), line("x=y"), b"00010000".to_vec()].concat(),
        [line("command=ls-refs"), line("object-format=sha256"), b"00010000".to_vec()].concat(),
        [line("command=bundle-uri"), b"0000".to_vec()].concat(),
        ls_refs(&line("frobnicate")),
        ls_refs(b"0001"),
        ls_refs(b"0002"),
        [line("command=ls-refs"), b"0001".to_vec(), line("peel")].concat(),
    ] {
        let what = request.escape_ascii().to_string();
        let theirs = repo.theirs(Version::V2, Mode::Request, &request);
        assert!(!theirs.windows(4).any(|bytes| bytes == b"PACK"), "git serves it: {what}");
        let (ours, served) = repo.ours(Version::V2, Mode::Request, &request).await;
        let said = served.expect_err(&what).to_string();
        let told = String::from_utf8_lossy(&ours).into_owned();
        assert!(told.contains("ERR ") && told.contains(&said), "{what}: {told}");
    }
}

/// `git fetch-pack URL ID` names the id with `want-ref` where that is offered, which git's own server does not know.
#[tokio::test]
async fn an_id_may_stand_where_a_name_is_wanted() {
    let repo = Repo::new("sha1", HISTORY);
    let id = repo.git(&["rev-parse", "main~1"]);
    let request = fetch(&[format!("want-ref {id}"), "done".into()]);
    let (answer, served) = repo.ours(Version::V2, Mode::Request, &request).await;
    served.expect("it is served");
    let told = [line("wanted-refs\n"), line(format!("{id} {id}\n")), b"0001".to_vec()].concat();
    assert!(answer.starts_with(&told), "{}", answer.escape_ascii());
    let elsewhere = "12".repeat(20);
    let request = fetch(&[format!("want-ref {elsewhere}"), "done".into()]);
    let (_, served) = repo.ours(Version::V2, Mode::Request, &request).await;
    let said = served.expect_err("it is refused").to_string();
    assert_eq!(said, format!("upload-pack: not our ref {elsewhere}"));
}
