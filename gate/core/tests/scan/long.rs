//! Long tokens in long lines: wherever a line is cut, some piece has the token whole.

use bstr::ByteSlice;

use crate::content::base64;
use crate::support::{ALNUM, Push, private_key, random, token};

/// Scans each text at many distances from where a line is cut; every one must be found.
async fn found_anywhere(texts: &[(&str, String)]) {
    let mut push = Push::new();
    let mut names = Vec::new();
    for (what, text) in texts {
        for before in (0..100_000).step_by(3_001) {
            let name = format!("{what} behind {before} bytes");
            let words = "var a=1;".repeat(100_000 / 8);
            push = push.blob(&*name, format!("{}\"{text}\";{words}\n", &words[..before]));
            names.push(name);
        }
    }
    let findings = push.findings().await;
    let unseen: Vec<_> = names
        .iter()
        .filter(|name| !findings.iter().any(|f| f.path.starts_with(name.as_bytes())))
        .collect();
    assert!(unseen.is_empty(), "{} of {}: {unseen:#?}", unseen.len(), names.len());
    assert!(findings.iter().all(|finding| finding.line == 1 || finding.path.contains_str("!")));
}

#[tokio::test]
async fn a_long_token_is_never_cut() {
    let claims = |length| {
        let body = format!("{{\"iss\":\"me\",\"groups\":\"{}\"}}", random("claims", length, ALNUM));
        let part = |text: &str| base64(text.as_bytes()).replace(['+', '/', '='], "");
        let head = part("{\"alg\":\"RS256\",\"typ\":\"JWT\"}");
        format!("{head}.{}.{}", part(&body), random("signature", 342, ALNUM))
    };
    let macaroon = format!("fm{}_{}", "2", random("macaroon", 20_000, ALNUM));
    found_anywhere(&[
        ("jwt of 12 KiB", claims(9_000)),
        ("jwt of 40 KiB", claims(30_000)),
        ("macaroon", macaroon),
    ])
    .await;
}

#[tokio::test]
async fn what_is_encoded_at_length_is_never_cut() {
    let text =
        |length: usize| format!("{} t = '{}'", "some words ".repeat(length / 11), token("long"));
    let account = format!(
        "{{\"type\": \"service_account\", \"private_key\": \"{}\"}}",
        private_key("gcp", 26).replace('\n', "\\n")
    );
    let padded = format!("{{\"x\": \"{}\", \"y\": {account}}}", "w ".repeat(3_000));
    found_anywhere(&[
        ("base64 of 9 KiB", base64(text(9_000).as_bytes())),
        ("base64 of 11 KiB", base64(text(11_000).as_bytes())),
        ("base64 of 14 KiB", base64(text(14_000).as_bytes())),
        ("base64 of 30 KiB", base64(text(30_000).as_bytes())),
        ("service account", account),
        ("service account in base64", base64(padded.as_bytes())),
    ])
    .await;
}
