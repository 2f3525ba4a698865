//! Our client half against stock git's receive-pack, its hooks and its deaths.

mod support;

use std::sync::Mutex;
use std::time::Duration;

use super::{Answer, Atomicity, Fate, Opened, Order, Tell, WritePack, open, precheck, send};
use crate::blocking::Pool;
use crate::dial::Error;
use proto::send_pack::Update;
use proto::{ObjectFormat, ObjectId};

use support::{Repos, Spawn, name};

const LIMIT: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Heard(Mutex<Vec<u8>>);

impl Tell for Heard {
    fn origin_said(&self, text: &[u8]) {
        self.0.lock().unwrap().extend_from_slice(text);
    }
    fn sent(&self, _: u64) {}
}

fn update(ref_name: &str, old: Option<ObjectId>, new: Option<ObjectId>) -> Update {
    Update { name: name(ref_name), old, new }
}

fn order(updates: Vec<Update>) -> Order {
    Order {
        format: ObjectFormat::Sha1,
        updates,
        atomicity: Atomicity::Preferred,
        quiet: false,
        options: Vec::new(),
        shallow: Vec::new(),
        session_id: "7f3a".to_owned(),
    }
}

async fn opened(repos: &Repos, order: &Order) -> Result<Opened, Error> {
    let watch = order.updates.iter().map(|update| update.name.as_bstr().into()).collect();
    open(&Spawn, &repos.rule(), ObjectFormat::Sha1, watch, LIMIT).await
}

fn write_pack(bytes: Vec<u8>) -> WritePack {
    Box::new(move |out, _| Ok(out.write_all(&bytes)?))
}

/// Sends what the work tree's HEAD has and the origin's main has not; returns the answer and what the origin said.
async fn push(repos: &Repos, order: &Order, limit: Duration) -> (Answer, String) {
    let opened = opened(repos, order).await.unwrap();
    assert!(precheck(&opened, order).is_empty());
    let pack = order.sends_pack().then(|| write_pack(repos.pack("^refs/remotes/origin/main\n")));
    let heard = Heard::default();
    let answer = send(opened, order, pack, &Pool::new(1), limit, &heard).await.unwrap();
    (answer, String::from_utf8(heard.0.into_inner().unwrap()).unwrap())
}

fn refused(fate: &Fate) -> &str {
    match fate {
        Fate::Refused(reason) => std::str::from_utf8(reason).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn creates_updates_deletes_and_tags_in_one_push() {
    let repos = Repos::new();
    let old = repos.id("HEAD");
    repos.work(&["push", "-q", "origin", "HEAD:refs/heads/gone"]);
    let new = repos.commit("two");
    repos.work(&["tag", "-a", "-m", "v1", "v1"]);
    let tag = repos.id("v1");
    let order = order(vec![
        update("refs/heads/main", Some(old), Some(new)),
        update("refs/heads/new", None, Some(new)),
        update("refs/heads/gone", Some(old), None),
        update("refs/tags/v1", None, Some(tag)),
    ]);
    let (answer, _) = push(&repos, &order, LIMIT).await;
    assert!(answer.unpack.is_ok() && answer.cut.is_none());
    assert_eq!(answer.fates, vec![Fate::Done(Vec::new()); 4]);
    assert_eq!(repos.at_origin("refs/heads/main"), Some(new));
    assert_eq!(repos.at_origin("refs/heads/gone"), None);
    assert_eq!(repos.at_origin("refs/tags/v1"), Some(tag));
}

#[tokio::test]
async fn deletes_without_a_pack() {
    let repos = Repos::new();
    let old = repos.id("HEAD");
    repos.work(&["push", "-q", "origin", "HEAD:refs/heads/gone"]);
    let order = order(vec![update("refs/heads/gone", Some(old), None)]);
    let (answer, _) = push(&repos, &order, LIMIT).await;
    assert_eq!(answer.fates, [Fate::Done(Vec::new())]);
    assert_eq!(repos.at_origin("refs/heads/gone"), None);
}

#[tokio::test]
async fn the_origins_refusal_comes_in_its_own_words() {
    let repos = Repos::new();
    repos.hook("update", "echo \"no $1 today\"; case $1 in *protected) exit 1;; esac");
    let new = repos.commit("two");
    let mut order = order(vec![
        update("refs/heads/free", None, Some(new)),
        update("refs/heads/protected", None, Some(new)),
    ]);
    let (answer, said) = push(&repos, &order, LIMIT).await;
    assert_eq!(refused(&answer.fates[0]), "atomic push failure");
    assert_eq!(refused(&answer.fates[1]), "hook declined");
    assert!(said.contains("no refs/heads/protected today\n"), "{said}");
    assert_eq!(repos.at_origin("refs/heads/free"), None);

    order.atomicity = Atomicity::Off;
    let (answer, _) = push(&repos, &order, LIMIT).await;
    assert_eq!(answer.fates[0], Fate::Done(Vec::new()));
    assert_eq!(refused(&answer.fates[1]), "hook declined");
    assert_eq!(repos.at_origin("refs/heads/free"), Some(new));
}

#[tokio::test]
async fn a_ref_that_moved_meanwhile_is_not_overwritten() {
    let repos = Repos::new();
    let old = repos.id("HEAD");
    let new = repos.commit("two");
    let order = order(vec![update("refs/heads/main", Some(old), Some(new))]);
    let before = opened(&repos, &order).await.unwrap();
    let other = repos.origin(&["commit-tree", "-p", "main", "-m", "other", "main^{tree}"]);
    repos.origin(&["update-ref", "refs/heads/main", &other]);

    let pack = write_pack(repos.pack(""));
    let answer =
        send(before, &order, Some(pack), &Pool::new(1), LIMIT, &Heard::default()).await.unwrap();
    assert!(matches!(answer.fates[0], Fate::Refused(_)), "{answer:?}");
    assert_eq!(repos.at_origin("refs/heads/main").unwrap().to_hex(), other);

    let after = opened(&repos, &order).await.unwrap();
    assert_eq!(precheck(&after, &order)[0].reason, "fetch first");
    after.close().await;
}

#[tokio::test]
async fn hands_push_options_on_an_empty_one_too() {
    let repos = Repos::new();
    repos.origin(&["config", "receive.advertisePushOptions", "true"]);
    repos.hook("pre-receive", "echo $GIT_PUSH_OPTION_COUNT:$GIT_PUSH_OPTION_0:$GIT_PUSH_OPTION_1");
    let new = repos.commit("two");
    let mut order = order(vec![update("refs/heads/new", None, Some(new))]);
    order.options = vec!["".into(), "ci.skip".into()];
    let (answer, said) = push(&repos, &order, LIMIT).await;
    assert_eq!(answer.fates, [Fate::Done(Vec::new())]);
    assert_eq!(said, "2::ci.skip\n");
}

#[tokio::test]
async fn a_death_before_the_update_leaves_the_outcome_unknown() {
    let repos = Repos::new();
    repos.hook("pre-receive", "kill -9 $PPID");
    let new = repos.commit("two");
    let order = order(vec![update("refs/heads/new", None, Some(new))]);
    let (answer, _) = push(&repos, &order, LIMIT).await;
    assert_eq!(answer.fates, [Fate::Unknown]);
    assert_eq!(answer.cut.unwrap().to_string(), "origin hung up: before its report was complete");
    assert_eq!(repos.at_origin("refs/heads/new"), None);
}

#[tokio::test]
async fn a_death_after_the_update_leaves_it_just_as_unknown() {
    let repos = Repos::new();
    repos.hook("reference-transaction", "[ $1 = committed ] && kill -9 $PPID; exit 0");
    let new = repos.commit("two");
    let order = order(vec![update("refs/heads/new", None, Some(new))]);
    let (answer, _) = push(&repos, &order, LIMIT).await;
    assert_eq!(answer.fates, [Fate::Unknown]);
    assert!(answer.cut.is_some());
    assert_eq!(repos.at_origin("refs/heads/new"), Some(new));
}

#[tokio::test]
async fn a_silent_origin_meets_the_limit() {
    let repos = Repos::new();
    run_fifo(&repos);
    repos.hook("pre-receive", "read line < fifo");
    let new = repos.commit("two");
    let order = order(vec![update("refs/heads/new", None, Some(new))]);
    let (answer, _) = push(&repos, &order, Duration::from_millis(300)).await;
    assert_eq!(answer.fates, [Fate::Unknown]);
    assert_eq!(
        answer.cut.unwrap().to_string(),
        "origin is too slow: no answer within 300 ms (limits.forward)"
    );
}

fn run_fifo(repos: &Repos) {
    let made = std::process::Command::new("mkfifo").arg(repos.origin_dir().join("fifo")).status();
    assert!(made.expect("mkfifo runs").success());
}

#[tokio::test]
async fn an_origin_that_is_not_there_says_so_without_its_path() {
    let repos = Repos::new();
    std::fs::remove_dir_all(repos.origin_dir()).unwrap();
    let error = opened(&repos, &order(Vec::new())).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("<origin>") && !text.contains("origin.git"), "{text}");
}

#[tokio::test]
async fn a_pack_that_can_not_be_made_sends_nothing() {
    let repos = Repos::new();
    let new = repos.commit("two");
    let order = order(vec![update("refs/heads/new", None, Some(new))]);
    let opened = opened(&repos, &order).await.unwrap();
    let broken: WritePack = Box::new(|out, _| {
        out.write_all(b"PACK")?;
        Err("disk on fire".into())
    });
    let error = send(opened, &order, Some(broken), &Pool::new(1), LIMIT, &Heard::default()).await;
    assert_eq!(error.unwrap_err().to_string(), "disk on fire");
    assert_eq!(repos.at_origin("refs/heads/new"), None);
}
