//! The gate's own rules: kinds of secrets that gitleaks has no rule for.

use crate::support::{ALNUM, Push, random};

/// The rules that a file breaks.
async fn rules(text: &str) -> Vec<String> {
    let findings = Push::new().blob("file", text).findings().await;
    findings.into_iter().map(|finding| finding.rule).collect()
}

#[tokio::test]
async fn private_keys_of_other_makers_are_found() {
    let base64 = |seed: &str, lines| -> String {
        (0..lines).map(|n| random(&format!("{seed}{n}"), 64, ALNUM) + "\n").collect()
    };
    let putty = format!(
        "PuTTY-User-Key-File-3: ssh-rsa\nEncryption: none\nComment: me\nPublic-Lines: 6\n{}Private-Lines: 14\n{}",
        base64("public", 6),
        base64("private", 14)
    );
    assert_eq!(rules(&putty).await, ["putty-private-key"]);
    assert_eq!(rules(&putty.replace('\n', "\r\n")).await, ["putty-private-key"]);
    let kind = ["SSH2 ENCRYPTED PRIV", "ATE KEY"].concat();
    let ssh2 = format!("---- BEGIN {kind} ----\n{}---- END {kind} ----\n", base64("ssh2", 6));
    assert_eq!(rules(&ssh2).await, ["ssh2-private-key"]);
    assert!(rules(&ssh2.replace("PRIVATE", "PUBLIC")).await.is_empty());
}
