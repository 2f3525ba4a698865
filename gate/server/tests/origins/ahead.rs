//! Sessions opened ahead of their use: how many there are, and that none answers for another repository.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gate_config::Limits;
use gate_core::Mirror;
use gate_core::blocking::Pool;
use gate_core::mirror::{AheadSessions, Context};
use git_gate::origin::Origins;

use crate::servers::{Relay, git_daemon};
use crate::support::{Scene, git, rule, tip};

/// Looks again and again: nothing tells when another process has got so far.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(30), "never came about: {what}");
        tokio::task::yield_now().await;
    }
}

/// Whether a program has its working directory there, as upload-pack has once it has opened its repository.
fn is_opened(dir: &Path) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .map(|process| process.path().join("cwd"))
        .any(|cwd| std::fs::read_link(cwd).is_ok_and(|at| at == dir))
}

#[tokio::test]
async fn the_oldest_makes_room_for_one_too_many() {
    let scenes: Vec<_> = (0..4).map(|_| Scene::sample()).collect();
    let servers: Vec<_> = scenes.iter().map(|scene| git_daemon(scene, &[])).collect();
    let relays: Vec<_> = servers.iter().map(|server| Relay::to(server.addr)).collect();
    let limits = Limits { ahead: 2, ..Limits::default() };
    let pool = || Pool::new(2);
    let context = Context {
        dial: Arc::new(Origins::new(limits.clone())),
        ahead: AheadSessions::new(limits.ahead),
        limits,
        fetch: pool(),
        cpu: pool(),
        background: pool(),
    };
    let mirrors: Vec<_> = scenes
        .iter()
        .zip(&relays)
        .map(|(scene, relay)| {
            let rule = rule(&format!("git://{}/origin.git", relay.addr));
            Mirror::open(scene.mirror_dir(), rule, context.clone())
        })
        .collect();
    for (mirror, relay) in mirrors.iter().zip(&relays) {
        mirror.refresh().await.unwrap();
        // the one that was used, and the one opened ahead
        until("a session opened ahead", || relay.accepted() == 2 && relay.open() == 1).await;
    }
    let open = || relays.iter().map(Relay::open).collect::<Vec<_>>();
    until("two sessions", || open() == [0, 0, 1, 1]).await;
    for (scene, mirror) in scenes.iter().zip(&mirrors) {
        let commit = scene.commit("main", "three");
        let snapshot = mirror.refresh().await.unwrap();
        assert_eq!(tip(&snapshot, "refs/heads/main").unwrap(), commit);
    }
}

#[tokio::test]
async fn a_directory_that_is_exchanged_is_not_answered_for_by_a_session_opened_before() {
    let scene = Scene::sample();
    let (origin, other) = (scene.origin(), scene.dir.path().join("other.git"));
    git(scene.dir.path(), &["clone", "-q", "--mirror", "origin.git", "other.git"]);
    scene.commit("main", "only in the first");
    let mirror = scene.mirror(&scene.url());
    for round in 0..4 {
        mirror.refresh().await.unwrap();
        assert_eq!(scene.mirrored(), scene.listing(), "round {round}");
        until("a session opened ahead", || is_opened(&origin)).await;
        let aside = scene.dir.path().join("aside.git");
        for (from, to) in [(&origin, &aside), (&other, &origin), (&aside, &other)] {
            std::fs::rename(from, to).unwrap();
        }
    }
}

#[tokio::test]
async fn a_configuration_that_hides_refs_counts_at_once() {
    let scene = Scene::sample();
    let mirror = scene.mirror(&scene.url());
    mirror.refresh().await.unwrap();
    until("a session opened ahead", || is_opened(&scene.origin())).await;
    scene.git(&["config", "uploadpack.hideRefs", "refs/heads/topic"]);
    let snapshot = mirror.refresh().await.unwrap();
    assert_eq!(tip(&snapshot, "refs/heads/topic"), None);
}
