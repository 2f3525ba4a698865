//! A client that goes away at any step: the origin has all of the push or nothing, and nothing is left behind.

use std::future::poll_fn;
use std::task::Poll;

use gate_core::receive;
use gate_core::session::Mode;
use tokio::io::AsyncWriteExt as _;

use crate::kit::Kit;

/// Ready when it is polled for the `n`th time; wakes nobody.
async fn polled(n: usize) {
    let mut left = n;
    poll_fn(|_| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        Poll::Pending
    })
    .await;
}

#[tokio::test]
async fn a_session_dropped_at_any_await_leaves_the_old_state_or_the_new_one() {
    let kit = Kit::new("").await;
    let old = kit.repos.at_origin("refs/heads/main").expect("it is there");
    let (new, request) = kit.change("file", &"some lines of text\n".repeat(500));
    let (mut landed, mut dropped) = (0, 0);
    for step in 0.. {
        let (session, mut client, mut theirs) = kit.session(Mode::Request);
        theirs.write_all(&request).await.expect("the pipe takes it");
        theirs.shutdown().await.expect("the pipe closes");
        let served = tokio::select! {
            biased;
            served = receive::serve(&session, &mut client, &kit.context) => Some(served),
            () = polled(step) => None,
        };
        drop((client, theirs));
        kit.quiet().await;
        let what = format!("dropped at await {step}");
        kit.nothing_is_left(&what);
        let now = kit.repos.at_origin("refs/heads/main").expect("it is there");
        assert!(now == old || now == new, "{what}");
        let snapshot = kit.context.mirror.refresh().await.expect("heals");
        let shown = snapshot.refs().get(b"refs/heads/main").map(|entry| entry.target);
        assert_eq!(shown, Some(now), "{what}");
        landed += usize::from(now == new);
        kit.repos.origin(&["update-ref", "refs/heads/main", &old.to_hex()]);
        kit.context.mirror.refresh().await.expect("follows");
        match served {
            Some(served) => {
                assert_eq!(served.expect("an outcome").ok, 1, "in the end it is served");
                break;
            }
            None => dropped += 1,
        }
    }
    assert!(dropped > 5 && landed >= 1, "{dropped} dropped, {landed} landed");
}

#[tokio::test]
async fn a_request_cut_at_any_place_is_no_push() {
    let kit = Kit::new("").await;
    let (_, request) = kit.change("file", &"some lines of text\n".repeat(50));
    let before = kit.origin_state();
    let commands = request.windows(8).position(|window| window == b"0000PACK").expect("a pack");
    let cuts = [
        0,
        1,
        3,
        4,
        50,
        commands - 1,
        commands,
        commands + 2,
        commands + 4,
        commands + 7,
        commands + 12,
    ]
    .into_iter()
    .chain((commands + 16..request.len()).step_by(37))
    .chain([request.len() - 20, request.len() - 1]);
    for cut in cuts {
        for mode in [Mode::Request, Mode::Stateful] {
            let (session, mut client, mut theirs) = kit.session(mode);
            theirs.write_all(&request[..cut]).await.expect("the pipe takes it");
            drop(theirs);
            let served = receive::serve(&session, &mut client, &kit.context).await;
            assert!(served.is_err() || served.is_ok_and(|pushed| pushed.ok == 0), "cut at {cut}");
            kit.quiet().await;
            assert_eq!(kit.origin_state(), before, "cut at {cut}");
            kit.nothing_is_left(&format!("cut at {cut}"));
        }
    }
}
