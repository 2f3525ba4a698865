//! Mirrors that nobody asks for are closed, and nothing that still uses one notices.

use std::sync::Arc;

use gate_config::{Config, RepoName};
use gate_core::Gate;
use gate_core::scan::Scanner;

use gate_store::Interrupt;

use crate::scanner::options;
use crate::support::{Repos, Spawn};

fn gate(repos: &Repos) -> (Arc<Gate>, RepoName) {
    let (data, origin) = (repos.root().join("data"), repos.origin_dir());
    let config = format!(
        "data = {data:?}\n[[repo]]\nname = \"acme/app\"\norigin = \"file://{}\"\n[limits]\nmirror_idle = \"1ms\"\n",
        origin.display()
    );
    let config = Config::from_toml(&config).expect("a config");
    let name = RepoName::parse("acme/app").expect("a name");
    (Gate::new(config, Arc::new(Spawn), Scanner::new(options())), name)
}

/// Whatever a refresh leaves behind for a moment is over at the end.
async fn closes_one(gate: &Gate) {
    while gate.close_idle() == 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_idle_mirror_is_closed_and_opened_anew_by_the_next_request() {
    let repos = Repos::new();
    let (gate, name) = gate(&repos);
    let before = gate.open(&name).expect("known").mirror().refresh().await.expect("mirrored");
    closes_one(&gate).await;
    let repo = gate.open(&name).expect("known");
    assert!(repo.mirror().store().is_none(), "another mirror, not opened yet");
    let tip = repos.commit("later");
    repos.work(&["push", "-q", "origin", "HEAD:refs/heads/main"]);
    let after = repo.mirror().refresh().await.expect("refreshed");
    assert_eq!(after.refs().get(b"refs/heads/main").map(|entry| entry.target), Some(tip));
    let old = before.refs().get(b"refs/heads/main").expect("its ref").target;
    assert!(
        before.reachable(&old, &Interrupt::default()).expect("whole"),
        "a reader of the old one still reads"
    );
}

#[tokio::test]
async fn a_mirror_in_use_stays_open() {
    let repos = Repos::new();
    let (gate, name) = gate(&repos);
    let repo = gate.open(&name).expect("known");
    repo.mirror().refresh().await.expect("mirrored");
    let mirror = repo.mirror().clone();
    let store = mirror.store().expect("open");
    assert_eq!(gate.close_idle(), 0, "a session holds the repository");
    drop(repo);
    assert_eq!(gate.close_idle(), 0, "the tail of a push holds the mirror");
    drop(mirror);
    assert_eq!(gate.close_idle(), 0, "work on the blocking pool holds the store");
    drop(store);
    closes_one(&gate).await;
}
