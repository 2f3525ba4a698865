//! The real scanner, and secrets made up at run time.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;
use std::time::Duration;

use gate_core::scan::{Allowed, Options, UnpackLimits};

/// The pinned gitleaks, brought by our own recipe.
pub(crate) fn gitleaks() -> PathBuf {
    static BRING: Once = Once::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    BRING.call_once(|| {
        let brought =
            Command::new(root.join("docker/gitleaks/build.sh")).status().expect("run the recipe");
        assert!(brought.success(), "the recipe brings gitleaks");
    });
    root.join(".tools/gitleaks")
}

pub(crate) fn options() -> Options {
    Options {
        gitleaks: gitleaks(),
        rules: Vec::new(),
        allowed: Allowed::default(),
        scanners: 2,
        deadline: Duration::from_secs(120),
        queue: Duration::from_secs(60),
        idle: Duration::from_secs(30),
        scratch: None,
        patch_source: PathBuf::from(env!("CARGO_BIN_EXE_patch-source")),
        unpack: UnpackLimits::default(),
    }
}

/// Letters that look random and are always the same.
pub(crate) fn random(seed: &str, length: usize, alphabet: &[u8]) -> String {
    let mut state = seed.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (0..length)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            char::from(alphabet[(state >> 33) as usize % alphabet.len()])
        })
        .collect()
}

pub(crate) const ALNUM: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A secret of the rule `github-pat`.
pub(crate) fn token(seed: &str) -> String {
    ["gh", "p_", &random(seed, 36, ALNUM)].concat()
}

/// A secret of the rule `private-key`.
pub(crate) fn private_key(seed: &str, lines: usize) -> String {
    let body: String =
        (0..lines).map(|i| random(&format!("{seed}{i}"), 64, ALNUM) + "\n").collect();
    let kind = ["RSA PRIV", "ATE KEY"].concat();
    format!("-----BEGIN {kind}-----\n{body}-----END {kind}-----\n")
}
