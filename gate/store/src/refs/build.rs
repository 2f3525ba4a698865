//! Making a table from refs in any order.

use bstr::BString;
use proto::{ObjectFormat, ObjectId, RefName};

use super::{RefTable, Symrefs};

/// Why refs do not make a table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefTableError {
    #[error("ref '{}' is there twice", .name.escape_ascii())]
    Twice { name: BString },
    #[error("ref '{}' has an id that is not {}", .name.escape_ascii(), .format.as_str())]
    Format { name: BString, format: ObjectFormat },
    #[error("HEAD is not one of the refs")]
    Head,
    #[error("all ref names together are longer than 4 GiB")]
    TooLong,
}

/// Takes refs one by one; those that come sorted cost nothing more.
#[derive(Debug)]
pub struct RefTableBuilder {
    format: ObjectFormat,
    names: Vec<u8>,
    ends: Vec<u32>,
    targets: Vec<u8>,
    peeled_at: Vec<u32>,
    peeled: Vec<u8>,
    symrefs: Symrefs,
    sorted: bool,
}

impl RefTableBuilder {
    pub(super) fn new(format: ObjectFormat) -> Self {
        Self {
            format,
            names: Vec::new(),
            ends: Vec::new(),
            targets: Vec::new(),
            peeled_at: Vec::new(),
            peeled: Vec::new(),
            symrefs: [].into(),
            sorted: true,
        }
    }

    /// Says which refs stand for others: these, and none besides.
    #[must_use]
    pub fn with_symrefs(self, mut symrefs: Vec<(BString, RefName)>) -> Self {
        symrefs.sort_unstable();
        Self { symrefs: symrefs.into(), ..self }
    }

    /// Says of symrefs what another table does.
    pub(crate) fn with_symrefs_of(self, table: &RefTable) -> Self {
        Self { symrefs: table.symrefs.clone(), ..self }
    }

    /// Adds a ref.
    pub fn push(
        &mut self,
        name: &RefName,
        target: ObjectId,
        peeled: Option<ObjectId>,
    ) -> Result<(), RefTableError> {
        if name.as_bytes() == b"HEAD" {
            return Err(RefTableError::Head);
        }
        self.push_bytes(name.as_bytes(), target, peeled)
    }

    /// Adds a ref whose name is known to be good.
    pub(crate) fn push_bytes(
        &mut self,
        name: &[u8],
        target: ObjectId,
        peeled: Option<ObjectId>,
    ) -> Result<(), RefTableError> {
        if target.format() != self.format || peeled.is_some_and(|id| id.format() != self.format) {
            return Err(RefTableError::Format { name: name.into(), format: self.format });
        }
        if let Some(last) = self.ends.len().checked_sub(1) {
            self.sorted &= self.name(last) < name;
        }
        self.names.extend_from_slice(name);
        let end = u32::try_from(self.names.len()).map_err(|_| RefTableError::TooLong)?;
        if let Some(peeled) = peeled {
            self.peeled_at.push(self.ends.len() as u32);
            self.peeled.extend_from_slice(peeled.as_bytes());
        }
        self.ends.push(end);
        self.targets.extend_from_slice(target.as_bytes());
        Ok(())
    }

    /// The table.
    pub fn finish(self) -> Result<RefTable, RefTableError> {
        let sorted = self.sorted;
        let table = RefTable {
            format: self.format,
            names: self.names.into(),
            ends: self.ends.into(),
            targets: self.targets.into(),
            peeled_at: self.peeled_at.into(),
            peeled: self.peeled.into(),
            symrefs: self.symrefs,
        };
        if sorted { Ok(table) } else { sort(&table) }
    }

    fn name(&self, at: usize) -> &[u8] {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.names[start as usize..self.ends[at] as usize]
    }
}

fn sort(table: &RefTable) -> Result<RefTable, RefTableError> {
    let mut order: Vec<usize> = (0..table.len()).collect();
    order.sort_unstable_by_key(|at| table.name(*at));
    if let Some(pair) = order.windows(2).find(|pair| table.name(pair[0]) == table.name(pair[1])) {
        return Err(RefTableError::Twice { name: table.name(pair[0]).into() });
    }
    let mut sorted = RefTableBuilder::new(table.format).with_symrefs_of(table);
    for at in order {
        let entry = table.at(at);
        sorted.push_bytes(entry.name, entry.target, entry.peeled)?;
    }
    sorted.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> ObjectId {
        ObjectId::from_raw(&[byte; 20]).unwrap()
    }

    fn table(names: &[&str]) -> Result<RefTable, RefTableError> {
        let mut builder = RefTable::builder(ObjectFormat::Sha1);
        for (n, name) in (0..).zip(names) {
            let peeled = name.contains("tags").then(|| id(100 + n));
            builder.push(&RefName::parse(name.as_bytes()).unwrap(), id(n), peeled)?;
        }
        builder.finish()
    }

    #[test]
    fn sorts_and_finds_by_name_and_prefix() {
        let table = table(&["refs/tags/b", "refs/heads/b", "refs/heads/a", "refs/tags/a"]).unwrap();
        let names: Vec<_> = table.iter().map(|entry| entry.name.to_string()).collect();
        assert_eq!(names, ["refs/heads/a", "refs/heads/b", "refs/tags/a", "refs/tags/b"]);
        let tag = table.get(b"refs/tags/b").unwrap();
        assert_eq!((tag.target, tag.peeled), (id(0), Some(id(100))));
        assert_eq!(table.get(b"refs/heads/a").unwrap().peeled, None);
        assert_eq!(table.get(b"refs/heads/c"), None);
        assert_eq!(table.get(b"refs/heads"), None);
        assert_eq!(table.prefixed(b"refs/tags/").count(), 2);
        assert_eq!(table.prefixed(b"refs/").count(), 4);
        assert_eq!(table.prefixed(b"refs/u").count(), 0);
    }

    #[test]
    fn refuses_a_name_twice_head_and_foreign_ids() {
        let twice = Err(RefTableError::Twice { name: "refs/a".into() });
        assert_eq!(table(&["refs/a", "refs/a"]), twice);
        assert_eq!(table(&["refs/a", "refs/b", "refs/a"]), twice);
        assert_eq!(table(&["HEAD"]), Err(RefTableError::Head));
        let name = RefName::parse(b"refs/a").unwrap();
        let foreign = ObjectId::null(ObjectFormat::Sha256);
        let error = RefTable::builder(ObjectFormat::Sha1).push(&name, foreign, None);
        assert!(matches!(error, Err(RefTableError::Format { .. })));
    }
}
