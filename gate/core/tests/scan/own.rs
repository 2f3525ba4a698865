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

#[tokio::test]
async fn a_password_in_an_address_is_found_and_a_placeholder_is_not() {
    let password = random("password", 20, ALNUM);
    for address in [
        "postgres://app:T@db.internal:5432/prod",
        "https://me:T@git.host/a.git",
        "redis://:T@cache",
    ] {
        let text = format!("URL={}\n", address.replace('T', &password));
        assert_eq!(rules(&text).await, ["password-in-url"], "{address}");
    }
    for address in [
        "postgres://postgres:mysecretpassword@db/app",
        "postgres://app:${DATABASE_PASSWORD_1}@db/app",
        "postgres://app:{{ db_password_123 }}@db/app",
        "https://user:pass1234567890word@example.com/",
        "https://user:pass1234567890word@git.example.com/",
        "amqp://user:q8W2zP4kL9sX7vB3@localhost:5672",
        "https://host:8080/a1b2c3d4e5f6g7h8@v1.2.3",
        "ssh://git@host:29418/a1b2c3d4e5f6@x",
    ] {
        assert!(rules(&format!("URL={address}\n")).await.is_empty(), "{address}");
    }
}

#[tokio::test]
async fn a_secret_in_xml_is_found_and_a_word_is_not() {
    let secret = random("xml", 40, ALNUM);
    for element in ["SecretAccessKey", "apiKey", "ns:password", "SessionToken"] {
        let text = format!("<a>\n  <{element}>{secret}</{element}>\n</a>\n");
        assert_eq!(rules(&text).await, ["secret-in-xml"], "{element}");
    }
    for text in [
        "<publicKeyToken>b77a5c561934e089</publicKeyToken>",
        "<password>${settings.password.of.server1}</password>",
        "<tokenType>urn.example.names.of.tokens.are.long</tokenType>",
        "<nextToken>q5GwEl5bMGjKq6YmhpDLJ7hEwyWU54jJ</nextToken>",
        "<key>0123456789abcdef0123456789ABCDEF</key>",
    ] {
        assert!(rules(text).await.is_empty(), "{text}");
    }
}
