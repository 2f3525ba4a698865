//! A shallow origin whose boundary moves while its refs stand still.

use gate_core::Mirror;

use crate::servers::old_upload_pack;
use crate::support::{Scene, git};

/// Six commits, and beside them a repository that has but the last two.
fn scene() -> Scene {
    let scene = Scene::sample();
    for text in ["three", "four", "five", "six"] {
        scene.commit("main", text);
    }
    scene.git(&["update-ref", "refs/heads/topic", "main"]);
    scene.git(&["tag", "-d", "v1"]);
    let url = scene.url();
    git(scene.dir.path(), &["clone", "-q", "--mirror", "--depth=2", &url, "shallow.git"]);
    scene
}

impl Scene {
    fn shallow(&self, arguments: &[&str]) -> String {
        git(&self.dir.path().join("shallow.git"), arguments)
    }

    /// Commits that the mirror's refs reach; and the mirror is whole.
    fn mirrored_commits(&self) -> usize {
        self.check_mirror();
        git(&self.mirror_dir(), &["rev-list", "--count", "--all"]).parse().unwrap()
    }
}

async fn boundary_is_followed(scene: &Scene, mirror: &Mirror) {
    let count = async |what: &str| {
        mirror.refresh().await.unwrap_or_else(|error| panic!("{what}: {error}"));
        scene.mirrored_commits()
    };
    assert_eq!(count("as it was").await, 2);
    let before = mirror.refresh().await.unwrap().generation();
    assert_eq!(mirror.refresh().await.unwrap().generation(), before, "nothing was written");
    scene.shallow(&["fetch", "-q", "--deepen=1", "origin", "+refs/*:refs/*"]);
    assert_eq!(count("deeper by one").await, 3);
    scene.commit("main", "seven");
    scene.shallow(&["fetch", "-q", "origin", "+refs/*:refs/*"]);
    assert_eq!(count("one more on top").await, 4);
    scene.shallow(&["fetch", "-q", "--depth=1", "origin", "+refs/*:refs/*"]);
    scene.shallow(&["reflog", "expire", "--all", "--expire=now"]);
    scene.shallow(&["gc", "-q", "--prune=now"]);
    assert_eq!(count("cut to one for each branch").await, 2);
    scene.shallow(&["fetch", "-q", "--unshallow", "origin", "+refs/*:refs/*"]);
    assert_eq!(count("whole").await, 7);
    assert!(mirror.refresh().await.unwrap().shallow().is_empty());
    let whole = mirror.refresh().await.unwrap().generation();
    assert_eq!(mirror.refresh().await.unwrap().generation(), whole, "nothing was written");
}

#[tokio::test]
async fn a_boundary_that_moves_is_followed() {
    let scene = scene();
    let mirror = scene.mirror(&format!("file://{}/shallow.git", scene.dir.path().display()));
    boundary_is_followed(&scene, &mirror).await;
}

#[tokio::test]
async fn a_boundary_that_moves_is_followed_in_v0() {
    let scene = scene();
    let server = old_upload_pack(&scene, "shallow.git");
    let mirror = scene.mirror(&format!("git://{}/shallow.git", server.addr));
    boundary_is_followed(&scene, &mirror).await;
}
