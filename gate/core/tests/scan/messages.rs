//! What a refused push reads, whole.

use crate::support::{Push, private_key, token};

async fn message(push: Push) -> String {
    let refusal = push.refusal().await;
    format!("{}\n\nng: {}", refusal.lines().join("\n"), refusal.reason())
}

#[tokio::test]
async fn one_secret() {
    let push = Push::new().blob("conf.py", format!("A = 1\nTOKEN = '{}'\n", token("1")));
    insta::assert_snapshot!(message(push).await);
}

#[tokio::test]
async fn secrets_of_every_kind() {
    let secret = token("all");
    let push = Push::new()
        .blob("conf.py", format!("A = 1\nTOKEN = '{secret}'\n"))
        .blob("id_rsa", private_key("k", 12))
        .blob("a.p12", b"\x30\x82")
        .blob("", format!("x = '{secret}'"))
        .path(format!("keys/{}", token("path")))
        .commit(&format!("author a <b> 1 +0000\n\nUse {secret}\n"))
        .tag(&format!("object x\n\nrelease {secret}\n"))
        .create_ref(&format!("refs/heads/{}", token("ref")))
        .option(&format!("token={}", token("option")));
    insta::assert_snapshot!(message(push).await);
}

#[tokio::test]
async fn more_secrets_than_are_told() {
    let mut push = Push::new();
    for i in 0..23 {
        push =
            push.blob(format!("src/file{i:02}.py"), format!("t = '{}'\n", token(&i.to_string())));
    }
    insta::assert_snapshot!(message(push).await);
}

#[tokio::test]
async fn an_archive_that_cannot_be_scanned() {
    let mut nested = b"at last".to_vec();
    for _ in 0..6 {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        std::io::Write::write_all(&mut gzip, &nested).unwrap();
        nested = gzip.finish().unwrap();
    }
    insta::assert_snapshot!(message(Push::new().blob("deep.gz", nested)).await);
}

#[tokio::test]
async fn the_audit_has_rules_and_places_and_no_text() {
    let secret = token("audit");
    let refusal =
        Push::new().blob("conf.py", format!("A = 1\nTOKEN = '{secret}'\n")).refusal().await;
    let audit = serde_json::to_string_pretty(&refusal.audit()).unwrap();
    insta::assert_snapshot!(audit);
}
