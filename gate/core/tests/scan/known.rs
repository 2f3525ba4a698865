//! What the origin has already is not held against a push; what is new in the same push is.

use crate::support::{Push, private_key, token};

fn settings(secret: &str) -> String {
    let options: String = (0..30).map(|i| format!("opt{i} = {i}\n")).collect();
    format!("# settings\n{options}TOKEN = '{secret}'\n")
}

#[tokio::test]
async fn an_old_secret_is_carried_along() {
    let secret = token("old");
    let old = settings(&secret);
    for (name, new) in [
        ("edited elsewhere", old.replace("opt3 = 3", "opt3 = 33")),
        ("on another line", format!("\n\n{old}")),
        ("other line ends", old.replace('\n', "\r\n")),
        ("its line edited", old.replace("TOKEN", "  GITHUB_TOKEN")),
    ] {
        let push = Push::new().blob("settings.py", new).origin("settings.py", &old);
        assert!(push.findings().await.is_empty(), "{name}");
    }
}

#[tokio::test]
async fn an_old_secret_may_move_to_another_file() {
    let secret = token("moved");
    let push = Push::new()
        .blob("settings.py", settings("").replace("TOKEN", "MOVED"))
        .blob("src/extra.py", format!("TOKEN = '{secret}'\n"))
        .origin("settings.py", settings(&secret));
    assert!(push.findings().await.is_empty());
}

#[tokio::test]
async fn a_changed_secret_in_an_old_place_is_new() {
    let push = Push::new()
        .blob("settings.py", settings(&token("new")))
        .origin("settings.py", settings(&token("old")));
    assert_eq!(push.findings().await.len(), 1);
}

#[tokio::test]
async fn a_new_secret_beside_an_old_one_is_the_only_finding() {
    let old = settings(&token("old"));
    let push = Push::new()
        .blob("settings.py", format!("{old}OTHER = '{}'\n", token("new")))
        .origin("settings.py", &old);
    let findings = push.findings().await;
    assert_eq!(findings.iter().map(|f| f.line).collect::<Vec<_>>(), [33]);
    assert_eq!(findings[0].text, "OTHER = '***'");
}

#[tokio::test]
async fn a_private_key_is_known_whole_or_not_at_all() {
    let key = private_key("k", 12);
    let crlf = key.replace('\n', "\r\n");
    assert!(
        Push::new().blob("id", format!("x\n{crlf}")).origin("id", &key).findings().await.is_empty()
    );
    let half: String = key.lines().take(8).map(|line| format!("{line}\n")).collect();
    assert_eq!(Push::new().blob("id", &key).origin("id", half).findings().await.len(), 1);
}

#[tokio::test]
async fn old_secrets_are_known_in_utf_16_and_in_other_spellings() {
    let text = settings(&token("wide"));
    let wide = |text: &str| {
        format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()
    };
    let push = Push::new().blob("s.ps1", wide(&format!("\r\n{text}"))).origin("s.ps1", wide(&text));
    assert!(push.findings().await.is_empty());
}

#[tokio::test]
async fn a_key_file_is_new_whenever_it_changes() {
    let push = Push::new().blob("a.p12", b"\x30\x82new").origin("a.p12", b"\x30\x82old");
    assert_eq!(push.findings().await.len(), 1);
}

#[tokio::test]
async fn old_names_are_known() {
    let secret = token("dir");
    let push = Push::new()
        .path(format!("keys/{secret}/new.txt"))
        .origin(&format!("keys/{secret}/old.txt"), "x");
    assert!(push.findings().await.is_empty());
    let push = Push::new().path(format!("keys/{secret}/new.txt")).origin("keys/other/old.txt", "x");
    assert_eq!(push.findings().await.len(), 1);
}

#[tokio::test]
async fn an_old_message_may_be_rewritten() {
    let message = format!("author a <b> 1 +0000\n\nUse {}\n", token("m"));
    let push = Push::new().commit(&message.replace("1 +0000", "2 +0000")).origin_commit(&message);
    assert!(push.findings().await.is_empty());
    assert_eq!(Push::new().commit(&message).findings().await.len(), 1);
}
