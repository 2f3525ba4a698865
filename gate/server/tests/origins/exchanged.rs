//! What lies under an origin's name may become another repository, or none, between two requests. What was there before
//! is never answered for, though connections are kept and the origin is asked in the first breath.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use gate_config::{Limits, Period, ResolvedRepo};
use gate_core::Mirror;
use gate_core::dial::ErrorKind;
use git_gate::origin::Origins;

use crate::servers::{Inetd, Lighttpd, Sshd, git_daemon, loopback};
use crate::support::{Scene, git, rule, tip};

/// Runs `check` with a mirror over each transport, each of an origin of its own.
macro_rules! over_each_transport {
    ($($check:ident),* $(,)?) => { $( mod $check {
        use super::*;

        #[tokio::test]
        async fn file() {
            let scene = Scene::sample();
            super::$check(&scene, scene.mirror(&scene.url())).await;
        }

        #[tokio::test]
        async fn git() {
            let scene = Scene::sample();
            let daemon = git_daemon(&scene, &[]);
            let mirror = scene.mirror(&format!("git://{}/origin.git", daemon.addr));
            super::$check(&scene, mirror).await;
        }

        #[tokio::test]
        async fn ssh() {
            let scene = Scene::sample();
            let sshd = Sshd::start(&scene, "ed25519", "AcceptEnv GIT_PROTOCOL");
            super::$check(&scene, mirror(&scene, sshd.rule(), Limits::default())).await;
            assert_eq!(sshd.inetd.accepted(), 1, "the connection is kept");
        }

        #[tokio::test]
        async fn ssh_in_v0() {
            let scene = Scene::sample();
            let sshd = Sshd::start(&scene, "ed25519", "");
            super::$check(&scene, mirror(&scene, sshd.rule(), Limits::default())).await;
        }

        #[tokio::test]
        async fn http() {
            let scene = Scene::sample();
            let lighttpd = Lighttpd::start(&scene, "");
            super::$check(&scene, scene.mirror(&lighttpd.url())).await;
        }
    } )* };
}

over_each_transport!(
    moved_away,
    exchanged_for_another,
    hidden_refs,
    made_anew_with_another_hash,
    spoken_to_otherwise,
    head_at_a_hidden_branch,
);

fn mirror(scene: &Scene, rule: ResolvedRepo, limits: Limits) -> Mirror {
    scene.mirror_by(rule, Arc::new(Origins::new(limits.clone())), limits)
}

async fn moved_away(scene: &Scene, mirror: Mirror) {
    let aside = scene.dir.path().join("aside.git");
    for round in 0..3 {
        for _ in 0..2 {
            mirror.refresh().await.unwrap();
            assert_eq!(scene.mirrored(), scene.listing(), "round {round}");
        }
        std::fs::rename(scene.origin(), &aside).unwrap();
        for _ in 0..2 {
            let error = mirror.refresh().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnknownRepository, "round {round}: {error}");
        }
        std::fs::rename(&aside, scene.origin()).unwrap();
    }
}

async fn exchanged_for_another(scene: &Scene, mirror: Mirror) {
    let (origin, other) = (scene.origin(), scene.dir.path().join("other.git"));
    git(scene.dir.path(), &["clone", "-q", "--mirror", "origin.git", "other.git"]);
    scene.commit("main", "only in the first");
    for round in 0..4 {
        mirror.refresh().await.unwrap();
        assert_eq!(scene.mirrored(), scene.listing(), "round {round}");
        let aside = scene.dir.path().join("aside.git");
        for (from, to) in [(&origin, &aside), (&other, &origin), (&aside, &other)] {
            std::fs::rename(from, to).unwrap();
        }
    }
}

async fn hidden_refs(scene: &Scene, mirror: Mirror) {
    assert!(tip(&mirror.refresh().await.unwrap(), "refs/heads/topic").is_some());
    scene.git(&["config", "uploadpack.hideRefs", "refs/heads/topic"]);
    assert_eq!(tip(&mirror.refresh().await.unwrap(), "refs/heads/topic"), None);
    scene.git(&["config", "--unset", "uploadpack.hideRefs"]);
    assert!(tip(&mirror.refresh().await.unwrap(), "refs/heads/topic").is_some());
}

async fn made_anew_with_another_hash(scene: &Scene, mirror: Mirror) {
    for format in ["sha256", "sha1", "sha256"] {
        mirror.refresh().await.unwrap();
        std::fs::remove_dir_all(scene.origin()).unwrap();
        let init = ["init", "-q", "--bare", "-b", "main", "--object-format", format, "origin.git"];
        git(scene.dir.path(), &init);
        scene.commit("main", "one");
        mirror.refresh().await.unwrap();
        assert_eq!(scene.mirrored(), scene.listing(), "{format}");
    }
}

/// An origin that no longer offers what it was asked for.
async fn spoken_to_otherwise(scene: &Scene, mirror: Mirror) {
    for unborn in ["ignore", "advertise", "ignore"] {
        mirror.refresh().await.unwrap();
        scene.git(&["config", "lsrefs.unborn", unborn]);
        let commit = scene.commit("main", unborn);
        let snapshot = mirror.refresh().await.unwrap();
        assert_eq!(tip(&snapshot, "refs/heads/main").unwrap(), commit);
        assert_eq!(scene.mirrored(), scene.listing());
    }
}

/// The origin lists HEAD with its branch's name and value, and not the branch.
async fn head_at_a_hidden_branch(scene: &Scene, mirror: Mirror) {
    mirror.refresh().await.unwrap();
    for hide in [true, false] {
        let change = if hide { "--add" } else { "--unset" };
        scene.git(&["config", change, "uploadpack.hideRefs", "refs/heads/main"]);
        let snapshot = mirror.refresh().await.unwrap();
        assert_eq!(tip(&snapshot, "refs/heads/main").is_none(), hide);
        let head = snapshot.head_target().map(|id| id.to_hex());
        assert_eq!(head, Some(scene.git(&["rev-parse", "main"])));
    }
}

/// A front end of `server` that loses what a client says between its request line and the server's greeting; and how
/// many bytes it lost.
fn deaf(server: SocketAddr) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = loopback();
    let (addr, lost) = (listener.local_addr().unwrap(), Arc::<AtomicUsize>::default());
    let counter = Arc::clone(&lost);
    // lives as long as the test's process; it holds nothing but its sockets
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut server = TcpStream::connect(server).unwrap();
            let mut line = [0; 4];
            client.read_exact(&mut line).unwrap();
            server.write_all(&line).unwrap();
            let length = usize::from_str_radix(str::from_utf8(&line).unwrap(), 16).unwrap();
            let mut line = vec![0; length - 4];
            client.read_exact(&mut line).unwrap();
            server.write_all(&line).unwrap();
            let greeted = Arc::<AtomicBool>::default();
            let (mut answers, mut back) =
                (server.try_clone().unwrap(), client.try_clone().unwrap());
            let greets = Arc::clone(&greeted);
            std::thread::spawn(move || {
                let mut piece = vec![0; 1 << 14];
                while let Ok(read @ 1..) = answers.read(&mut piece) {
                    greets.store(true, Ordering::SeqCst);
                    if back.write_all(&piece[..read]).is_err() {
                        break;
                    }
                }
                drop(back.shutdown(std::net::Shutdown::Write));
            });
            let counter = Arc::clone(&counter);
            std::thread::spawn(move || {
                let mut piece = vec![0; 1 << 14];
                while let Ok(read @ 1..) = client.read(&mut piece) {
                    if !greeted.load(Ordering::SeqCst) {
                        counter.fetch_add(read, Ordering::SeqCst);
                    } else if server.write_all(&piece[..read]).is_err() {
                        break;
                    }
                }
                drop(server.shutdown(std::net::Shutdown::Write));
            });
        }
    });
    (addr, lost)
}

#[tokio::test]
async fn an_origin_that_hears_nothing_before_it_has_greeted_is_soon_heard_out_first() {
    let scene = Scene::sample();
    let daemon: Inetd = git_daemon(&scene, &[]);
    let (addr, lost) = deaf(daemon.addr);
    let limits = Limits { connect: Period::from_millis(500), ..Limits::default() };
    let mirror = mirror(&scene, rule(&format!("git://{addr}/origin.git")), limits);
    // a question that comes a moment late is not lost
    let mut in_a_row = 0;
    for round in 0.. {
        let before = lost.load(Ordering::SeqCst);
        let commit = scene.commit("main", &format!("round {round}"));
        let snapshot = mirror.refresh().await.unwrap();
        assert_eq!(tip(&snapshot, "refs/heads/main").unwrap(), commit);
        in_a_row = if lost.load(Ordering::SeqCst) > before { in_a_row + 1 } else { 0 };
        if in_a_row == 2 {
            break;
        }
        assert!(round < 50, "never lost twice in a row");
    }
    let before = lost.load(Ordering::SeqCst);
    for _ in 0..4 {
        mirror.refresh().await.unwrap();
    }
    assert_eq!(lost.load(Ordering::SeqCst), before, "nothing more is lost");
}

/// A channel opened ahead belongs to no repository: the next who comes uses it for another one.
#[tokio::test]
async fn repositories_of_one_host_share_its_connection() {
    let scene = Scene::sample();
    let other = Scene::sample();
    other.commit("main", "only in the other");
    let sshd = Sshd::start(&scene, "ed25519", "AcceptEnv GIT_PROTOCOL");
    let limits = Limits::default();
    let dial = Arc::new(Origins::new(limits.clone()));
    let first = scene.mirror_by(sshd.rule(), dial.clone(), limits.clone());
    let second = other.mirror_by(sshd.rule_for(Path::new(&other.origin())), dial, limits);
    for _ in 0..3 {
        first.refresh().await.unwrap();
        second.refresh().await.unwrap();
        assert_eq!(scene.mirrored(), scene.listing());
        assert_eq!(other.mirrored(), other.listing());
    }
    assert_eq!(sshd.inetd.accepted(), 1);
}
