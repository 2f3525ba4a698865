//! The entries of a raw tree object.

use std::cmp::Ordering;

use memchr::memchr;

/// One entry of a tree; what it names is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TreeEntry<'a> {
    pub(crate) mode: u32,
    pub(crate) name: &'a [u8],
    /// The raw id.
    pub(crate) id: &'a [u8],
}

impl TreeEntry<'_> {
    pub(crate) fn is_tree(&self) -> bool {
        self.mode & 0o170_000 == 0o040_000
    }

    /// A submodule's commit, which lies in another repository.
    pub(crate) fn is_gitlink(&self) -> bool {
        self.mode & 0o170_000 == 0o160_000
    }

    /// Git's order of entries: names by their bytes, a tree's as if a slash followed (base_name_compare).
    pub(crate) fn order(&self, other: &Self) -> Ordering {
        let common = self.name.len().min(other.name.len());
        let end = |entry: &Self| {
            let slash = if entry.is_tree() { b'/' } else { 0 };
            entry.name.get(common).copied().unwrap_or(slash)
        };
        self.name[..common].cmp(&other.name[..common]).then_with(|| end(self).cmp(&end(other)))
    }
}

/// The bytes are not a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MalformedTree;

/// Walks through a tree's bytes; ends after the first entry it cannot read.
#[derive(Clone, Debug)]
pub(crate) struct TreeEntries<'a> {
    rest: &'a [u8],
    id_len: usize,
}

impl<'a> TreeEntries<'a> {
    pub(crate) fn new(raw: &'a [u8], id_len: usize) -> Self {
        Self { rest: raw, id_len }
    }

    fn entry(&mut self) -> Option<TreeEntry<'a>> {
        let mut mode = 0;
        let mut at = 0;
        loop {
            match *self.rest.get(at)? {
                b' ' => break,
                digit @ b'0'..=b'7' => mode = mode << 3 | u32::from(digit - b'0'),
                _ => return None,
            }
            at += 1;
        }
        let rest = &self.rest[at + 1..];
        let end = memchr(0, rest)?;
        let id = rest.get(end + 1..end + 1 + self.id_len)?;
        self.rest = &rest[end + 1 + self.id_len..];
        Some(TreeEntry { mode, name: &rest[..end], id })
    }
}

impl<'a> Iterator for TreeEntries<'a> {
    type Item = Result<TreeEntry<'a>, MalformedTree>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let entry = self.entry().ok_or(MalformedTree);
        if entry.is_err() {
            self.rest = &[];
        }
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(entries: &[(&str, &str)]) -> Vec<u8> {
        let one = |(mode, name): &(&str, &str)| {
            [mode.as_bytes(), b" ", name.as_bytes(), &[0], &[7; 20]].concat()
        };
        entries.iter().flat_map(one).collect()
    }

    #[test]
    fn reads_entries_until_the_bytes_break_off() {
        let raw = raw(&[("40000", "dir"), ("100644", "file"), ("160000", "module")]);
        let all: Vec<_> = TreeEntries::new(&raw, 20).map(Result::unwrap).collect();
        assert_eq!(all.len(), 3);
        assert!(all[0].is_tree() && all[2].is_gitlink() && all[1].name == b"file");
        for end in 1..raw.len() {
            let entries = TreeEntries::new(&raw[..end], 20);
            let whole = [30, 62].contains(&end);
            assert_eq!(entries.clone().any(|e| e.is_err()), !whole, "{end} {}", entries.count());
        }
    }

    #[test]
    fn orders_entries_as_git_does() {
        let entry = |mode, name| TreeEntry { mode, name, id: &[] };
        let (dir, file) = (0o040_000, 0o100_644);
        assert_eq!(entry(dir, b"a").order(&entry(file, b"a.c")), Ordering::Greater);
        assert_eq!(entry(file, b"a").order(&entry(file, b"a.c")), Ordering::Less);
        assert_eq!(entry(file, b"a").order(&entry(file, b"a")), Ordering::Equal);
        assert_eq!(entry(file, b"a").order(&entry(dir, b"a")), Ordering::Less);
    }
}
