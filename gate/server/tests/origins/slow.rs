//! An origin that takes its time: who waits is told how far it is, and who gives up ends nothing.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use gate_config::{Limits, Period};
use gate_core::Mirror;
use git_gate::origin::Origins;

use crate::servers::{Inetd, Relay, git_daemon};
use crate::support::{Scene, rule};

/// git daemon, whose answers stop after so many bytes until the sender is dropped; and the number of packs asked for.
fn stalling(scene: &Scene, after: usize) -> (Inetd, Relay, SyncSender<()>, Arc<AtomicUsize>) {
    let daemon = git_daemon(scene, &[]);
    let (release, hold) = sync_channel::<()>(0);
    let (hold, sent) = (Mutex::new(hold), AtomicUsize::new(0));
    let wait = move |piece: &[u8]| {
        if sent.fetch_add(piece.len(), Ordering::SeqCst) > after {
            let hold: &Receiver<()> = &hold.lock().unwrap();
            assert!(hold.recv().is_err(), "nothing is ever sent");
        }
    };
    let fetches = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&fetches);
    let asked = move |piece: &[u8]| {
        if piece.windows(13).any(|window| window == b"command=fetch") {
            count.fetch_add(1, Ordering::SeqCst);
        }
    };
    let relay = Relay::with(daemon.addr, Arc::new(asked), Arc::new(wait));
    (daemon, relay, release, fetches)
}

/// Bytes that no compression shortens.
fn noise(length: usize) -> String {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let letters = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'!' + (state >> 33) as u8 % 90)
    });
    letters.take(length).collect()
}

fn impatient(scene: &Scene, relay: &Relay, patience: u64) -> Mirror {
    let limits = Limits {
        first_mirror: Period::from_millis(patience),
        keepalive: Period::from_millis(50),
        ..Limits::default()
    };
    let rule = rule(&format!("git://{}/origin.git", relay.addr));
    scene.mirror_by(rule, Arc::new(Origins::new(limits.clone())), limits)
}

#[tokio::test]
async fn who_gives_up_is_told_how_far_it_is_and_the_next_one_gains_by_it() {
    let scene = Scene::sample();
    scene.blob("large", &noise(400_000));
    let (_daemon, relay, release, fetches) = stalling(&scene, 100_000);
    let mirror = impatient(&scene, &relay, 500);
    let said = loop {
        let said = mirror.refresh().await.unwrap_err().to_string();
        if said.contains("KiB received") {
            break said;
        }
    };
    assert!(
        said.starts_with("origin is too slow: no answer within 500 ms (limits.first_mirror); "),
        "{said}"
    );
    assert!(said.ends_with(" KiB received: try again, the mirroring goes on"), "{said}");
    let abandoned = mirror.refresh();
    drop(abandoned);
    drop(release);
    while mirror.refresh().await.is_err() {}
    assert_eq!(scene.mirrored(), scene.listing());
    assert_eq!(fetches.load(Ordering::SeqCst), 1, "one pack, and nobody ended it");
}

#[tokio::test]
async fn a_silence_in_the_middle_of_a_pack_ends_at_the_refresh_limit() {
    let scene = Scene::sample();
    scene.blob("large", &noise(400_000));
    let (_daemon, relay, release, _) = stalling(&scene, 100_000);
    let limits = Limits { refresh: Period::from_millis(700), ..Limits::default() };
    let rule = rule(&format!("git://{}/origin.git", relay.addr));
    let mirror = scene.mirror_by(rule, Arc::new(Origins::new(limits.clone())), limits);
    let error = mirror.refresh().await.unwrap_err().to_string();
    assert!(error.contains("within 700 ms (limits.refresh)"), "{error}");
    drop(release);
    let error = mirror.refresh().await;
    error.unwrap();
    assert_eq!(scene.mirrored(), scene.listing());
}
