//! ssh origins: pins, identities, and a server's words.

use std::sync::Arc;

use gate_config::{Limits, ResolvedRepo};
use gate_core::RefreshError;
use gate_core::dial::ErrorKind;
use git_gate::origin::Origins;

use crate::servers::{Sshd, keygen};
use crate::support::Scene;

async fn refused(scene: &Scene, rule: ResolvedRepo) -> RefreshError {
    let limits = Limits::default();
    let mirror = scene.mirror_by(rule, Arc::new(Origins::new(limits.clone())), limits);
    mirror.refresh().await.unwrap_err()
}

#[tokio::test]
async fn every_kind_of_identity_opens() {
    for key_type in ["ecdsa", "rsa"] {
        let scene = Scene::sample();
        let sshd = Sshd::start(&scene, key_type, "AcceptEnv GIT_PROTOCOL");
        let limits = Limits::default();
        let mirror = scene.mirror_by(sshd.rule(), Arc::new(Origins::new(limits.clone())), limits);
        mirror.refresh().await.unwrap_or_else(|error| panic!("{key_type}: {error}"));
        assert_eq!(scene.mirrored(), scene.listing());
    }
}

#[tokio::test]
async fn without_a_pin_there_is_no_connection() {
    let scene = Scene::sample();
    let sshd = Sshd::start(&scene, "ed25519", "");
    let error = refused(&scene, ResolvedRepo { known_hosts: None, ..sshd.rule() }).await;
    assert_eq!(error.kind(), ErrorKind::NoPin);
    std::fs::write(sshd.files.join("known_hosts"), "other ssh-ed25519 AAAA\n").unwrap();
    let error = refused(&scene, sshd.rule()).await;
    let port = sshd.inetd.addr.port();
    assert_eq!(
        error.to_string(),
        format!("origin's host key is not pinned: known_hosts has no key for 127.0.0.1:{port}")
    );
    assert_eq!(sshd.inetd.accepted(), 0);
}

#[tokio::test]
async fn another_host_key_is_refused_with_both_fingerprints() {
    let scene = Scene::sample();
    let sshd = Sshd::start(&scene, "ed25519", "");
    keygen(&sshd.files, "other", "ed25519");
    sshd.pin(&sshd.read("other.pub"));
    let error = refused(&scene, sshd.rule()).await;
    assert_eq!(error.kind(), ErrorKind::HostKey);
    assert_eq!(error.words().matches("SHA256:").count(), 2, "{error}");
    let log = sshd.read("log");
    assert!(!log.contains("Accepted publickey"), "the gate's key was offered to a stranger");
}

#[tokio::test]
async fn a_key_the_server_does_not_know_is_denied() {
    let scene = Scene::sample();
    let sshd = Sshd::start(&scene, "ed25519", "");
    std::fs::write(sshd.files.join("authorized_keys"), "").unwrap();
    let error = refused(&scene, sshd.rule()).await;
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
}

#[tokio::test]
async fn an_unknown_repository_is_told_in_the_servers_words_without_its_path() {
    let scene = Scene::sample();
    let sshd = Sshd::start(&scene, "ed25519", "AcceptEnv GIT_PROTOCOL");
    let error = refused(&scene, sshd.rule_for(&scene.dir.path().join("it's!absent.git"))).await;
    assert_eq!(
        error.to_string(),
        "origin has no such repository: fatal: '<origin>' does not appear to be a git repository"
    );
}

#[tokio::test]
async fn a_hosts_own_refusal_on_stderr_is_kept() {
    let scene = Scene::sample();
    let say = "ForceCommand echo 'ERROR: Repository not found.' >&2; exit 1";
    let sshd = Sshd::start(&scene, "ed25519", say);
    let error = refused(&scene, sshd.rule()).await;
    assert_eq!(error.kind(), ErrorKind::UnknownRepository);
    assert_eq!(error.words(), "ERROR: Repository not found.");
}

#[tokio::test]
async fn a_connection_that_was_cut_is_made_again_within_the_refresh() {
    let scene = Scene::sample();
    let sshd = Sshd::start(&scene, "ed25519", "AcceptEnv GIT_PROTOCOL");
    let limits = Limits::default();
    let mirror = scene.mirror_by(sshd.rule(), Arc::new(Origins::new(limits.clone())), limits);
    mirror.refresh().await.unwrap();
    sshd.inetd.hang_up();
    scene.commit("main", "three");
    mirror.refresh().await.unwrap();
    assert_eq!(scene.mirrored(), scene.listing());
    assert_eq!(sshd.inetd.accepted(), 2);
}
