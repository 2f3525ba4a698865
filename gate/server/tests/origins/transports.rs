//! The same mirror over git://, ssh and http, in v2 and in what came before.

use std::sync::Arc;

use gate_config::Limits;
use gate_core::Mirror;
use git_gate::origin::Origins;

use crate::servers::{Lighttpd, Sshd, git_daemon};
use crate::support::{Scene, rule, tip};

/// First mirror, a commit, a deletion, a check without news.
pub(crate) async fn follows(scene: &Scene, mirror: &Mirror) {
    mirror.refresh().await.unwrap();
    assert_eq!(scene.mirrored(), scene.listing());
    let commit = scene.commit("main", "three");
    let snapshot = mirror.refresh().await.unwrap();
    assert_eq!(tip(&snapshot, "refs/heads/main").unwrap(), commit);
    scene.git(&["branch", "-D", "topic"]);
    let pruned = mirror.refresh().await.unwrap();
    assert_eq!(scene.mirrored(), scene.listing());
    assert_eq!(mirror.refresh().await.unwrap().generation(), pruned.generation());
}

#[tokio::test]
async fn git_daemon_is_followed() {
    let scene = Scene::sample();
    let daemon = git_daemon(&scene, &[]);
    follows(&scene, &scene.mirror(&format!("git://{}/origin.git", daemon.addr))).await;
}

#[tokio::test]
async fn an_origin_that_speaks_only_v0_is_followed() {
    let scene = Scene::sample();
    scene.git(&["config", "protocol.version", "0"]);
    let old = crate::servers::old_upload_pack(&scene, "origin.git");
    follows(&scene, &scene.mirror(&format!("git://{}/origin.git", old.addr))).await;
}

#[tokio::test]
async fn sshd_is_followed_over_one_connection() {
    let scene = Scene::sample();
    let sshd = Sshd::start(&scene, "ed25519", "AcceptEnv GIT_PROTOCOL");
    let limits = Limits::default();
    let mirror = scene.mirror_by(sshd.rule(), Arc::new(Origins::new(limits.clone())), limits);
    follows(&scene, &mirror).await;
    assert_eq!(sshd.inetd.accepted(), 1);
}

#[tokio::test]
async fn an_sshd_that_allows_one_session_a_connection_is_followed() {
    let scene = Scene::sample();
    let sshd = Sshd::start(&scene, "ed25519", "AcceptEnv GIT_PROTOCOL\nMaxSessions 1");
    let limits = Limits::default();
    let mirror = scene.mirror_by(sshd.rule(), Arc::new(Origins::new(limits.clone())), limits);
    follows(&scene, &mirror).await;
}

#[tokio::test]
async fn an_sshd_that_takes_no_environment_is_followed_in_v0() {
    let scene = Scene::sample();
    let sshd = Sshd::start(&scene, "ed25519", "");
    let limits = Limits::default();
    let mirror = scene.mirror_by(sshd.rule(), Arc::new(Origins::new(limits.clone())), limits);
    follows(&scene, &mirror).await;
    assert_eq!(sshd.inetd.accepted(), 1);
}

#[tokio::test]
async fn http_backend_is_followed() {
    let scene = Scene::sample();
    let lighttpd = Lighttpd::start(&scene, "");
    follows(&scene, &scene.mirror(&lighttpd.url())).await;
}

#[tokio::test]
async fn http_in_v0_is_followed() {
    let scene = Scene::sample();
    let lighttpd = Lighttpd::start(
        &scene,
        "setenv.set-environment += (\"GIT_CONFIG_COUNT\" => \"1\")\nsetenv.add-request-header = ()\n$HTTP[\"url\"] =~ \"^/git/\" { setenv.set-request-header = (\"Git-Protocol\" => \"\") }",
    );
    follows(&scene, &scene.mirror(&lighttpd.url())).await;
}

#[tokio::test]
async fn http_redirects_are_followed_on_the_same_host() {
    let scene = Scene::sample();
    let lighttpd = Lighttpd::start(&scene, "url.redirect = (\"^/moved/(.*)\" => \"/git/$1\")");
    let mirror = scene.mirror(&format!("http://{}/moved/origin.git", lighttpd.addr));
    follows(&scene, &mirror).await;
    let other = Scene::sample();
    let elsewhere = Lighttpd::start(
        &other,
        &format!(
            "url.redirect = (\"^/git/(.*)\" => \"http://localhost:{}/git/$1\")",
            lighttpd.addr.port()
        ),
    );
    let scene = Scene::empty();
    let error = scene.mirror(&elsewhere.url()).refresh().await.unwrap_err();
    assert_eq!(error.to_string(), "origin refused: it redirects to another host: localhost");
}

#[tokio::test]
async fn http_credentials_come_from_the_file_as_it_is_now() {
    let scene = Scene::sample();
    std::fs::write(scene.dir.path().join("users"), "me:secret\n").unwrap();
    let lighttpd = Lighttpd::start(
        &scene,
        &format!(
            "auth.backend = \"plain\"\nauth.backend.plain.userfile = \"{}/users\"\n\
             auth.require = (\"/git/\" => (\"method\" => \"basic\", \"realm\" => \"git\", \"require\" => \"valid-user\"))",
            scene.dir.path().display()
        ),
    );
    let token = scene.dir.path().join("token");
    std::fs::write(&token, "me:wrong\n").unwrap();
    let limits = Limits::default();
    let with_token =
        gate_config::ResolvedRepo { token: Some(token.clone()), ..rule(&lighttpd.url()) };
    let mirror = scene.mirror_by(with_token, Arc::new(Origins::new(limits.clone())), limits);
    let error = mirror.refresh().await.unwrap_err();
    assert_eq!(error.to_string(), "origin denied the gate access: HTTP 401 Unauthorized");
    std::fs::write(&token, "me:secret\n").unwrap();
    follows(&scene, &mirror).await;
}

#[tokio::test]
async fn refusals_come_in_the_origins_words() {
    let scene = Scene::sample();
    let daemon = git_daemon(&scene, &[]);
    let lighttpd = Lighttpd::start(&scene, "");
    for (url, words) in [
        (
            format!("git://{}/absent.git", daemon.addr),
            "origin has no such repository: no such repository: /absent.git",
        ),
        (
            format!("http://{}/git/absent.git", lighttpd.addr),
            "origin has no such repository: HTTP 404 Not Found",
        ),
    ] {
        let error = scene.mirror(&url).refresh().await.unwrap_err();
        assert_eq!(error.to_string(), words);
    }
    let port = daemon.addr.port();
    drop(daemon);
    let error = scene.mirror(&format!("git://127.0.0.1:{port}/x")).refresh().await.unwrap_err();
    assert_eq!(error.to_string(), "origin is unreachable: connection refused");
    let error = scene.mirror(&format!("http://127.0.0.1:{port}/x")).refresh().await.unwrap_err();
    assert_eq!(error.to_string(), "origin is unreachable: connection refused");
}

#[tokio::test]
async fn a_session_that_died_while_it_waited_is_replaced_within_the_refresh() {
    let scene = Scene::sample();
    let daemon = git_daemon(&scene, &[]);
    let mirror = scene.mirror(&format!("git://{}/origin.git", daemon.addr));
    mirror.refresh().await.unwrap();
    for text in ["three", "four"] {
        daemon.hang_up();
        let commit = scene.commit("main", text);
        let snapshot = mirror.refresh().await.unwrap();
        assert_eq!(tip(&snapshot, "refs/heads/main").unwrap(), commit);
    }
}

#[tokio::test]
async fn many_at_once_cost_at_most_three_questions() {
    let scene = Scene::sample();
    let daemon = git_daemon(&scene, &[]);
    let mirror = scene.mirror(&format!("git://{}/origin.git", daemon.addr));
    mirror.refresh().await.unwrap();
    let before = daemon.accepted();
    let refreshes: Vec<_> = (0..64).map(|_| mirror.refresh()).collect();
    for refresh in refreshes {
        refresh.await.unwrap();
    }
    let asked = daemon.accepted() - before;
    assert!(asked <= 3, "{asked} connections");
}
