//! New commits, the oldest first.

use hashbrown::HashMap;
use proto::ObjectId;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What the order needs of a commit.
#[derive(Clone, Debug)]
pub(super) struct NewCommit {
    pub(super) id: ObjectId,
    pub(super) date: u64,
    pub(super) parents: Vec<ObjectId>,
}

/// Parents before children; of those that may come next, the one with the earliest date.
pub(super) fn oldest_first(commits: Vec<NewCommit>) -> Vec<ObjectId> {
    let numbers: HashMap<ObjectId, u32> =
        commits.iter().zip(0..).map(|(commit, nr)| (commit.id, nr)).collect();
    let mut waits = vec![0_u32; commits.len()];
    let mut children = vec![Vec::new(); commits.len()];
    for (commit, nr) in commits.iter().zip(0_u32..) {
        for parent in commit.parents.iter().filter_map(|parent| numbers.get(parent)) {
            children[*parent as usize].push(nr);
            waits[nr as usize] += 1;
        }
    }
    let entry = |nr: u32| {
        let commit = &commits[nr as usize];
        Reverse((commit.date, commit.id, nr))
    };
    let mut ready: BinaryHeap<_> =
        (0..commits.len() as u32).filter(|nr| waits[*nr as usize] == 0).map(entry).collect();
    let mut ordered = Vec::with_capacity(commits.len());
    while let Some(Reverse((_, id, nr))) = ready.pop() {
        ordered.push(id);
        for child in &children[nr as usize] {
            waits[*child as usize] -= 1;
            if waits[*child as usize] == 0 {
                ready.push(entry(*child));
            }
        }
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> ObjectId {
        ObjectId::from_raw(&[byte; 20]).unwrap()
    }

    #[test]
    fn no_commit_comes_before_its_parents_whatever_its_date() {
        let commit = |nr: u8, date, parents: &[u8]| NewCommit {
            id: id(nr),
            date,
            parents: parents.iter().map(|nr| id(*nr)).collect(),
        };
        // 9 is known already; 2 claims to be older than its parent.
        let commits = vec![
            commit(4, 50, &[3, 2]),
            commit(3, 40, &[9]),
            commit(2, 1, &[1]),
            commit(1, 30, &[9, 9]),
        ];
        assert_eq!(oldest_first(commits), [id(1), id(2), id(3), id(4)]);
    }

    #[test]
    fn a_parent_named_twice_counts_twice() {
        let commits = vec![
            NewCommit { id: id(2), date: 1, parents: vec![id(1), id(1)] },
            NewCommit { id: id(1), date: 2, parents: vec![] },
        ];
        assert_eq!(oldest_first(commits), [id(1), id(2)]);
    }
}
