//! When the scanner can't be believed there is no verdict, and each kind of trouble has its own name.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gate_core::scan::{Item, NewObjects, Options, Progress, ScanError, Scanner, Stop};
use gate_store::Interrupt;
use proto::ObjectId;
use tokio::sync::watch;

use crate::support::{Push, gitleaks, options, scan_by, token};

/// A scanner that is a script around the real one: `$REAL` is gitleaks, `"$@"` its arguments. Its version is asked first
/// and answered truly.
fn scripted(dir: &Path, script: &str) -> Scanner {
    let file = dir.join("gitleaks");
    let text = format!(
        "#!/bin/sh\nREAL={}\nif [ \"$1\" = version ]; then exec \"$REAL\" version; fi\nPATH=$PATH:/usr/bin:/bin\n{script}\nexit 0\n",
        gitleaks().display()
    );
    // The default rules are looked for in the binary: a copy of it stands behind the script's end.
    fs::write(&file, [text.as_bytes(), &fs::read(gitleaks()).unwrap()].concat()).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    Scanner::new(Options { gitleaks: file, ..options() })
}

async fn trouble_with(script: &str) -> ScanError {
    let dir = tempfile::tempdir().unwrap();
    let push = Push::new().blob("a.txt", "clean\n".repeat(100_000));
    push.scan_by(&scripted(dir.path(), script)).await.expect_err("no verdict")
}

#[tokio::test]
async fn a_script_that_only_passes_on_is_believed() {
    let dir = tempfile::tempdir().unwrap();
    let scanner = scripted(dir.path(), "\"$REAL\" \"$@\" || exit $?");
    Push::new().blob("a.txt", "clean\n").scan_by(&scanner).await.unwrap();
}

#[tokio::test]
async fn a_missing_scanner() {
    for missing in ["/nonexistent/gitleaks", "/dev/null", "/bin/true", "/etc"] {
        let scanner = Scanner::new(Options { gitleaks: PathBuf::from(missing), ..options() });
        let error = Push::new().scan_by(&scanner).await.unwrap_err();
        assert!(matches!(error, ScanError::NotReady(_)), "{missing}: {error:?}");
        assert!(!error.public().contains(missing), "{}", error.public());
    }
}

#[tokio::test]
async fn a_scanner_that_comes_late_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gitleaks");
    let scanner = Scanner::new(Options { gitleaks: path.clone(), ..options() });
    assert!(Push::new().scan_by(&scanner).await.is_err());
    std::os::unix::fs::symlink(gitleaks(), &path).unwrap();
    assert!(Push::new().scan_by(&scanner).await.is_ok());
}

#[tokio::test]
async fn another_version() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("gitleaks");
    fs::write(
        &file,
        [&b"#!/bin/sh\necho 8.18.0\nexit 0\n"[..], &fs::read(gitleaks()).unwrap()].concat(),
    )
    .unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    let error = Scanner::new(Options { gitleaks: file, ..options() }).prove().await.unwrap_err();
    assert!(matches!(&error, ScanError::WrongVersion { found } if found == "8.18.0"), "{error:?}");
}

#[tokio::test]
async fn a_crash_before_and_after_the_patch_is_read() {
    for script in
        ["exit 3", "\"$REAL\" \"$@\"; exit 2", "kill -9 $$", "cat >/dev/null; kill -SEGV $$"]
    {
        let error = trouble_with(script).await;
        assert!(matches!(error, ScanError::Died { .. }), "{script}: {error:?}");
    }
}

#[tokio::test]
async fn a_scanner_that_runs_out_of_memory() {
    for words in [
        "fatal error: runtime: out of memory",
        "terminate called after throwing an instance of 'std::bad_alloc'",
    ] {
        let error = trouble_with(&format!("echo \"{words}\" >&2; seq 100000 >&2; exit 2")).await;
        assert!(matches!(error, ScanError::OutOfMemory), "{words}: {error:?}");
    }
}

#[tokio::test]
async fn a_scanner_that_finds_nothing_is_blind() {
    for script in ["cat >/dev/null; exit 0", "\"$REAL\" \"$@\"; exit 0"] {
        let error = trouble_with(script).await;
        assert!(matches!(error, ScanError::Blind), "{script}: {error:?}");
    }
}

#[tokio::test]
async fn a_report_that_is_cut_or_no_json() {
    for script in [
        "\"$REAL\" \"$@\" | head -c 100; exit 77",
        "\"$REAL\" \"$@\" | tr '[' '('; exit 77",
        "\"$REAL\" \"$@\"; echo '[]'; exit 77",
    ] {
        let error = trouble_with(script).await;
        assert!(matches!(error, ScanError::Garbled(_)), "{script}: {error:?}");
    }
}

#[tokio::test]
async fn a_report_without_our_canaries_is_blind() {
    let script = "\"$REAL\" \"$@\" | sed 's/\"Secret\": \".*\"/\"Secret\": \"x\"/'; exit 77";
    assert!(matches!(trouble_with(script).await, ScanError::Blind));
}

#[tokio::test]
async fn a_scanner_that_saw_less_than_it_was_given() {
    let script =
        "\"$REAL\" \"$@\" 2>words; rc=$?; sed 's/scanned ~[0-9]*/scanned ~7/' words >&2; exit $rc";
    // The working directory is read-only, for root it is not.
    let error = trouble_with(&script.replace("words", "/tmp/scan-words-$$")).await;
    assert!(matches!(error, ScanError::Truncated { scanned: 7, .. }), "{error:?}");
}

#[tokio::test]
async fn a_line_of_trouble_in_the_log() {
    let error =
        trouble_with("echo '10:00AM ERR [git] fatal: bad object' >&2; \"$REAL\" \"$@\" || exit $?")
            .await;
    assert!(
        matches!(&error, ScanError::Trouble { words } if words.contains("bad object")),
        "{error:?}"
    );
}

#[tokio::test]
async fn rules_that_do_not_compile() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bad.toml");
    for (text, ready) in [
        ("[[rules]]\nid = \"x\"\nregex = '''('''\n", true),
        ("[[rules]]\nid = \"x\"\n", true),
        ("[[rules]]\nregex = '''x'''\n", false),
        ("[extend]\nuseDefault = false\n", false),
        ("not toml", false),
    ] {
        fs::write(&file, text).unwrap();
        let scanner = Scanner::new(Options { rules: vec![file.clone()], ..options() });
        let error = scanner.prove().await.unwrap_err();
        match error {
            ScanError::NotReady(_) if !ready => {}
            ScanError::Died { .. } | ScanError::Trouble { .. } if ready => {}
            error => panic!("{text:?}: {error:?}"),
        }
    }
}

#[tokio::test]
async fn a_scan_that_takes_too_long() {
    let scanner = Scanner::new(Options { deadline: Duration::from_millis(700), ..options() });
    let error = scan_by(&scanner, Other::Endless).await.unwrap_err();
    assert!(matches!(error, ScanError::TimedOut { .. }), "{error:?}");
}

#[tokio::test]
async fn a_scanner_that_hangs() {
    let dir = tempfile::tempdir().unwrap();
    drop(scripted(dir.path(), "sleep 1000"));
    let options = Options {
        gitleaks: dir.path().join("gitleaks"),
        deadline: Duration::from_millis(700),
        ..options()
    };
    let error = Push::new().scan_by(&Scanner::new(options)).await.unwrap_err();
    assert!(matches!(error, ScanError::TimedOut { .. }), "{error:?}");
}

#[tokio::test]
async fn a_scanner_killed_midway() {
    let dir = tempfile::tempdir().unwrap();
    let scanner = Scanner::new(Options { scratch: Some(dir.path().to_owned()), ..options() });
    let (progress, mut heard) = watch::channel(Progress::Idle);
    let scan = tokio::spawn(scanner.start().scan(Arc::new(Other::Endless), progress));
    heard.wait_for(|now| matches!(now, Progress::Scanning { .. })).await.unwrap();
    kill_scanner_of(dir.path());
    let error = scan.await.unwrap().unwrap_err();
    assert!(matches!(&error, ScanError::Died { how, .. } if how == "signal 9"), "{error:?}");
}

/// Kills the gitleaks that works in this directory.
fn kill_scanner_of(dir: &Path) {
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).into_owned();
        if command.contains("--no-banner") && command.contains(dir.to_str().unwrap()) {
            std::process::Command::new("kill").arg("-9").arg(entry.file_name()).status().unwrap();
        }
    }
}

#[tokio::test]
async fn objects_that_cannot_be_read() {
    let error = scan_by(&Scanner::new(options()), Other::Unreadable).await.unwrap_err();
    assert!(matches!(error, ScanError::Objects(_)), "{error:?}");
}

/// What no push should be.
enum Other {
    Endless,
    Unreadable,
}

impl NewObjects for Other {
    fn bytes(&self) -> u64 {
        0
    }

    fn each(
        &self,
        _: &Interrupt,
        visit: &mut dyn FnMut(Item<'_>) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        for id in 0_u64.. {
            let raw = [[0; 12].as_slice(), &id.to_be_bytes()].concat();
            visit(Item::Blob {
                id: ObjectId::from_raw(&raw).unwrap(),
                path: "x".into(),
                commit: None,
            })?;
        }
        Ok(())
    }

    fn size(&self, _: &ObjectId) -> Result<u64, Stop> {
        Ok(5)
    }

    fn write(&self, id: &ObjectId, out: &mut dyn Write) -> Result<(), Stop> {
        match self {
            Self::Endless => out.write_all(b"text\n").map_err(Stop::Feed),
            Self::Unreadable => Err(Stop::Object { id: *id, source: "it is gone".into() }),
        }
    }
}

#[tokio::test]
async fn a_queue_that_takes_too_long() {
    let options = Options { scanners: 1, queue: Duration::from_millis(300), ..options() };
    let scanner = Scanner::new(options);
    let (progress, mut heard) = watch::channel(Progress::Idle);
    let first = tokio::spawn(scanner.start().scan(Arc::new(Other::Endless), progress));
    heard.wait_for(|now| matches!(now, Progress::Scanning { .. })).await.unwrap();
    let (progress, mut heard) = watch::channel(Progress::Idle);
    let second = scanner.start().scan(Arc::new(Push::new()), progress);
    assert!(matches!(second.await.unwrap_err(), ScanError::Busy { .. }));
    assert_eq!(*heard.borrow_and_update(), Progress::Queued { ahead: 0 });
    first.abort();
    let _cancelled = first.await;
    assert!(Push::new().scan_by(&scanner).await.is_ok());
}

#[tokio::test]
async fn a_proof_tells_which_scanner_runs() {
    let build = Scanner::new(options()).prove().await.unwrap();
    assert_eq!((build.version, build.digest.len()), ("8.30.1", 64));
}

#[tokio::test]
async fn a_clean_scan_leaves_no_process_and_no_secret_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let scanner = Scanner::new(Options { scratch: Some(dir.path().to_owned()), ..options() });
    let secret = token("disk");
    Push::new().blob("a", format!("t = '{secret}'\n")).scan_by(&scanner).await.unwrap();
    let held: Vec<_> = walk(dir.path());
    assert!(!held.is_empty());
    for file in held {
        assert!(
            !String::from_utf8_lossy(&fs::read(&file).unwrap()).contains(&secret),
            "{}",
            file.display()
        );
    }
    drop(scanner);
    assert!(walk(dir.path()).is_empty());
}

fn walk(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => all.extend(walk(&entry.path())),
            kind if kind.is_file() => all.push(entry.path()),
            _ => {}
        }
    }
    all
}
