//! https origins: whom the gate trusts, what it shows of its credential and to whom, and how often it connects.

use std::io::ErrorKind::WouldBlock;
use std::sync::Arc;

use gate_config::{Limits, Period, ResolvedRepo};
use gate_core::RefreshError;
use gate_core::dial::ErrorKind;
use git_gate::origin::Origins;

use crate::servers::{Lighttpd, Relay, certify, loopback};
use crate::support::{Scene, rule};
use crate::transports::follows;

/// lighttpd behind TLS, with a certificate for 127.0.0.1.
fn secure<'s>(scene: &'s Scene, more: &str) -> Lighttpd<'s> {
    certify(scene.dir.path(), "ca", "server", "IP:127.0.0.1");
    let dir = scene.dir.path().display();
    let tls = format!(
        "server.modules += (\"mod_openssl\")\nssl.engine = \"enable\"\nssl.pemfile = \"{dir}/server.both\"\n"
    );
    Lighttpd::start(scene, &(tls + more))
}

fn trusting(scene: &Scene, ca: &str, url: &str) -> ResolvedRepo {
    ResolvedRepo { ca_file: Some(scene.dir.path().join(ca)), ..rule(url) }
}

async fn refused(scene: &Scene, rule: ResolvedRepo) -> RefreshError {
    let limits = Limits::default();
    let mirror = scene.mirror_by(rule, Arc::new(Origins::new(limits.clone())), limits);
    mirror.refresh().await.unwrap_err()
}

#[tokio::test]
async fn https_is_followed_over_one_connection() {
    let scene = Scene::sample();
    let lighttpd = secure(&scene, "");
    let relay = Relay::to(lighttpd.addr);
    let rule = trusting(&scene, "ca.pem", &format!("https://{}/git/origin.git", relay.addr));
    let limits = Limits::default();
    let mirror = scene.mirror_by(rule, Arc::new(Origins::new(limits.clone())), limits);
    follows(&scene, &mirror).await;
    assert_eq!(relay.accepted(), 1, "connections");
}

#[tokio::test]
async fn a_certificate_that_nobody_trusted_signed_is_refused() {
    let scene = Scene::sample();
    let lighttpd = secure(&scene, "");
    let url = format!("https://{}/git/origin.git", lighttpd.addr);
    certify(scene.dir.path(), "other", "unused", "DNS:localhost");
    // another CA, and the system's
    for rule in [trusting(&scene, "other.pem", &url), rule(&url)] {
        let error = refused(&scene, rule).await;
        assert_eq!(error.kind(), ErrorKind::Certificate);
        assert_eq!(
            error.to_string(),
            "origin's certificate is not trusted: no CA that the gate trusts has signed it (ca_file names another)"
        );
    }
    let by_name = format!("https://localhost:{}/git/origin.git", lighttpd.addr.port());
    let error = refused(&scene, trusting(&scene, "ca.pem", &by_name)).await.to_string();
    assert!(
        error.starts_with("origin's certificate is not trusted: it is another host's: "),
        "{error}"
    );
    assert!(error.contains("localhost") && error.contains("127.0.0.1"), "{error}");
    assert!(!scene.mirror_dir().exists());
}

#[tokio::test]
async fn a_ca_file_that_is_exchanged_counts_at_once() {
    let scene = Scene::sample();
    let lighttpd = secure(&scene, "");
    let file = |name: &str| scene.dir.path().join(name);
    certify(scene.dir.path(), "other", "unused", "DNS:localhost");
    std::fs::copy(file("other.pem"), file("used.pem")).unwrap();
    let rule = trusting(&scene, "used.pem", &format!("https://{}/git/origin.git", lighttpd.addr));
    let limits = Limits::default();
    let mirror = scene.mirror_by(rule, Arc::new(Origins::new(limits.clone())), limits);
    assert_eq!(mirror.refresh().await.unwrap_err().kind(), ErrorKind::Certificate);
    std::fs::copy(file("ca.pem"), file("used.pem")).unwrap();
    follows(&scene, &mirror).await;
}

#[tokio::test]
async fn a_ca_file_that_holds_none_is_named_without_its_path() {
    let scene = Scene::sample();
    std::fs::write(scene.dir.path().join("empty.pem"), "").unwrap();
    for (file, words) in [
        ("empty.pem", "the CA file holds no certificate"),
        ("absent.pem", "the CA file can't be read: no such file or directory"),
    ] {
        let error = refused(&scene, trusting(&scene, file, "https://127.0.0.1:1/x")).await;
        assert_eq!(
            error.to_string(),
            format!("the gate's credential for the origin can't be used: {words}")
        );
    }
}

#[tokio::test]
async fn tokens_and_passwords_open_what_needs_them() {
    let bearer =
        "$REQUEST_HEADER[\"Authorization\"] != \"Bearer s3cret\" { url.access-deny = (\"\") }";
    let dir = |scene: &Scene| scene.dir.path().display().to_string();
    let basic = |scene: &Scene| {
        format!(
            "auth.backend = \"plain\"\nauth.backend.plain.userfile = \"{}/users\"\n\
             auth.require = (\"/git/\" => (\"method\" => \"basic\", \"realm\" => \"git\", \"require\" => \"valid-user\"))",
            dir(scene)
        )
    };
    for (kind, user, right, wrong, said) in [
        ("bearer", "", "s3cret\n", "guess", "HTTP 403 Forbidden"),
        ("basic", "", "me:s3cret\n", "me:guess", "HTTP 401 Unauthorized"),
        ("user in the URL", "me@", "s3cret", "guess", "HTTP 401 Unauthorized"),
    ] {
        let scene = Scene::sample();
        std::fs::write(scene.dir.path().join("users"), "me:s3cret\n").unwrap();
        let server =
            secure(&scene, &if kind == "bearer" { bearer.to_owned() } else { basic(&scene) });
        let url = format!("https://{user}{}/git/origin.git", server.addr);
        let token = scene.dir.path().join("token");
        std::fs::write(&token, wrong).unwrap();
        let rule = ResolvedRepo { token: Some(token.clone()), ..trusting(&scene, "ca.pem", &url) };
        let error = refused(&scene, rule.clone()).await;
        assert_eq!(error.to_string(), format!("origin denied the gate access: {said}"), "{kind}");
        std::fs::write(&token, right).unwrap();
        let limits = Limits::default();
        let mirror = scene.mirror_by(rule, Arc::new(Origins::new(limits.clone())), limits);
        follows(&scene, &mirror).await;
    }
}

#[tokio::test]
async fn a_redirect_is_followed_on_the_same_host_and_no_other_hears_the_credential() {
    let scene = Scene::sample();
    let elsewhere = loopback();
    elsewhere.set_nonblocking(true).unwrap();
    let port = elsewhere.local_addr().unwrap().port();
    let server = secure(
        &scene,
        &format!(
            "url.redirect = (\"^/moved/(.*)\" => \"/git/$1\", \"^/away/(.*)\" => \"https://localhost:{port}/git/$1\",\n\
             \"^/port/(.*)\" => \"https://127.0.0.1:{port}/git/$1\", \"^/plain/(.*)\" => \"http://127.0.0.1:{port}/git/$1\")"
        ),
    );
    let token = scene.dir.path().join("token");
    std::fs::write(&token, "s3cret").unwrap();
    let rule = |path: &str| ResolvedRepo {
        token: Some(token.clone()),
        ..trusting(&scene, "ca.pem", &format!("https://{}/{path}/origin.git", server.addr))
    };
    for (path, host) in [("away", "localhost"), ("port", "127.0.0.1"), ("plain", "127.0.0.1")] {
        let error = refused(&scene, rule(path)).await.to_string();
        assert_eq!(error, format!("origin refused: it redirects to another host: {host}"));
    }
    assert_eq!(elsewhere.accept().unwrap_err().kind(), WouldBlock, "nobody connected there");
    let limits = Limits::default();
    let mirror = scene.mirror_by(rule("moved"), Arc::new(Origins::new(limits.clone())), limits);
    follows(&scene, &mirror).await;
}

#[tokio::test]
async fn a_server_that_never_greets_ends_at_the_connect_limit() {
    let scene = Scene::empty();
    let silent = loopback();
    let limits = Limits { connect: Period::from_millis(300), ..Limits::default() };
    let url = format!("https://{}/x", silent.local_addr().unwrap());
    let mirror = scene.mirror_by(rule(&url), Arc::new(Origins::new(limits.clone())), limits);
    assert_eq!(
        mirror.refresh().await.unwrap_err().to_string(),
        "origin is too slow: no answer within 300 ms (limits.connect)"
    );
}
