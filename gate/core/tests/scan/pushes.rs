//! Pushes made by real git, through the real store: exactly what is new is scanned, whatever shape the history has.

use gate_core::scan::{Finding, Kind, Scanner, Verdict};
use proto::ObjectFormat;

use crate::repo::{Repo, Stage};
use crate::support::{options, scan_by, token};

async fn findings(stage: Stage) -> Vec<Finding> {
    match scan_by(&Scanner::new(options()), stage.pushed).await.expect("a verdict") {
        Verdict::Clean(_) => Vec::new(),
        Verdict::Found(_, refusal) => refusal.findings,
    }
}

async fn places(stage: Stage) -> Vec<String> {
    findings(stage)
        .await
        .iter()
        .map(|f| format!("{} {}:{}", f.kind.as_str(), f.path, f.line))
        .collect()
}

fn secret(seed: &str) -> String {
    format!("T = '{}'\n", token(seed))
}

/// A file that the origin has, with a secret in it.
fn old(seed: &str) -> String {
    let options: String = (0..30).map(|i| format!("opt{i} = {i}\n")).collect();
    format!("# settings\n{options}{}", secret(seed))
}

#[tokio::test]
async fn a_new_commit_is_scanned_and_named() {
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let repo = Repo::with_format(format, &[("README", "hello\n")]);
        let commit = repo.commit(&[("src/conf.py", &format!("A = 1\n{}", secret("1")))], "work");
        let found = findings(repo.push(&["refs/heads/main"])).await;
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].path.to_string(), found[0].line), ("src/conf.py".to_owned(), 2));
        assert_eq!(found[0].commit.map(|id| id.to_hex()), Some(commit));
    }
}

#[tokio::test]
async fn a_clean_push_onto_an_old_secret_is_clean() {
    let repo = Repo::new(&[("settings.py", &old("o"))]);
    repo.commit(&[("new.py", "x = 1\n")], "work");
    assert!(findings(repo.push(&["refs/heads/main"])).await.is_empty());
}

#[tokio::test]
async fn a_secret_that_comes_and_goes_within_a_push_is_found() {
    let repo = Repo::new(&[("README", "hello\n")]);
    let first = repo.commit(&[("conf.py", &secret("gone"))], "oops");
    repo.remove("conf.py");
    repo.commit(&[], "remove it");
    let found = findings(repo.push(&["refs/heads/main"])).await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].commit.map(|id| id.to_hex()), Some(first));
}

#[tokio::test]
async fn what_only_a_merge_holds_is_found() {
    let repo = Repo::new(&[("README", "hello\n")]);
    repo.git(&["checkout", "-q", "-b", "side"]);
    repo.commit(&[("a", "a\n")], "side");
    repo.git(&["checkout", "-q", "main"]);
    repo.commit(&[("b", "b\n")], "main");
    repo.git(&["merge", "-q", "--no-commit", "--no-ff", "side"]);
    repo.commit(&[("evil.py", &secret("evil"))], "merge");
    assert_eq!(places(repo.push(&["refs/heads/main"])).await, ["blob evil.py:1"]);
}

#[tokio::test]
async fn a_merge_of_what_the_origin_has_is_clean() {
    let mut repo = Repo::new(&[("README", "hello\n")]);
    repo.git(&["branch", "topic"]);
    repo.commit(&[("settings.py", &old("up"))], "upstream");
    repo.at_origin("refs/heads/main");
    repo.git(&["checkout", "-q", "topic"]);
    repo.commit(&[("topic.py", "x = 1\n")], "topic");
    repo.git(&["merge", "-q", "--no-commit", "main"]);
    repo.commit(&[("settings.py", &format!("# merged\n{}", old("up")))], "merge");
    assert!(findings(repo.push(&["refs/heads/topic"])).await.is_empty());
}

#[tokio::test]
async fn new_branches_orphans_and_all_refs_of_a_push_are_scanned() {
    let repo = Repo::new(&[("README", "hello\n")]);
    repo.git(&["checkout", "-q", "-b", "a"]);
    repo.commit(&[("clean.py", "x\n")], "clean");
    repo.git(&["checkout", "-q", "--orphan", "b"]);
    repo.commit(&[("orphan.py", &secret("orphan"))], "root");
    repo.git(&["checkout", "-q", "main"]);
    repo.git(&["checkout", "-q", "-b", "c"]);
    repo.commit(&[("branch.py", &secret("branch"))], "branch");
    let push = repo.push(&["refs/heads/a", "refs/heads/b", "refs/heads/c"]);
    let mut found = places(push).await;
    found.sort();
    assert_eq!(found, ["blob branch.py:1", "blob orphan.py:1"]);
}

#[tokio::test]
async fn rewritten_history_is_scanned_and_what_it_replaces_is_known() {
    let mut repo = Repo::new(&[("README", "hello\n")]);
    repo.commit(&[("settings.py", &old("amended"))], "add settings");
    repo.at_origin("refs/heads/main");
    repo.git(&["reset", "-q", "--hard", "HEAD~1"]);
    repo.commit(&[("settings.py", &format!("\n{}", old("amended")))], "add settings, amended");
    assert!(findings(repo.push(&["refs/heads/main"])).await.is_empty());
    repo.commit(&[("conf.py", &secret("forced"))], "and more");
    assert_eq!(places(repo.push(&["refs/heads/main"])).await, ["blob conf.py:1"]);
}

#[tokio::test]
async fn moving_old_content_around_is_clean() {
    let repo = Repo::new(&[("settings.py", &old("moved")), ("other.py", "x\n")]);
    repo.git(&["mv", "settings.py", "renamed.py"]);
    repo.commit(&[], "rename");
    repo.commit(&[("renamed.py", &old("moved").replace('\n', "\r\n"))], "line ends");
    repo.commit(&[("renamed.py", "# empty\n"), ("lib/token.py", &secret("moved"))], "split");
    assert!(findings(repo.push(&["refs/heads/main"])).await.is_empty());
}

#[tokio::test]
async fn what_is_new_in_a_push_excuses_nothing_in_it() {
    let repo = Repo::new(&[("README", "hello\n")]);
    repo.commit(&[("a.py", &secret("new"))], "first");
    repo.commit(&[("a.py", &format!("# edited\n{}", secret("new")))], "second");
    assert_eq!(places(repo.push(&["refs/heads/main"])).await, ["blob a.py:1", "blob a.py:2"]);
}

#[tokio::test]
async fn tags_of_all_kinds_are_scanned() {
    let repo = Repo::new(&[("README", "hello\n")]);
    let blob = repo.feed(&["hash-object", "-w", "--stdin"], secret("blob").as_bytes());
    let inner = repo.feed(&["hash-object", "-w", "--stdin"], secret("tree").as_bytes());
    let tree = repo.feed(&["mktree"], format!("100644 blob {inner}\tconf.py\n").as_bytes());
    repo.git(&["update-ref", "refs/tags/blob", &blob]);
    repo.git(&["tag", "-a", "-m", "a tree", "tree", &tree]);
    repo.git(&["tag", "-a", "-m", &format!("release {}", token("tag")), "v1"]);
    repo.git(&["tag", "-a", "-m", "of a tag", "nested", "v1"]);
    let push = repo.push(&["refs/tags/blob", "refs/tags/tree", "refs/tags/v1", "refs/tags/nested"]);
    let mut found = places(push).await;
    found.sort();
    assert_eq!(found, ["blob :1", "blob conf.py:1", "tag :6"]);
}

#[tokio::test]
async fn a_tag_on_old_history_is_clean() {
    let repo = Repo::new(&[("settings.py", &old("t"))]);
    repo.git(&["tag", "-a", "-m", "release 1", "v1"]);
    assert!(findings(repo.push(&["refs/tags/v1", "main:refs/heads/copy"])).await.is_empty());
}

#[tokio::test]
async fn notes_links_and_submodules_are_scanned() {
    let repo = Repo::new(&[("README", "hello\n")]);
    repo.git(&["notes", "add", "-m", &format!("note {}", token("note"))]);
    std::os::unix::fs::symlink(
        token("link"),
        std::path::Path::new(&repo.git(&["rev-parse", "--show-toplevel"])).join("l"),
    )
    .unwrap();
    let url = format!(
        "[submodule \"x\"]\n\tpath = x\n\turl = https://u:{}@h.example/x.git\n",
        token("url")
    );
    repo.commit(&[(".gitmodules", &url)], "links");
    let note = repo.git(&["notes", "list"]);
    let annotated = note.split(' ').nth(1).unwrap();
    let mut found = places(repo.push(&["refs/heads/main", "refs/notes/commits"])).await;
    found.sort();
    let mut expected =
        ["blob .gitmodules:3".to_owned(), format!("blob {annotated}:1"), "blob l:1".to_owned()];
    expected.sort();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_name_that_is_new_is_scanned_even_where_its_content_is_old() {
    let repo = Repo::new(&[("a.txt", "a\n")]);
    repo.commit(&[(&format!("keys/{}", token("n")), "a\n")], "a name");
    let found = findings(repo.push(&["refs/heads/main"])).await;
    assert_eq!(
        found.iter().map(|f| (f.kind, f.path.to_string())).collect::<Vec<_>>(),
        [(Kind::Path, "keys/***".to_owned())]
    );
}

#[tokio::test]
async fn one_content_under_a_path_of_its_own_rule_is_found_whichever_comes_first() {
    let text = format!(
        "administrator_login_password = \"{}\"\n",
        crate::support::random("tf", 14, crate::support::ALNUM)
    );
    let repo = Repo::new(&[("README", "hello\n")]);
    repo.commit(&[("a.txt", &text), ("z/db.tf", &text), ("z/other.txt", &text)], "twice");
    assert_eq!(places(repo.push(&["refs/heads/main"])).await, ["blob z/db.tf:1"]);
}

#[tokio::test]
async fn a_few_trees_that_name_one_blob_a_million_times_hold_nothing_up() {
    let repo = Repo::new(&[("README", "hello\n")]);
    let text = format!("{}{}", "lorem ipsum dolor sit amet\n".repeat(4000), secret("bomb"));
    let mut object =
        format!("100644 blob {}", repo.feed(&["hash-object", "-w", "--stdin"], text.as_bytes()));
    for _ in 0..4 {
        let entries: String = (0..20).map(|i| format!("{object}\tn{i:02}\n")).collect();
        object = format!("040000 tree {}", repo.feed(&["mktree"], entries.as_bytes()));
    }
    let tree = object.rsplit(' ').next().unwrap();
    let commit = repo.git(&["commit-tree", "-m", "bomb", "-p", "HEAD", tree]);
    let started = std::time::Instant::now();
    let found = places(repo.push(&[&format!("{commit}:refs/heads/main")])).await;
    assert_eq!(found, ["blob n00/n00/n00/n00:4001"]);
    assert!(started.elapsed().as_secs() < 60);
}

#[tokio::test]
async fn the_name_of_an_empty_directory_is_scanned() {
    let repo = Repo::new(&[("README", "hello\n")]);
    let empty = repo.feed(&["mktree"], b"");
    let readme = repo.git(&["rev-parse", "HEAD:README"]);
    let entries = format!("100644 blob {readme}\tREADME\n040000 tree {empty}\t{}\n", token("dir"));
    let tree = repo.feed(&["mktree"], entries.as_bytes());
    let commit = repo.git(&["commit-tree", "-m", "a name", "-p", "HEAD", &tree]);
    let found = findings(repo.push(&[&format!("{commit}:refs/heads/main")])).await;
    assert_eq!(
        found.iter().map(|f| (f.kind, f.path.to_string())).collect::<Vec<_>>(),
        [(Kind::Path, "***".to_owned())]
    );
}

#[tokio::test]
async fn what_the_origin_had_before_or_has_on_another_branch_is_clean() {
    let mut repo = Repo::new(&[("settings.py", "debug = 1\n"), ("sub/b.py", "b = 1\n")]);
    repo.git(&["branch", "topic"]);
    repo.commit(&[("settings.py", &old("was")), ("sub/b.py", &old("elsewhere"))], "add settings");
    repo.at_origin("refs/heads/main");
    repo.commit(&[("settings.py", "debug = 1\n")], "remove settings");
    repo.commit(&[("settings.py", "debug = 2\n")], "edit settings");
    repo.at_origin("refs/heads/main");
    // the removal reverted by hand, on what came after it
    repo.commit(&[("settings.py", &format!("debug = 2\n{}", old("was")))], "bring settings back");
    assert!(findings(repo.push(&["refs/heads/main"])).await.is_empty());
    // picked from main to a branch that never had it
    repo.git(&["checkout", "-q", "topic"]);
    repo.commit(&[("sub/b.py", &format!("# topic\n{}", old("elsewhere")))], "pick");
    assert!(findings(repo.push(&["refs/heads/topic"])).await.is_empty());
    repo.commit(&[("sub/b.py", &format!("{}{}", old("elsewhere"), secret("more")))], "and more");
    let found = findings(repo.push(&["refs/heads/topic"])).await;
    assert_eq!(found.len(), 1, "{found:?}");
}

#[tokio::test]
async fn the_id_of_an_object_is_no_secret() {
    let repo = Repo::new(&[("README", "hello\n")]);
    let known = repo.git(&["rev-parse", "HEAD"]);
    let unknown = crate::support::random("id", 40, b"0123456789abcdef");
    let pin = |id: &str| format!("sourcegraph_commit = '{id}'\n");
    repo.commit(
        &[("pins.txt", &pin(&known))],
        &format!("Revert in sourcegraph\n\nThis reverts commit {known}."),
    );
    assert!(findings(repo.push(&["refs/heads/main"])).await.is_empty());
    repo.commit(&[("pins.txt", &pin(&unknown))], "another");
    assert_eq!(places(repo.push(&["refs/heads/main"])).await, ["blob pins.txt:1"]);
}
