//! Fast-forward or force: judged once the new commits are known.

use bstr::ByteSlice;
use gate_config::{Policy, RepoName};
use proto::send_pack::Update;

use super::Refusal;
use super::commands::by_rule;

/// How a ref that exists would move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// The old value is an ancestor of the new one.
    Forward,
    /// Commits would be left behind; also any move of a tag.
    Forced,
}

/// Whether a rule cares how `update` moves; only then is the walk worth its cost.
pub fn wants_moves(policy: &Policy, repo: &RepoName, update: &Update) -> bool {
    update.old.is_some()
        && update.new.is_some()
        && policy
            .rule_for(repo, update.name.as_bytes())
            .is_some_and(|rule| rule.update != rule.force)
}

/// Judges updates by how they move; `moves` answers for those that [`wants_moves`] names.
pub fn judge_moves<'a>(
    policy: &Policy,
    repo: &RepoName,
    moves: impl IntoIterator<Item = (&'a Update, Move)>,
) -> Vec<Refusal> {
    let judge = |(update, step): (&Update, Move)| {
        let rule = policy.rule_for(repo, update.name.as_bytes())?;
        let reason = match step {
            Move::Forward if !rule.update => by_rule("updating", rule),
            Move::Forced if !rule.force => by_rule("a forced update", rule),
            Move::Forward | Move::Forced => return None,
        };
        Some(Refusal::new(update.name.as_bytes().as_bstr(), reason))
    };
    moves.into_iter().filter_map(judge).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use gate_config::{Glob, RefRule};
    use proto::{ObjectId, RefName};

    #[test]
    fn a_rule_may_allow_one_way_to_move_and_not_the_other() {
        let rule = |name: &str, update, force| RefRule {
            name: Glob::new(name),
            repo: None,
            create: true,
            update,
            force,
            delete: true,
        };
        let policy = Policy {
            refs: vec![rule("refs/heads/*", true, false), rule("refs/x/*", false, true)],
            ..Policy::default()
        };
        let repo = RepoName::parse("a").unwrap();
        let update = |name: &str| {
            let id = ObjectId::from_hex(&[b'1'; 40]);
            Update { name: RefName::parse(name.as_bytes()).unwrap(), old: id, new: id }
        };
        let (branch, other, free) = (update("refs/heads/a"), update("refs/x/a"), update("refs/y"));
        assert!(wants_moves(&policy, &repo, &branch) && !wants_moves(&policy, &repo, &free));
        let new = Update { old: None, ..branch.clone() };
        assert!(!wants_moves(&policy, &repo, &new));
        let moves = [
            (&branch, Move::Forward),
            (&branch, Move::Forced),
            (&other, Move::Forward),
            (&other, Move::Forced),
        ];
        let reasons: Vec<_> =
            judge_moves(&policy, &repo, moves).into_iter().map(|refusal| refusal.reason).collect();
        assert_eq!(
            reasons,
            [
                "a forced update is not allowed by the gate's policy for refs/heads/*",
                "updating is not allowed by the gate's policy for refs/x/*"
            ]
        );
    }
}
