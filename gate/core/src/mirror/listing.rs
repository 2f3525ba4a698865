//! The origin's refs compared with the mirror's while they arrive: a merge-join in memory that holds nothing as long as
//! nothing has changed.

use std::sync::Arc;

use bstr::{BStr, BString, ByteSlice};
use gate_store::{RefTable, RefTableBuilder, RefTableError};
use proto::fetch_pack::Listed;
use proto::{Head, ObjectId, RefName};
use tracing::warn;

/// Ref names that are not valid, of which each is named in the log up to this number.
const MAX_WARNINGS: usize = 10;

/// Takes the origin's list ref by ref.
#[derive(Debug)]
pub(super) struct Comparison {
    known: Arc<RefTable>,
    /// How many of `known` the list has repeated so far, in order; all of it as long as `table` is `None`.
    same: usize,
    table: Option<RefTableBuilder>,
    head: Option<ListedHead>,
    /// Refs that stand for others, `HEAD` not among them.
    symrefs: Vec<(BString, RefName)>,
    /// Whether the origin tells symrefs at all; old servers don't.
    tells_symrefs: bool,
    skipped: usize,
    error: Option<RefTableError>,
}

#[derive(Debug)]
enum ListedHead {
    /// With what the branch points to, if it is there.
    Symbolic(BString, Option<ObjectId>),
    At(ObjectId),
}

/// What the origin has listed, whole.
#[derive(Debug)]
pub(super) struct Listing {
    /// The new table; `None` where it is the known one.
    pub table: Option<RefTable>,
    pub head: Option<Head>,
}

/// Why a complete list can't be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum UnusableList {
    #[error(transparent)]
    Table(#[from] RefTableError),
    #[error("it lists {skipped} refs, and none has a name that git would accept")]
    NothingValid { skipped: usize },
}

impl Comparison {
    /// Compares with what is `known`. `tells_symrefs`: whether a HEAD without a symref is surely detached.
    pub(super) fn new(known: Arc<RefTable>, tells_symrefs: bool) -> Self {
        let (table, head, error) = (None, None, None);
        Self { known, same: 0, table, head, symrefs: Vec::new(), tells_symrefs, skipped: 0, error }
    }

    /// Takes the next ref. A name git would not accept is skipped with a warning: it can't be fetched by anyone.
    pub(super) fn add(&mut self, listed: Listed<'_>) {
        if listed.name == "HEAD" {
            self.head = match (listed.symref, listed.target) {
                (Some(branch), target) => Some(ListedHead::Symbolic(branch.to_owned(), target)),
                (None, Some(target)) => Some(ListedHead::At(target)),
                (None, None) => None,
            };
            return;
        }
        let Some(target) = listed.target else { return };
        if let Some(Ok(symref)) = listed.symref.map(|symref| RefName::parse(symref)) {
            self.symrefs.push((listed.name.to_owned(), symref));
        }
        if self.table.is_none() {
            if self.is_known(listed.name, target) {
                self.same += 1;
                return;
            }
            self.table = Some(self.copy_known());
        }
        self.push(listed.name, target);
    }

    /// The list was complete.
    ///
    /// # Errors
    /// A list that names a ref twice, or refs but no valid one: that is no reason to prune everything.
    pub(super) fn finish(mut self) -> Result<Listing, UnusableList> {
        self.symrefs.sort_unstable();
        let is_same = self.same == self.known.len() && self.known.has_symrefs(&self.symrefs);
        if self.table.is_none() && !is_same {
            self.table = Some(self.copy_known());
        }
        if let Some(error) = self.error {
            return Err(error.into());
        }
        let table = self.table.take().map(|table| table.with_symrefs(self.symrefs).finish());
        let table = table.transpose()?;
        let refs = table.as_ref().unwrap_or(&self.known);
        if refs.is_empty() && self.skipped > 0 {
            return Err(UnusableList::NothingValid { skipped: self.skipped });
        }
        let head = match self.head {
            None => None,
            // a branch that is hidden is none here
            Some(ListedHead::Symbolic(branch, Some(target))) if !refs.contains(&branch) => {
                Some(Head::Detached(target))
            }
            Some(ListedHead::Symbolic(branch, _)) => {
                RefName::parse(&branch).ok().map(Head::Symbolic)
            }
            Some(ListedHead::At(target)) if self.tells_symrefs => Some(Head::Detached(target)),
            Some(ListedHead::At(target)) => {
                Some(guess(refs, target).map_or(Head::Detached(target), Head::Symbolic))
            }
        };
        // what was skipped is no difference
        let table = table.filter(|table| *table != *self.known);
        Ok(Listing { table, head })
    }

    fn is_known(&self, name: &BStr, target: ObjectId) -> bool {
        self.same < self.known.len() && {
            let known = self.known.at(self.same);
            known.name == name && known.target == target
        }
    }

    fn copy_known(&mut self) -> RefTableBuilder {
        let mut table = RefTable::builder(self.known.format());
        for entry in self.known.iter().take(self.same) {
            let name = RefName::parse(entry.name).expect("a table holds valid names");
            if let Err(error) = table.push(&name, entry.target, None) {
                self.error = Some(error);
            }
        }
        table
    }

    fn push(&mut self, name: &BStr, target: ObjectId) {
        let pushed = match (RefName::parse(name), &mut self.table) {
            (Ok(name), Some(table)) => table.push(&name, target, None),
            (Ok(_), None) => Ok(()),
            (Err(error), _) => {
                self.skipped += 1;
                if self.skipped <= MAX_WARNINGS {
                    warn!(%error, "the origin lists a ref that git would not accept: skipped");
                }
                Ok(())
            }
        };
        if let Err(error) = pushed {
            self.error.get_or_insert(error);
        }
    }
}

/// The branch an old server's HEAD stands on, guessed as git's `guess_remote_head` does.
fn guess(refs: &RefTable, target: ObjectId) -> Option<RefName> {
    let usual = ["refs/heads/main", "refs/heads/master"].into_iter().map(str::as_bytes);
    let usual = usual.filter_map(|name| refs.get(name)).find(|entry| entry.target == target);
    usual
        .or_else(|| refs.prefixed(b"refs/heads/").find(|entry| entry.target == target))
        .and_then(|entry| RefName::parse(entry.name.as_bytes()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::ObjectFormat;

    fn id(digit: u8) -> ObjectId {
        ObjectId::from_raw(&[digit; 20]).unwrap()
    }

    fn table(refs: &[(&str, u8)]) -> RefTable {
        let mut table = RefTable::builder(ObjectFormat::Sha1);
        for (name, digit) in refs {
            table.push(&RefName::parse(name.as_bytes()).unwrap(), id(*digit), None).unwrap();
        }
        table.finish().unwrap()
    }

    fn compare(known: &[(&str, u8)], listed: &[(&str, u8)]) -> Listing {
        let mut comparison = Comparison::new(Arc::new(table(known)), true);
        for (name, digit) in listed {
            let target = Some(id(*digit));
            comparison.add(Listed { name: (*name).into(), target, peeled: None, symref: None });
        }
        comparison.finish().unwrap()
    }

    #[test]
    fn an_equal_list_makes_no_table() {
        let refs = [("refs/heads/a", 1), ("refs/heads/b", 2)];
        assert!(compare(&refs, &refs).table.is_none());
        assert!(compare(&[], &[]).table.is_none());
        let with_bad = [("refs/heads/a", 1), ("refs/heads/a..b", 3), ("refs/heads/b", 2)];
        assert!(compare(&refs, &with_bad).table.is_none(), "what is skipped is no difference");
    }

    #[test]
    fn a_list_without_a_valid_name_prunes_nothing() {
        let mut comparison = Comparison::new(Arc::new(table(&[("refs/heads/a", 1)])), true);
        let name = "refs/heads/a..b".into();
        comparison.add(Listed { name, target: Some(id(1)), peeled: None, symref: None });
        assert!(comparison.finish().is_err());
    }

    #[test]
    fn every_kind_of_change_makes_the_whole_new_table() {
        let known = [("refs/heads/a", 1), ("refs/heads/b", 2)];
        for listed in [
            &[("refs/heads/a", 1)][..],
            &[],
            &[("refs/heads/b", 2)],
            &[("refs/heads/a", 1), ("refs/heads/b", 3)],
            &[("refs/heads/a", 1), ("refs/heads/aa", 3), ("refs/heads/b", 2)],
            &[("refs/heads/a", 1), ("refs/heads/b", 2), ("refs/tags/x", 3)],
            &[("refs/heads/a/b", 1)],
        ] {
            assert_eq!(compare(&known, listed).table, Some(table(listed)), "{listed:?}");
        }
    }

    #[test]
    fn an_unsorted_list_is_sorted_and_one_with_a_name_twice_is_refused() {
        let listed = [("refs/tags/x", 3), ("refs/heads/a", 1)];
        assert_eq!(compare(&[], &listed).table, Some(table(&listed)));
        let mut comparison = Comparison::new(Arc::new(table(&[])), true);
        for _ in 0..2 {
            let name = "refs/heads/a".into();
            comparison.add(Listed { name, target: Some(id(1)), peeled: None, symref: None });
        }
        assert!(comparison.finish().is_err());
    }

    #[test]
    fn head_is_symbolic_detached_unborn_or_guessed() {
        let head = |symrefs, symref: Option<&str>, target: Option<u8>| {
            let known = table(&[("refs/heads/dev", 2), ("refs/heads/master", 1)]);
            let mut comparison = Comparison::new(Arc::new(known), symrefs);
            let symref = symref.map(Into::into);
            comparison.add(Listed {
                name: "HEAD".into(),
                target: target.map(id),
                peeled: None,
                symref,
            });
            comparison.same = 2;
            comparison.finish().unwrap().head
        };
        let branch = |name: &str| Some(Head::Symbolic(RefName::parse(name.as_bytes()).unwrap()));
        assert_eq!(head(true, Some("refs/heads/dev"), Some(2)), branch("refs/heads/dev"));
        assert_eq!(head(true, Some("refs/heads/new"), None), branch("refs/heads/new"));
        assert_eq!(head(true, Some("refs/heads/hidden"), Some(3)), Some(Head::Detached(id(3))));
        assert_eq!(head(true, None, Some(1)), Some(Head::Detached(id(1))));
        assert_eq!(head(false, None, Some(1)), branch("refs/heads/master"));
        assert_eq!(head(false, None, Some(2)), branch("refs/heads/dev"));
        assert_eq!(head(false, None, Some(9)), Some(Head::Detached(id(9))));
    }
}
