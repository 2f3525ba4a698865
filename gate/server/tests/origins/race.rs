//! Refs that move at the origin between the list and the pack.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gate_core::dial::ErrorKind;

use crate::servers::{Inetd, Relay, git_daemon};
use crate::support::{Scene, git, tip};

/// git daemon; each of the first `times` requests for a pack comes just after `late` was moved, and what it pointed to
/// is gone.
fn racing(scene: &Scene, times: usize) -> (Inetd, Relay, Arc<AtomicUsize>) {
    let daemon = git_daemon(scene, &[]);
    let origin = scene.origin();
    let fetches = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&fetches);
    let move_on = move |piece: &[u8]| {
        let is_fetch = piece.windows(13).any(|window| window == b"command=fetch");
        if is_fetch && count.fetch_add(1, Ordering::SeqCst) < times {
            let tree = git(&origin, &["rev-parse", "main^{tree}"]);
            let moved = git(&origin, &["commit-tree", "-m", &format!("{count:?}"), &tree]);
            git(&origin, &["update-ref", "refs/heads/late", &moved]);
            git(&origin, &["prune", "--expire=now"]);
        }
    };
    let relay = Relay::with(daemon.addr, Arc::new(move_on), Arc::new(|_| {}));
    (daemon, relay, fetches)
}

#[tokio::test]
async fn a_ref_that_moves_after_it_was_listed_is_listed_and_fetched_again() {
    let scene = Scene::sample();
    scene.commit("late", "what will be gone");
    let (_daemon, relay, fetches) = racing(&scene, 1);
    let mirror = scene.mirror(&format!("git://{}/origin.git", relay.addr));
    let snapshot = mirror.refresh().await.unwrap();
    assert_eq!(tip(&snapshot, "refs/heads/late").unwrap(), scene.git(&["rev-parse", "late"]));
    assert_eq!(scene.mirrored(), scene.listing());
    assert_eq!(fetches.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn refs_that_never_stand_still_are_told_as_that() {
    let scene = Scene::sample();
    scene.commit("late", "what will be gone");
    let (_daemon, relay, _) = racing(&scene, 3);
    let mirror = scene.mirror(&format!("git://{}/origin.git", relay.addr));
    let error = mirror.refresh().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Moved, "{error}");
    assert!(error.to_string().contains("not our ref"), "{error}");
    mirror.refresh().await.unwrap();
    assert_eq!(scene.mirrored(), scene.listing());
}

#[tokio::test]
async fn a_ref_to_nothing_is_no_race() {
    let scene = Scene::sample();
    let mirror = scene.mirror(&scene.url());
    mirror.refresh().await.unwrap();
    let nothing = "1".repeat(40);
    std::fs::write(scene.origin().join("refs/heads/broken"), format!("{nothing}\n")).unwrap();
    let error = mirror.refresh().await.unwrap_err();
    assert_ne!(error.kind(), ErrorKind::Moved, "{error}");
    assert!(error.to_string().contains(&nothing), "{error}");
    std::fs::remove_file(scene.origin().join("refs/heads/broken")).unwrap();
    mirror.refresh().await.unwrap();
    assert_eq!(scene.mirrored(), scene.listing());
}

#[tokio::test]
async fn a_ref_that_comes_and_goes_between_two_refreshes_leaves_nothing() {
    let scene = Scene::sample();
    let mirror = scene.mirror(&scene.url());
    let before = mirror.refresh().await.unwrap();
    scene.commit("brief", "seen by nobody");
    scene.git(&["branch", "-D", "brief"]);
    let after = mirror.refresh().await.unwrap();
    assert_eq!(before.generation(), after.generation());
    scene.commit("brief", "seen once");
    assert!(tip(&mirror.refresh().await.unwrap(), "refs/heads/brief").is_some());
    scene.git(&["branch", "-D", "brief"]);
    assert_eq!(tip(&mirror.refresh().await.unwrap(), "refs/heads/brief"), None);
    assert_eq!(scene.mirrored(), scene.listing());
}
