//! The commits between wants and haves, found newest first as git's revision walk does.

use std::collections::BinaryHeap;

use crate::Interrupt;
use crate::graph::Nr;
use crate::walk::{Commits, WalkError};

/// What the walk found.
#[derive(Debug, Default)]
pub(crate) struct Painted {
    /// Commits to send, parents before children.
    pub(crate) new: Vec<Nr>,
    /// Parents of these that the other side has.
    pub(crate) edges: Vec<Nr>,
}

const SEEN: u8 = 1;
/// The other side has it.
const HAD: u8 = 2;
const QUEUED: u8 = 4;
/// In `new`, or on the way there.
const PLACED: u8 = 8;

/// How many more commits are looked at once the walk seems done, lest a wrong clock end it early (SLOP in revision.c).
const SLOP: u32 = 5;

/// Finds all commits that `wants` reach and `had` do not; where clocks are wrong perhaps some more. A commit from before
/// `since` counts as had.
pub(crate) fn paint(
    commits: &mut Commits,
    wants: &[Nr],
    had: &[Nr],
    since: u64,
    interrupt: &Interrupt,
) -> Result<Painted, WalkError> {
    let mut walk = Walk::default();
    let mut parents = Vec::new();
    for nr in had {
        walk.push(commits, *nr, HAD)?;
    }
    for nr in wants {
        walk.push(commits, *nr, 0)?;
    }
    let mut slop = SLOP;
    let mut oldest_new = u64::MAX;
    while let Some((date, nr)) = walk.queue.pop() {
        interrupt.check()?;
        if date < since {
            walk.mark(nr, HAD);
        }
        let flags = walk.take(nr);
        commits.commit(nr, &mut parents)?;
        if flags & HAD == 0 {
            oldest_new = date;
            for parent in &parents {
                walk.push(commits, *parent, 0)?;
            }
            continue;
        }
        for parent in &parents {
            walk.mark_had(commits, *parent)?;
        }
        let next = walk.queue.peek().map_or(0, |(date, _)| *date);
        if walk.new_queued > 0 || next >= oldest_new {
            slop = SLOP;
        } else if slop == 0 {
            break;
        } else {
            slop -= 1;
        }
    }
    walk.sort(commits, wants, interrupt)
}

#[derive(Debug, Default)]
struct Walk {
    flags: Vec<u8>,
    queue: BinaryHeap<(u64, Nr)>,
    /// Commits in the queue that the other side is not known to have.
    new_queued: usize,
    parents: Vec<Nr>,
}

impl Walk {
    fn flags(&mut self, nr: Nr) -> &mut u8 {
        if self.flags.len() <= nr as usize {
            self.flags.resize(nr as usize + 1024, 0);
        }
        &mut self.flags[nr as usize]
    }

    /// Marks a commit that is still in the queue.
    fn mark(&mut self, nr: Nr, flag: u8) {
        let flags = self.flags(nr);
        if *flags & flag == 0 {
            *flags |= flag;
            self.new_queued -= usize::from(flag == HAD);
        }
    }

    fn push(&mut self, commits: &mut Commits, nr: Nr, flag: u8) -> Result<(), WalkError> {
        let flags = self.flags(nr);
        if *flags & SEEN == 0 {
            *flags |= SEEN | QUEUED | flag;
            self.new_queued += usize::from(flag & HAD == 0);
            let date = commits.commit(nr, &mut self.parents)?;
            self.queue.push((date, nr));
        }
        Ok(())
    }

    /// Takes a commit that was popped; its flags are the answer.
    fn take(&mut self, nr: Nr) -> u8 {
        let flags = self.flags(nr);
        *flags &= !QUEUED;
        let flags = *flags;
        self.new_queued -= usize::from(flags & HAD == 0);
        flags
    }

    /// Marks a commit as had, and what the walk already saw of its history.
    fn mark_had(&mut self, commits: &mut Commits, nr: Nr) -> Result<(), WalkError> {
        let mut todo = vec![nr];
        let mut parents = Vec::new();
        while let Some(nr) = todo.pop() {
            let flags = *self.flags(nr);
            if flags & HAD != 0 {
                continue;
            }
            if flags & SEEN == 0 {
                self.push(commits, nr, HAD)?;
                continue;
            }
            *self.flags(nr) |= HAD;
            if flags & QUEUED != 0 {
                self.new_queued -= 1;
            } else {
                commits.commit(nr, &mut parents)?;
                todo.extend_from_slice(&parents);
            }
        }
        Ok(())
    }

    /// Puts the new commits in order, parents before children, whatever their dates say.
    fn sort(
        mut self,
        commits: &mut Commits,
        wants: &[Nr],
        interrupt: &Interrupt,
    ) -> Result<Painted, WalkError> {
        let mut painted = Painted::default();
        let mut path: Vec<(Nr, Vec<Nr>)> = Vec::new();
        for want in wants {
            self.enter(commits, *want, &mut path)?;
            while let Some((nr, left)) = path.last_mut() {
                let nr = *nr;
                match left.pop() {
                    Some(parent) if *self.flags(parent) & HAD != 0 => {
                        if *self.flags(parent) & PLACED == 0 {
                            *self.flags(parent) |= PLACED;
                            painted.edges.push(parent);
                        }
                    }
                    Some(parent) => self.enter(commits, parent, &mut path)?,
                    None => {
                        interrupt.check()?;
                        painted.new.push(nr);
                        path.pop();
                    }
                }
            }
        }
        Ok(painted)
    }

    fn enter(
        &mut self,
        commits: &mut Commits,
        nr: Nr,
        path: &mut Vec<(Nr, Vec<Nr>)>,
    ) -> Result<(), WalkError> {
        let flags = self.flags(nr);
        if *flags & (HAD | PLACED) == 0 {
            *flags |= PLACED;
            let mut parents = Vec::new();
            commits.commit(nr, &mut parents)?;
            parents.reverse();
            path.push((nr, parents));
        }
        Ok(())
    }
}
