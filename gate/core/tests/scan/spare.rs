//! A scanner kept in reserve is used once, and only while it can be trusted.

use std::fs;
use std::path::Path;
use std::time::Duration;

use gate_core::scan::{Options, Scanner};

use crate::support::{Push, gitleaks, options};

/// The scanners that work in this directory, by process id.
fn scanners_of(dir: &Path) -> Vec<String> {
    let is_ours = |pid: &String| {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).into_owned();
        command.contains("--no-banner") && command.contains(dir.to_str().unwrap())
    };
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| entry.file_name().into_string().ok()).filter(is_ours).collect()
}

/// The one scanner in reserve, once it is there.
async fn spare(scanner: &Scanner, dir: &Path) -> String {
    scanner.warm();
    loop {
        if let [only] = &scanners_of(dir)[..] {
            return only.clone();
        }
        tokio::task::yield_now().await;
    }
}

/// Whether it can be waited for: its command line is gone before, and its first thread is before the others are.
fn is_dead(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let is_over = stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with('Z'));
    let threads = fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    is_over && threads <= 1
}

#[tokio::test]
async fn one_is_kept_however_often_it_is_asked_for_and_the_next_push_uses_it_up() {
    let dir = tempfile::tempdir().unwrap();
    let scanner = Scanner::new(Options { scratch: Some(dir.path().to_owned()), ..options() });
    let first = spare(&scanner, dir.path()).await;
    for _ in 0..5 {
        assert_eq!(spare(&scanner, dir.path()).await, first);
    }
    Push::new().blob("a", "clean\n").scan_by(&scanner).await.unwrap();
    assert!(scanners_of(dir.path()).is_empty(), "it was used, and none was started beside it");
}

#[tokio::test]
async fn one_that_died_in_reserve_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let scanner = Scanner::new(Options { scratch: Some(dir.path().to_owned()), ..options() });
    let spare = spare(&scanner, dir.path()).await;
    assert!(std::process::Command::new("kill").args(["-9", &spare]).status().unwrap().success());
    while !is_dead(&spare) {
        tokio::task::yield_now().await;
    }
    Push::new().blob("a", "clean\n").scan_by(&scanner).await.unwrap();
}

#[tokio::test]
async fn one_started_from_a_binary_that_was_replaced_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let binary = dir.path().join("gitleaks");
    fs::copy(gitleaks(), &binary).unwrap();
    let options =
        Options { gitleaks: binary.clone(), scratch: Some(dir.path().to_owned()), ..options() };
    let scanner = Scanner::new(options);
    spare(&scanner, dir.path()).await;
    fs::write(dir.path().join("new"), "#!/bin/sh\nexit 77\n").unwrap();
    fs::rename(dir.path().join("new"), &binary).unwrap();
    Push::new().blob("a", "clean\n").scan_by(&scanner).await.expect_err("the new one is none");
}

#[tokio::test]
async fn one_that_nobody_uses_goes() {
    let dir = tempfile::tempdir().unwrap();
    let idle = Duration::from_millis(200);
    let options = Options { scratch: Some(dir.path().to_owned()), idle, ..options() };
    let scanner = Scanner::new(options);
    while scanners_of(dir.path()).is_empty() {
        scanner.warm();
        tokio::task::yield_now().await;
    }
    while !scanners_of(dir.path()).is_empty() {
        tokio::task::yield_now().await;
    }
}
