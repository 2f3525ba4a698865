//! Commands, judged before a byte of the pack.

use std::collections::HashMap;

use bstr::{BStr, BString, ByteSlice};
use gate_config::{Policy, RefRule, RepoName};
use gate_store::RefTable;
use proto::RefName;
use proto::receive_pack::Command;
use proto::send_pack::Update;

/// Why one ref is not updated; `reason` is what stands behind `ng`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub name: BString,
    pub reason: String,
}

impl Refusal {
    pub(crate) fn new(name: &BStr, reason: impl Into<String>) -> Self {
        Self { name: name.into(), reason: reason.into() }
    }
}

/// The commands of one push, each with its verdict, in the client's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    pub verdicts: Vec<Result<Update, Refusal>>,
}

impl Judged {
    /// What may go on.
    pub fn updates(&self) -> impl Iterator<Item = &Update> {
        self.verdicts.iter().filter_map(|verdict| verdict.as_ref().ok())
    }

    /// What may not.
    pub fn refusals(&self) -> impl Iterator<Item = &Refusal> {
        self.verdicts.iter().filter_map(|verdict| verdict.as_ref().err())
    }
}

/// Judges names, duplicates, hidden refs, stale old ids and what rules say of creating, updating and deleting.
///
/// `refs` is what the origin has now. Whether an update is a fast-forward is not known yet: see
/// [`judge_moves`](super::judge_moves). Whether the branch `HEAD` stands on may be deleted is the origin's to say.
pub fn judge_commands(
    policy: &Policy,
    repo: &RepoName,
    refs: &RefTable,
    commands: &[Command],
) -> Judged {
    let mut count = HashMap::<&[u8], usize>::new();
    for command in commands {
        *count.entry(command.name.as_slice()).or_default() += 1;
    }
    let judge = |command: &Command| {
        let refuse = |reason: String| Refusal::new(command.name.as_bstr(), reason);
        let update = parse(command).map_err(refuse)?;
        if count[command.name.as_slice()] > 1 {
            return Err(refuse("multiple updates for this ref in one push".to_owned()));
        }
        forbidden(policy, repo, &update).map_or(Ok(()), |reason| Err(refuse(reason)))?;
        stale(refs, &update).map_or(Ok(()), |reason| Err(refuse(reason.to_owned())))?;
        Ok(update)
    };
    Judged { verdicts: commands.iter().map(judge).collect() }
}

fn parse(command: &Command) -> Result<Update, String> {
    let name = RefName::parse(&command.name)
        .map_err(|error| format!("invalid ref name: {}", error.rule))?;
    if !name.is_below("refs/") {
        return Err("invalid ref name: not below refs/".to_owned());
    }
    if command.old.is_none() && command.new.is_none() {
        // receive-pack compares nothing then: it would delete a ref that somebody has just made
        return Err("no such ref".to_owned());
    }
    Ok(Update { name, old: command.old, new: command.new })
}

fn forbidden(policy: &Policy, repo: &RepoName, update: &Update) -> Option<String> {
    if policy.is_hidden(update.name.as_bytes()) {
        // git's own words for receive.hideRefs
        let verb = if update.new.is_some() { "updating" } else { "deleting" };
        return Some(format!("deny {verb} a hidden ref"));
    }
    let rule = policy.rule_for(repo, update.name.as_bytes())?;
    match (update.old, update.new) {
        (None, _) if !rule.create => Some(by_rule("creating", rule)),
        (_, None) if !rule.delete => Some(by_rule("deleting", rule)),
        (Some(_), Some(_)) if !rule.update && !rule.force => Some(by_rule("updating", rule)),
        _ => None,
    }
}

/// The client's old id against the origin's, in the words git's client uses for the same.
fn stale(refs: &RefTable, update: &Update) -> Option<&'static str> {
    let current = refs.get(update.name.as_bytes()).map(|entry| entry.target);
    if current == update.old {
        return None;
    }
    Some(match (update.new, current) {
        (None, _) | (_, None) => "stale info",
        (Some(_), Some(_)) if update.name.is_below("refs/tags/") => "already exists",
        (Some(_), Some(_)) => "fetch first",
    })
}

pub(super) fn by_rule(what: &str, rule: &RefRule) -> String {
    format!("{what} is not allowed by the gate's policy for {}", rule.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gate_config::Glob;
    use proto::{ObjectFormat, ObjectId, Ref};

    fn id(digit: char) -> ObjectId {
        ObjectId::from_hex(digit.to_string().repeat(40).as_bytes()).unwrap()
    }

    fn command(old: Option<char>, new: Option<char>, name: &str) -> Command {
        Command { old: old.map(id), new: new.map(id), name: name.into() }
    }

    fn reasons(policy: &Policy, commands: &[Command]) -> Vec<String> {
        let main = Ref {
            name: RefName::parse(b"refs/heads/main").unwrap(),
            target: id('1'),
            peeled: None,
        };
        let tag = Ref { name: RefName::parse(b"refs/tags/v1").unwrap(), ..main.clone() };
        let refs = RefTable::from_refs(ObjectFormat::Sha1, &[main, tag]).unwrap();
        let repo = RepoName::parse("acme/app").unwrap();
        let judged = judge_commands(policy, &repo, &refs, commands);
        let text = |verdict: &Result<Update, Refusal>| match verdict {
            Ok(_) => "ok".to_owned(),
            Err(refusal) => refusal.reason.clone(),
        };
        judged.verdicts.iter().map(text).collect()
    }

    #[test]
    fn by_default_the_origin_decides() {
        let commands = [
            command(None, Some('2'), "refs/heads/new"),
            command(Some('1'), Some('2'), "refs/heads/main"),
            command(Some('1'), None, "refs/tags/v1"),
            command(None, Some('2'), "refs/notes/commits"),
            command(None, Some('2'), "refs/agent/x/y"),
        ];
        assert_eq!(reasons(&Policy::default(), &commands), ["ok"; 5]);
    }

    #[test]
    fn refuses_names_no_ref_has() {
        let name =
            |name: &str| reasons(&Policy::default(), &[command(None, Some('2'), name)]).remove(0);
        assert_eq!(name("refs/heads/../x"), "invalid ref name: holds '..' or '@{'");
        assert_eq!(name("HEAD"), "invalid ref name: not below refs/");
        assert_eq!(name("main"), "invalid ref name: not below refs/");
        assert_eq!(
            name("refs/heads/a b"),
            "invalid ref name: holds a space, a control byte or one of ~^:?*[\\"
        );
    }

    #[test]
    fn refuses_hidden_refs_as_git_does() {
        let commands = [
            command(None, Some('2'), "refs/pull/1/head"),
            command(Some('1'), None, "refs/pull/2/head"),
        ];
        assert_eq!(
            reasons(&Policy::default(), &commands),
            ["deny updating a hidden ref", "deny deleting a hidden ref"]
        );
    }

    #[test]
    fn refuses_a_ref_named_twice() {
        let twice = command(Some('1'), Some('2'), "refs/heads/main");
        let commands = [twice.clone(), command(None, Some('2'), "refs/heads/b"), twice];
        let no = "multiple updates for this ref in one push";
        assert_eq!(reasons(&Policy::default(), &commands), [no, "ok", no]);
    }

    #[test]
    fn refuses_what_the_client_saw_wrongly() {
        let commands = [
            command(Some('3'), Some('2'), "refs/heads/main"),
            command(None, Some('2'), "refs/tags/v1"),
            command(Some('3'), None, "refs/heads/other"),
            command(Some('3'), Some('2'), "refs/heads/gone"),
            command(None, None, "refs/heads/none"),
        ];
        assert_eq!(
            reasons(&Policy::default(), &commands),
            ["fetch first", "already exists", "stale info", "stale info", "no such ref"]
        );
    }

    #[test]
    fn the_operators_rules_decide_by_kind() {
        let rule = |name: &str, create, update, force, delete| RefRule {
            name: Glob::new(name),
            repo: None,
            create,
            update,
            force,
            delete,
        };
        let policy = Policy {
            refs: vec![
                rule("refs/heads/agent/*", true, true, true, true),
                rule("refs/heads/main", true, true, false, false),
                rule("refs/tags/*", true, false, false, true),
                rule("refs/*", false, true, true, true),
            ],
            ..Policy::default()
        };
        let commands = [
            command(None, Some('2'), "refs/heads/agent/x"),
            command(Some('1'), Some('2'), "refs/heads/main"),
            command(None, Some('2'), "refs/heads/other"),
        ];
        assert_eq!(
            reasons(&policy, &commands),
            ["ok", "ok", "creating is not allowed by the gate's policy for refs/*"]
        );
        let commands = [
            command(Some('1'), None, "refs/heads/main"),
            command(Some('1'), Some('2'), "refs/tags/v1"),
        ];
        assert_eq!(
            reasons(&policy, &commands),
            [
                "deleting is not allowed by the gate's policy for refs/heads/main",
                "updating is not allowed by the gate's policy for refs/tags/*"
            ]
        );
    }
}
