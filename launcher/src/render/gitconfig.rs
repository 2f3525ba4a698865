//! The agent's `~/.gitconfig`: every spelling of an upstream leads to the gate.

use std::fmt::Write as _;

use crate::manifest::{GitUpstream, Manifest};

/// Writes the file. An `insteadOf` replaces the beginning of an address and keeps the rest, so that
/// one line serves the address with and without `.git`.
pub fn gitconfig(manifest: &Manifest) -> String {
    let (name, mail) = match &manifest.agent.author {
        Some((name, mail)) => (name.clone(), mail.clone()),
        None => ("agent".to_owned(), format!("agent@{}.bottle.invalid", manifest.name)),
    };
    let mut text = String::from("# Written by bottle, anew at every launch.\n");
    let mut line = |words: std::fmt::Arguments<'_>| {
        text.write_fmt(words).expect("a String takes every write");
        text.push('\n');
    };
    line(format_args!("[user]\n\tname = {}\n\temail = {}", quoted(&name), quoted(&mail)));
    line(format_args!("[init]\n\tdefaultBranch = main"));
    for upstream in &manifest.git {
        line(format_args!("[url {}]", quoted(&gate_url(upstream))));
        for spelling in upstream.url.spellings() {
            line(format_args!("\tinsteadOf = {}", quoted(&spelling)));
        }
    }
    text
}

/// The upstream's address at the gate, without `.git`.
pub fn gate_url(upstream: &GitUpstream) -> String {
    format!("git://git-gate/{}", upstream.name.value)
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
