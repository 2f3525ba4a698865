//! What the new commits bring: protected paths, large files, names of people.

use std::ops::ControlFlow;

use bstr::{BStr, ByteSlice};
use gate_config::{Glob, Policy};
use gate_store::{ConnectError, Connected, Interrupt, Kind};
use proto::ObjectId;

/// Paths looked at in one push.
const MAX_PATHS: usize = 2_000_000;

/// Why policy does not take what the commits bring; `None` if it does. Blocks, and reads only what a rule asks for.
///
/// # Errors
/// A damaged store, or more paths than can be looked at.
pub fn judge_content(
    policy: &Policy,
    connected: &Connected,
    interrupt: &Interrupt,
) -> Result<Option<String>, ConnectError> {
    if let Some(reason) = identities(policy, connected, interrupt)? {
        return Ok(Some(reason));
    }
    if let Some(reason) = sizes(policy, connected, interrupt)? {
        return Ok(Some(reason));
    }
    paths(policy, connected, interrupt)
}

fn identities(
    policy: &Policy,
    connected: &Connected,
    interrupt: &Interrupt,
) -> Result<Option<String>, ConnectError> {
    if policy.author_emails.is_empty() && policy.committer_emails.is_empty() {
        return Ok(None);
    }
    let (mut reader, mut bytes) = (connected.reader(), Vec::new());
    for id in connected.commits() {
        interrupt.check()?;
        reader.read_kind(id, Kind::Commit, &mut bytes)?;
        for (who, allowed) in
            [("author", &policy.author_emails), ("committer", &policy.committer_emails)]
        {
            let email = email(&bytes, who);
            if !allowed.is_empty() && !fits(allowed, email) {
                let email = email.escape_ascii();
                return Ok(Some(format!(
                    "{who} <{email}> of commit {} is not allowed by the gate's policy",
                    short(id)
                )));
            }
        }
    }
    Ok(None)
}

fn sizes(
    policy: &Policy,
    connected: &Connected,
    interrupt: &Interrupt,
) -> Result<Option<String>, ConnectError> {
    let Some(limit) = policy.max_file_size else { return Ok(None) };
    let (mut reader, mut found, mut failed) = (connected.reader(), None, None);
    let _ended = connected.blobs(MAX_PATHS, interrupt, &mut |visit| {
        if !visit.is_new {
            return ControlFlow::Continue(());
        }
        match reader.header(&visit.id) {
            Ok((_, size)) if size > limit.bytes() => {
                found = Some(format!(
                    "{} has {size} bytes, the gate's policy allows {}",
                    shown(visit.path, &visit.id),
                    limit.bytes()
                ));
            }
            Ok(_) => return ControlFlow::Continue(()),
            Err(error) => failed = Some(error),
        }
        ControlFlow::Break(())
    })?;
    failed.map_or(Ok(found), |error| Err(error.into()))
}

fn paths(
    policy: &Policy,
    connected: &Connected,
    interrupt: &Interrupt,
) -> Result<Option<String>, ConnectError> {
    if policy.protected_paths.is_empty() {
        return Ok(None);
    }
    let mut found = None;
    let _ended = connected.changes(MAX_PATHS, interrupt, &mut |commit, path| {
        if !fits(&policy.protected_paths, path) {
            return ControlFlow::Continue(());
        }
        found = Some(format!(
            "{} is protected by the gate's policy, commit {} changes it",
            path.escape_ascii(),
            short(commit)
        ));
        ControlFlow::Break(())
    })?;
    Ok(found)
}

fn fits(globs: &[Glob], text: &[u8]) -> bool {
    globs.iter().any(|glob| glob.matches(text))
}

/// What stands in angle brackets in a commit's header line; empty where there is none.
fn email<'a>(commit: &'a [u8], who: &str) -> &'a BStr {
    let header = commit.split_once_str(b"\n\n").map_or(commit, |(header, _)| header);
    let line =
        header.lines().find_map(|line| line.strip_prefix(who.as_bytes())?.strip_prefix(b" "));
    let email = line.and_then(|line| {
        let (_, rest) = line.split_once_str(b"<")?;
        Some(rest.split_once_str(b">")?.0)
    });
    email.unwrap_or_default().as_bstr()
}

fn shown(path: &BStr, id: &ObjectId) -> String {
    if path.is_empty() { format!("blob {}", short(id)) } else { path.escape_ascii().to_string() }
}

fn short(id: &ObjectId) -> String {
    id.to_hex()[..12].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_address_of_author_and_committer() {
        let commit = b"tree 1\nauthor A <a@b> 1 +0000\ncommitter C <> 1 +0000\n\nauthor X <x@y>\n";
        assert_eq!(email(commit, "author"), "a@b");
        assert_eq!(email(commit, "committer"), "");
        assert_eq!(email(b"tree 1\n\nauthor X <x@y>\n", "author"), "");
    }
}
