//! http origins whose kept connections die without a sign: what may be asked twice is answered over a new one, and a push
//! is never sent twice. And ones that repeat the gate's credential in what they say.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use gate_config::{Limits, Period, ResolvedRepo};
use gate_core::dial::{Connection, Dial as _, ErrorKind, Payload, Rpc};
use git_gate::origin::Origins;
use proto::{Service, Version};
use tokio::io::AsyncReadExt as _;

use crate::servers::{Fate, Lighttpd, Relay, Way};
use crate::support::{Scene, rule};

/// Connections that are kept before they die.
const KEPT: usize = 4;
/// Longer than a request takes here, though the machine is busy.
const CONNECT: Duration = Duration::from_secs(2);
/// `ls-refs` without arguments.
const LS_REFS: &[u8] = b"0014command=ls-refs\n0000";

fn origins() -> Origins {
    let connect = Period::from_millis(CONNECT.as_millis() as u64);
    Origins::new(Limits { connect, ..Limits::default() })
}

async fn rpc(origins: &Origins, to: &ResolvedRepo, service: Service) -> Box<dyn Rpc> {
    let version = if service == Service::UploadPack { Version::V2 } else { Version::V0 };
    match origins.dial(to, service, version).await.unwrap() {
        Connection::Rpc(rpc) => rpc,
        Connection::Stream(_) => panic!("http is no stream"),
    }
}

#[derive(Clone, Copy, Debug)]
enum Question {
    Refs(Service),
    Post,
}

/// Asks, and hears the whole answer, so that its connection can be kept.
async fn ask(origins: &Origins, to: &ResolvedRepo, question: Question) -> String {
    let mut answer = match question {
        Question::Refs(service) => rpc(origins, to, service).await.advertisement().await.unwrap(),
        Question::Post => {
            let payload = Payload::Whole(Bytes::from_static(LS_REFS));
            rpc(origins, to, Service::UploadPack).await.call(payload).await.unwrap()
        }
    };
    let mut text = Vec::new();
    answer.read_to_end(&mut text).await.unwrap();
    String::from_utf8_lossy(&text).into_owned()
}

/// Keeps `KEPT` connections, each of which has answered.
async fn keep(origins: &Origins, to: &ResolvedRepo, relay: &Relay) {
    let question = Question::Refs(Service::UploadPack);
    join_all((0..KEPT).map(|_| ask(origins, to, question))).await;
    assert_eq!(relay.accepted(), KEPT, "connections");
}

/// A relay whose connections up to a number meet another fate; and that number. The first ones answer when all `KEPT` of
/// them are there.
fn failing(lighttpd: &Lighttpd<'_>, fate: fn() -> Fate) -> (Relay, Arc<AtomicUsize>) {
    let dead = Arc::<AtomicUsize>::default();
    let upto = Arc::clone(&dead);
    let (asked, all) = (AtomicUsize::new(0), Barrier::new(KEPT));
    let judge = move |number, way, _: &[u8]| {
        if way == Way::Asked && asked.fetch_add(1, Ordering::SeqCst) < KEPT {
            all.wait();
        }
        if number <= upto.load(Ordering::SeqCst) { fate() } else { Fate::Passed }
    };
    (Relay::judging(lighttpd.addr, Arc::new(judge)), dead)
}

/// A relay whose first connection answers once something was asked on the second, which meets this fate.
fn slow(lighttpd: &Lighttpd<'_>, second: fn() -> Fate) -> Relay {
    let (doubted, hold) = sync_channel::<()>(0);
    let (doubted, hold) = (Mutex::new(Some(doubted)), Mutex::new(hold));
    let judge = move |number, way, _: &[u8]| match (number, way) {
        (1, Way::Answered) => {
            assert!(hold.lock().unwrap().recv().is_err(), "nothing is ever sent");
            Fate::Passed
        }
        (2, Way::Asked) => {
            drop(doubted.lock().unwrap().take());
            second()
        }
        _ => Fate::Passed,
    };
    Relay::judging(lighttpd.addr, Arc::new(judge))
}

#[tokio::test]
async fn kept_connections_that_died_cost_one_wait_and_are_thrown_away() {
    let scene = Scene::sample();
    scene.git(&["config", "http.receivepack", "true"]);
    let lighttpd = Lighttpd::start(&scene, "");
    for (fate, waits) in [((|| Fate::Swallowed) as fn() -> Fate, true), (|| Fate::HungUp, false)] {
        for question in [
            Question::Refs(Service::UploadPack),
            Question::Post,
            Question::Refs(Service::ReceivePack),
        ] {
            let (relay, dead) = failing(&lighttpd, fate);
            let to = rule(&format!("http://{}/git/origin.git", relay.addr));
            let origins = origins();
            keep(&origins, &to, &relay).await;
            let expected = ask(&origins, &to, question).await;
            assert_eq!(relay.accepted(), KEPT, "{question:?}: connections");
            dead.store(KEPT, Ordering::SeqCst);
            let since = tokio::time::Instant::now();
            assert_eq!(ask(&origins, &to, question).await, expected, "{question:?}");
            assert_eq!(since.elapsed() >= CONNECT, waits, "{question:?}");
            for _ in 0..KEPT {
                assert_eq!(ask(&origins, &to, question).await, expected, "{question:?}");
            }
            assert_eq!(relay.accepted(), KEPT + 1, "{question:?}: the new connection is kept");
        }
    }
}

#[tokio::test]
async fn a_slow_origin_is_answered_by_its_first_answer_and_its_connection_kept() {
    let scene = Scene::sample();
    let lighttpd = Lighttpd::start(&scene, "");
    for second in [(|| Fate::Swallowed) as fn() -> Fate, || Fate::HungUp] {
        let relay = slow(&lighttpd, second);
        let to = rule(&format!("http://{}/git/origin.git", relay.addr));
        let origins = origins();
        for _ in 0..2 {
            let answer = ask(&origins, &to, Question::Refs(Service::UploadPack)).await;
            assert!(answer.contains("version 2"), "{answer}");
            assert_eq!(relay.accepted(), 2, "connections");
        }
    }
}

#[tokio::test]
async fn a_push_is_never_sent_twice() {
    let scene = Scene::sample();
    scene.git(&["config", "http.receivepack", "true"]);
    let lighttpd = Lighttpd::start(&scene, "");
    for fate in [(|| Fate::Swallowed) as fn() -> Fate, || Fate::HungUp] {
        let (relay, dead) = failing(&lighttpd, fate);
        let to = rule(&format!("http://{}/git/origin.git", relay.addr));
        let origins = origins();
        keep(&origins, &to, &relay).await;
        dead.store(KEPT, Ordering::SeqCst);
        let piece = Ok(Bytes::from_static(b"0000"));
        let streamed = Box::pin(futures_util::stream::iter([piece]));
        let payloads = [Payload::Whole(Bytes::from_static(b"0000")), Payload::Streamed(streamed)];
        let pushes = payloads.map(async |payload| {
            let mut rpc = rpc(&origins, &to, Service::ReceivePack).await;
            // nothing comes, however long one waits: twice the limit is as good as any
            match tokio::time::timeout(CONNECT * 2, rpc.call(payload)).await {
                Ok(Ok(_)) => panic!("answered by a dead connection"),
                Ok(Err(error)) => assert_eq!(error.kind(), ErrorKind::Lost),
                Err(_) => assert!(matches!(fate(), Fate::Swallowed)),
            }
        });
        join_all(pushes).await;
        assert_eq!(relay.accepted(), KEPT, "connections");
    }
}

/// A program that denies everything, in words that hold the header; with the path `type`, in its answer's type.
const ECHO: &str = r#"#!/bin/sh
case $PATH_INFO in
/type/*) printf 'Content-Type: x/%s\r\n\r\n' "$HTTP_AUTHORIZATION" ;;
*) printf 'Status: 403\r\nContent-Type: text/plain\r\n\r\ndenied for %s, %s' "$HTTP_AUTHORIZATION" "$(cat token)" ;;
esac
"#;

#[tokio::test]
async fn a_credential_that_the_origin_repeats_is_not_shown() {
    let scene = Scene::sample();
    let file = |name: &str| scene.dir.path().join(name);
    std::fs::write(file("echo"), ECHO).unwrap();
    std::fs::set_permissions(file("echo"), Permissions::from_mode(0o755)).unwrap();
    let dir = scene.dir.path().display();
    let lighttpd =
        Lighttpd::start(&scene, &format!("alias.url += (\"/echo/\" => \"{dir}/echo/\")"));
    for (user, token, said) in [
        ("", "s3cr3t-token\n", "Bearer <credential>, <credential>"),
        ("", "bot:s3cr3t-token\n", "Basic <credential>, <credential>"),
        ("bot@", "s3cr3t-token\n", "Basic <credential>, <credential>"),
    ] {
        std::fs::write(file("token"), token).unwrap();
        for (path, expected) in [
            (
                "words",
                format!("origin denied the gate access: HTTP 403 Forbidden: denied for {said}"),
            ),
            (
                "type",
                format!(
                    "origin does not speak the git protocol: its HTTP answer is of type x/{}",
                    said.split(',').next().unwrap()
                ),
            ),
        ] {
            let url = format!("http://{user}{}/echo/{path}/origin.git", lighttpd.addr);
            let to = ResolvedRepo { token: Some(file("token")), ..rule(&url) };
            let origins = origins();
            for service in [Service::UploadPack, Service::ReceivePack] {
                let mut rpc = rpc(&origins, &to, service).await;
                let payload = Payload::Whole(Bytes::from_static(b"0000"));
                for error in [rpc.advertisement().await.err(), rpc.call(payload).await.err()] {
                    let said = error.unwrap().to_string();
                    assert!(said.starts_with(&expected), "{said}");
                    assert!(!said.contains("s3cr3t") && !said.contains("czNjcjN0"), "{said}");
                }
            }
        }
    }
}
