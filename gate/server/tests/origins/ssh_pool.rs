//! Many repositories of one ssh host: what they share, and what no one of them may take from the others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gate_config::{Limits, Period, ResolvedRepo};
use gate_core::Mirror;
use gate_core::blocking::Pool;
use gate_core::dial::ErrorKind;
use gate_core::mirror::Context;
use git_gate::origin::Origins;

use crate::servers::{Sshd, loopback};
use crate::support::{Scene, rule, tip};

fn context(limits: Limits) -> Context {
    let pool = || Pool::new(2);
    let dial = Arc::new(Origins::new(limits.clone()));
    Context { dial, limits, fetch: pool(), cpu: pool(), background: pool() }
}

/// So many mirrors of one repository, all by one way to origins.
fn mirrors(scene: &Scene, count: usize, rule: &ResolvedRepo, context: &Context) -> Vec<Mirror> {
    let dir = |n: usize| scene.dir.path().join(format!("mirror-{n}.git"));
    (0..count).map(|n| Mirror::open(dir(n), rule.clone(), context.clone())).collect()
}

/// Looks again and again: nothing tells when another process has got so far.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(30), "never came about: {what}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_server_of_few_sessions_a_connection_serves_many_at_once() {
    for sessions in [1, 2, 10] {
        let scene = Scene::sample();
        let settings = format!("AcceptEnv GIT_PROTOCOL\nMaxSessions {sessions}");
        let sshd = Sshd::start(&scene, "ed25519", &settings);
        let mirrors = mirrors(&scene, 24, &sshd.rule(), &context(Limits::default()));
        for round in 0..3 {
            let commit = scene.commit("main", &format!("round {round}"));
            let refreshes: Vec<_> = mirrors.iter().map(Mirror::refresh).collect();
            for refresh in refreshes {
                let snapshot = refresh.await.unwrap_or_else(|error| {
                    panic!("{sessions} sessions a connection, round {round}: {error}")
                });
                assert_eq!(tip(&snapshot, "refs/heads/main").unwrap(), commit);
            }
        }
        assert!(sshd.inetd.accepted() <= 24, "{} connections", sshd.inetd.accepted());
    }
}

#[tokio::test]
async fn who_waits_to_take_a_pack_holds_nobody_back() {
    let (scene, other) = (Scene::sample(), Scene::sample());
    let sshd = Sshd::start(&scene, "ed25519", "AcceptEnv GIT_PROTOCOL");
    // more than all buffers between the two programs hold
    let mut state = 1_u64;
    let noise: String = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'!' + (state >> 40) as u8 % 90)
    })
    .take(24 << 20)
    .collect();
    scene.blob("large", &noise);
    let pool = Pool::new(1);
    let context = Context { fetch: pool.clone(), ..context(Limits::default()) };
    let small = Mirror::open(other.mirror_dir(), sshd.rule_for(&other.origin()), context.clone());
    small.refresh().await.unwrap();
    let permit = pool.permit().await;
    let large = Mirror::open(scene.mirror_dir(), sshd.rule(), context);
    let waiting = large.refresh();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        small.refresh().await.unwrap();
    }
    drop(permit);
    waiting.await.unwrap();
    assert_eq!(scene.mirrored(), scene.listing());
    assert_eq!(sshd.inetd.accepted(), 1, "they share a connection");
}

#[tokio::test]
async fn a_connection_that_nobody_uses_ends() {
    let scene = Scene::sample();
    let sshd = Sshd::start(&scene, "ed25519", "AcceptEnv GIT_PROTOCOL");
    let limits = Limits { mirror_idle: Period::from_millis(300), ..Limits::default() };
    let mirror = scene.mirror_by(sshd.rule(), Arc::new(Origins::new(limits.clone())), limits);
    for connections in 1..3 {
        mirror.refresh().await.unwrap();
        assert_eq!(sshd.inetd.accepted(), connections);
        until("the end of the connection", || sshd.inetd.running() == 0).await;
    }
}

#[tokio::test]
async fn all_who_wait_for_a_host_that_refuses_hear_that_it_refuses() {
    let scene = Scene::sample();
    let sshd = Sshd::start(&scene, "ed25519", "AcceptEnv GIT_PROTOCOL");
    let closed = loopback().local_addr().unwrap();
    let origin = rule(&format!("ssh://git@{closed}/x.git")).origin;
    let rule = ResolvedRepo { origin, ..sshd.rule() };
    let pinned = sshd
        .read("known_hosts")
        .replace(&sshd.inetd.addr.port().to_string(), &closed.port().to_string());
    std::fs::write(sshd.files.join("known_hosts"), pinned).unwrap();
    let mirrors = mirrors(&scene, 16, &rule, &context(Limits::default()));
    for _ in 0..2 {
        let refreshes: Vec<_> = mirrors.iter().map(Mirror::refresh).collect();
        for refresh in refreshes {
            let error = refresh.await.unwrap_err();
            assert_eq!(error.to_string(), "origin is unreachable: connection refused");
        }
    }
}

/// A server that went silent without a sign, as behind a NAT that forgot: for a fetch and for whatever else is dialled.
#[tokio::test]
async fn a_connection_that_fell_silent_is_replaced_within_the_refresh() {
    let scene = Scene::sample();
    let sshd = Sshd::start(&scene, "ed25519", "AcceptEnv GIT_PROTOCOL");
    let limits = Limits::default();
    let mirror = scene.mirror_by(sshd.rule(), Arc::new(Origins::new(limits.clone())), limits);
    mirror.refresh().await.unwrap();
    mirror.refresh().await.unwrap();
    sshd.inetd.freeze();
    let commit = scene.commit("main", "three");
    let snapshot = mirror.refresh().await.unwrap();
    assert_eq!(tip(&snapshot, "refs/heads/main").unwrap(), commit);
    assert_eq!(sshd.inetd.accepted(), 2);
    let again = mirror.refresh().await.unwrap();
    assert_eq!(again.generation(), snapshot.generation());
    assert_eq!(sshd.inetd.accepted(), 2);
}

#[tokio::test]
async fn a_server_that_opens_no_session_is_told_as_that() {
    let scene = Scene::sample();
    let sshd = Sshd::start(&scene, "ed25519", "MaxSessions 0");
    let mirrors = mirrors(&scene, 3, &sshd.rule(), &context(Limits::default()));
    let refreshes: Vec<_> = mirrors.iter().map(Mirror::refresh).collect();
    for refresh in refreshes {
        let error = refresh.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreachable);
        assert_eq!(error.words(), "its ssh server opens no channel");
    }
}
