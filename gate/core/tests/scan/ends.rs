//! What stands right before and behind a token hides nothing.

use crate::support::{ALNUM, Push, random};

/// Files as people and programs write them; `T` is the token.
const TEXTS: [(&str, &str); 16] = [
    ("an element of XML", "<token>T</token>"),
    ("a table", "ann,T,2024-01-01"),
    ("a table of markdown", "| npm | T |"),
    ("a link", "[docs](https://api.host/v1?token=T&page=1)"),
    ("a sentence", "The token is T."),
    ("a remark", "the new token (T) works"),
    ("quotes of a language", "„T“ «T»"),
    ("emphasis", "use **T**"),
    ("a flow of YAML", "{npm: T, other: 1}"),
    ("JSON in a string", r#"{"body": "{\"token\":\"T\"}"}"#),
    ("lines in a string", r#"{"text": "token:\nT\nnext"}"#),
    ("JSON as Go escapes it", r#"{"text": "\u003eT\u003c"}"#),
    ("HTML as it is quoted", "&quot;T&quot;"),
    ("a coloured log", "token: \x1b[32mT\x1b[0m"),
    ("a prompt", r"PS1='\e[1;31mT\e[0m'"),
    ("an address", "https://user:T@registry.host/"),
];

#[tokio::test]
async fn a_token_is_found_whatever_stands_beside_it() {
    let token = format!("np{}{}", "m_", random("ends", 36, ALNUM));
    let mut push = Push::new();
    for (name, text) in TEXTS {
        push = push.blob(name, format!("x\n{}\nx\n", text.replace('T', &token)));
    }
    let findings = push.findings().await;
    for (name, text) in TEXTS {
        let found = findings.iter().find(|finding| finding.path == name);
        let found = found.unwrap_or_else(|| panic!("{name} hides it: {text}"));
        assert_eq!((&*found.rule, found.line), ("npm-access-token", 2), "{name}");
        assert!(!found.text.contains(&token), "{name}");
    }
}

#[tokio::test]
async fn a_part_of_a_longer_word_is_no_token() {
    let token = format!("np{}{}", "m_", random("ends", 36, ALNUM));
    for text in ["T()", "T.png", "Tx", "T_x", "xT", "aGk/T/aGk=", "T+aGk=", "T=="] {
        let push = Push::new().blob("a.c", format!("x = {};\n", text.replace('T', &token)));
        assert!(push.findings().await.is_empty(), "{text}");
    }
}
