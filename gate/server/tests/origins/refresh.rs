//! What a refresh brings: every kind of change at the origin, over `file://`.

use crate::support::{Scene, git, tip};

#[tokio::test]
async fn the_first_refresh_mirrors_everything_and_the_second_changes_nothing() {
    let scene = Scene::sample();
    let mirror = scene.mirror(&scene.url());
    assert_eq!(mirror.format(), None);
    let first = mirror.refresh().await.unwrap();
    assert_eq!(scene.mirrored(), scene.listing());
    let second = mirror.refresh().await.unwrap();
    assert_eq!(first.generation(), second.generation(), "nothing was written");
}

#[tokio::test]
async fn changes_of_every_kind_are_followed() {
    let scene = Scene::sample();
    let mirror = scene.mirror(&scene.url());
    mirror.refresh().await.unwrap();
    let steps: &[(&str, &[&[&str]])] = &[
        ("a deletion", &[&["branch", "-D", "topic"]]),
        ("a forced push", &[&["update-ref", "refs/heads/main", "main~1"]]),
        ("a ref that becomes a folder", &[&["branch", "a", "main"]]),
        ("D/F rename", &[&["branch", "-D", "a"], &["branch", "a/b", "main"]]),
        ("and back", &[&["branch", "-D", "a/b"], &["branch", "a", "main"]]),
        ("a renamed branch", &[&["branch", "-m", "main", "trunk"]]),
        ("HEAD at an unborn branch", &[&["symbolic-ref", "HEAD", "refs/heads/nothing"]]),
        (
            "a detached HEAD",
            &[
                &["update-ref", "--no-deref", "HEAD", "v1^{}"],
                &["symbolic-ref", "HEAD", "refs/heads/trunk"],
            ],
        ),
        ("a nested tag", &[&["tag", "-a", "-m", "nested", "v2", "v1"]]),
        ("refs elsewhere", &[&["update-ref", "refs/pull/1/head", "v1^{}"]]),
        (
            "everything gone",
            &[
                &["update-ref", "-d", "refs/heads/trunk"],
                &["update-ref", "-d", "refs/heads/a"],
                &["tag", "-d", "v1"],
                &["tag", "-d", "v2"],
                &["update-ref", "-d", "refs/pull/1/head"],
            ],
        ),
    ];
    for (what, commands) in steps {
        for command in *commands {
            scene.git(command);
        }
        mirror.refresh().await.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(scene.mirrored(), scene.listing(), "{what}");
    }
}

#[tokio::test]
async fn new_commits_come_as_a_small_pack_on_what_is_there() {
    let scene = Scene::sample();
    let mirror = scene.mirror(&scene.url());
    mirror.refresh().await.unwrap();
    for text in ["three", "four"] {
        let commit = scene.commit("main", text);
        let snapshot = mirror.refresh().await.unwrap();
        assert_eq!(tip(&snapshot, "refs/heads/main").unwrap(), commit);
        assert_eq!(scene.mirrored(), scene.listing());
        let newest = snapshot.packs().packs().last().unwrap();
        assert!(newest.len() <= 6, "{} objects for one commit", newest.len());
    }
}

#[tokio::test]
async fn an_empty_origin_is_empty_and_its_first_commit_arrives() {
    for format in ["sha1", "sha256"] {
        let scene = Scene::with_format(format);
        let mirror = scene.mirror(&scene.url());
        let snapshot = mirror.refresh().await.unwrap();
        assert!(snapshot.refs().is_empty());
        assert_eq!(mirror.format().unwrap().as_str(), format);
        assert_eq!(git(&scene.mirror_dir(), &["symbolic-ref", "HEAD"]), "refs/heads/main");
        scene.commit("main", "one");
        mirror.refresh().await.unwrap();
        assert_eq!(scene.mirrored(), scene.listing());
    }
}

#[tokio::test]
async fn a_detached_head_without_a_branch_is_fetched_too() {
    let scene = Scene::sample();
    let lone = scene.git(&["commit-tree", "-m", "lone", "main^{tree}"]);
    scene.git(&["update-ref", "--no-deref", "HEAD", &lone]);
    let mirror = scene.mirror(&scene.url());
    mirror.refresh().await.unwrap();
    assert_eq!(scene.mirrored(), scene.listing());
}

#[tokio::test]
async fn a_shallow_origin_keeps_its_boundary() {
    let scene = Scene::sample();
    scene.commit("main", "three");
    let shallow = scene.dir.path().join("shallow.git");
    git(
        scene.dir.path(),
        &["clone", "-q", "--mirror", "--depth=1", &scene.url(), shallow.to_str().unwrap()],
    );
    let mirror = scene.mirror(&format!("file://{}", shallow.display()));
    let snapshot = mirror.refresh().await.unwrap();
    assert!(!snapshot.shallow().is_empty());
    scene.mirrored();
    git(&shallow, &["fetch", "-q", "--depth=1", "origin", "+refs/*:refs/*"]);
    mirror.refresh().await.unwrap();
    scene.mirrored();
}

#[tokio::test]
async fn a_mirror_is_opened_again_and_a_damaged_one_made_anew() {
    let scene = Scene::sample();
    scene.mirror(&scene.url()).refresh().await.unwrap();
    scene.commit("main", "three");
    scene.mirror(&scene.url()).refresh().await.unwrap();
    assert_eq!(scene.mirrored(), scene.listing());
    std::fs::write(scene.mirror_dir().join("packed-refs"), b"garbage").unwrap();
    scene.mirror(&scene.url()).refresh().await.unwrap();
    assert_eq!(scene.mirrored(), scene.listing());
}

#[tokio::test]
async fn those_who_come_together_share_and_every_answer_is_fresh() {
    let scene = Scene::sample();
    let mirror = scene.mirror(&scene.url());
    mirror.refresh().await.unwrap();
    for round in 0..5 {
        let commit = scene.commit("main", &format!("round {round}"));
        let refreshes: Vec<_> = (0..64).map(|_| tokio::spawn(mirror.refresh())).collect();
        for refresh in refreshes {
            let snapshot = refresh.await.unwrap().unwrap();
            assert_eq!(tip(&snapshot, "refs/heads/main").unwrap(), commit);
        }
    }
}

#[tokio::test]
async fn an_origin_with_another_hash_is_mirrored_anew() {
    let scene = Scene::sample();
    let mirror = scene.mirror(&scene.url());
    mirror.refresh().await.unwrap();
    std::fs::remove_dir_all(scene.origin()).unwrap();
    git(
        scene.dir.path(),
        &["init", "-q", "--bare", "-b", "main", "--object-format=sha256", "origin.git"],
    );
    scene.commit("main", "one");
    mirror.refresh().await.unwrap();
    assert_eq!(scene.mirrored(), scene.listing());
}

#[tokio::test]
async fn an_unknown_repository_is_named_without_its_path() {
    let scene = Scene::sample();
    let mirror = scene.mirror(&format!("file://{}/absent.git", scene.dir.path().display()));
    let error = mirror.refresh().await.unwrap_err();
    assert_eq!(
        gate_core::Error::from(error).to_string(),
        "origin has no such repository: fatal: '<origin>' does not appear to be a git repository"
    );
    assert!(!scene.mirror_dir().exists(), "nothing is made for it");
}
