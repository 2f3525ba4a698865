//! Two sorted tables side by side.

use bstr::BStr;
use proto::ObjectId;
use std::cmp::Ordering;

use super::RefTable;

/// A ref that differs between two tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefChange<'a> {
    pub name: &'a BStr,
    /// `None` where the ref is created.
    pub old: Option<ObjectId>,
    /// `None` where the ref is deleted.
    pub new: Option<ObjectId>,
}

pub(super) struct Diff<'a> {
    old: &'a RefTable,
    new: &'a RefTable,
    old_at: usize,
    new_at: usize,
}

impl<'a> Diff<'a> {
    pub(super) fn new(old: &'a RefTable, new: &'a RefTable) -> Self {
        Self { old, new, old_at: 0, new_at: 0 }
    }
}

impl<'a> Iterator for Diff<'a> {
    type Item = RefChange<'a>;

    fn next(&mut self) -> Option<RefChange<'a>> {
        loop {
            let old = (self.old_at < self.old.len()).then(|| self.old.at(self.old_at));
            let new = (self.new_at < self.new.len()).then(|| self.new.at(self.new_at));
            let (old, new) = match (old, new) {
                (None, None) => return None,
                (Some(old), Some(new)) => match old.name.cmp(new.name) {
                    Ordering::Less => (Some(old), None),
                    Ordering::Equal => (Some(old), Some(new)),
                    Ordering::Greater => (None, Some(new)),
                },
                one => one,
            };
            self.old_at += usize::from(old.is_some());
            self.new_at += usize::from(new.is_some());
            let name = old.or(new)?.name;
            let (old, new) = (old.map(|entry| entry.target), new.map(|entry| entry.target));
            if old != new {
                return Some(RefChange { name, old, new });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::ObjectFormat;

    fn table(refs: &[(&str, u8)]) -> RefTable {
        let mut builder = RefTable::builder(ObjectFormat::Sha1);
        for (name, byte) in refs {
            let id = ObjectId::from_raw(&[*byte; 20]).unwrap();
            builder.push_bytes(name.as_bytes(), id, None).unwrap();
        }
        builder.finish().unwrap()
    }

    #[test]
    fn tells_what_was_created_moved_and_deleted() {
        let old = table(&[("refs/a", 1), ("refs/b", 2), ("refs/d", 4)]);
        let new = table(&[("refs/b", 9), ("refs/c", 3), ("refs/d", 4), ("refs/e", 5)]);
        let seen: Vec<_> = old
            .diff(&new)
            .map(|c| (c.name.to_string(), c.old.is_some(), c.new.is_some()))
            .collect();
        let expected = [
            ("refs/a", true, false),
            ("refs/b", true, true),
            ("refs/c", false, true),
            ("refs/e", false, true),
        ]
        .map(|(name, old, new)| (name.to_owned(), old, new));
        assert_eq!(seen, expected);
        assert_eq!(old.diff(&old).count(), 0);
    }
}
