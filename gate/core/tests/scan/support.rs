//! A push in memory.

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::ControlFlow;
use std::sync::Arc;

use bstr::{BStr, BString, ByteSlice};
use gate_core::scan::{
    At, Finding, Item, NewObjects, Progress, Refusal, ScanError, Scanner, Stop, Verdict,
};
use gate_store::Interrupt;
use proto::{ObjectFormat, ObjectId, RefName};
use tokio::sync::watch;

pub(crate) use crate::scanner::{ALNUM, gitleaks, options, private_key, random, token};

/// The new objects of a push, and what the origin has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Push {
    objects: BTreeMap<ObjectId, Vec<u8>>,
    items: Vec<Thing>,
    origin: Vec<(BString, ObjectId)>,
    origin_commits: Vec<Vec<u8>>,
}

#[derive(Clone, Debug)]
enum Thing {
    Blob(ObjectId, BString),
    Path(BString),
    Commit(ObjectId),
    Tag(ObjectId),
    Ref(RefName),
    Option(BString),
}

/// The commit that brings all blobs.
pub(crate) fn commit() -> ObjectId {
    ObjectId::from_hex(&[b'c'; 40]).unwrap()
}

impl Push {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn blob(self, path: impl Into<BString>, data: impl AsRef<[u8]>) -> Self {
        let path = path.into();
        self.path(path.clone()).thing(data.as_ref(), |id| Thing::Blob(id, path))
    }

    pub(crate) fn path(mut self, path: impl Into<BString>) -> Self {
        self.items.push(Thing::Path(path.into()));
        self
    }

    pub(crate) fn commit(self, text: &str) -> Self {
        self.thing(text.as_bytes(), Thing::Commit)
    }

    pub(crate) fn tag(self, text: &str) -> Self {
        self.thing(text.as_bytes(), Thing::Tag)
    }

    pub(crate) fn create_ref(mut self, name: &str) -> Self {
        self.items.push(Thing::Ref(RefName::parse(name.as_bytes()).unwrap()));
        self
    }

    pub(crate) fn option(mut self, text: &str) -> Self {
        self.items.push(Thing::Option(text.into()));
        self
    }

    /// What the origin has, at the tip that the push builds upon.
    pub(crate) fn origin(mut self, path: &str, data: impl AsRef<[u8]>) -> Self {
        let id = self.object(data.as_ref());
        self.origin.push((path.into(), id));
        self
    }

    pub(crate) fn origin_commit(mut self, text: &str) -> Self {
        self.origin_commits.push(text.into());
        self
    }

    fn thing(mut self, data: &[u8], thing: impl FnOnce(ObjectId) -> Thing) -> Self {
        let id = self.object(data);
        self.items.push(thing(id));
        self
    }

    fn object(&mut self, data: &[u8]) -> ObjectId {
        let mut raw = [0; 20];
        raw[0] = 0xab;
        raw[16..].copy_from_slice(&(self.objects.len() as u32).to_be_bytes());
        let id = ObjectId::from_raw(&raw).unwrap();
        self.objects.insert(id, data.to_vec());
        id
    }

    /// Scans with the usual options.
    pub(crate) async fn scan(self) -> Result<Verdict, ScanError> {
        self.scan_by(&Scanner::new(options())).await
    }

    pub(crate) async fn scan_by(self, scanner: &Scanner) -> Result<Verdict, ScanError> {
        scan_by(scanner, self).await
    }

    /// What keeps the push back; empty if nothing does.
    pub(crate) async fn findings(self) -> Vec<Finding> {
        match self.scan().await.expect("a verdict") {
            Verdict::Clean(_) => Vec::new(),
            Verdict::Found(_, refusal) => refusal.findings,
        }
    }

    pub(crate) async fn refusal(self) -> Refusal {
        match self.scan().await.expect("a verdict") {
            Verdict::Clean(_) => panic!("nothing was found"),
            Verdict::Found(_, refusal) => refusal,
        }
    }
}

pub(crate) async fn scan_by(
    scanner: &Scanner,
    objects: impl NewObjects,
) -> Result<Verdict, ScanError> {
    let (progress, _) = watch::channel(Progress::Idle);
    scanner.start().scan(Arc::new(objects), progress).await
}

impl NewObjects for Push {
    fn bytes(&self) -> u64 {
        self.objects.values().map(|data| data.len() as u64).sum()
    }

    fn each(
        &self,
        _: &Interrupt,
        visit: &mut dyn FnMut(Item<'_>) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let commit = Some(commit());
        for thing in &self.items {
            visit(match thing {
                Thing::Blob(id, path) => Item::Blob { id: *id, path: path.as_bstr(), commit },
                Thing::Path(path) => Item::Path { path: path.as_bstr(), commit },
                Thing::Commit(id) => Item::Commit { id: *id },
                Thing::Tag(id) => Item::Tag { id: *id },
                Thing::Option(text) => Item::Option { text: text.as_bstr(), target: commit },
                Thing::Ref(name) => Item::Ref { name, target: ObjectId::null(ObjectFormat::Sha1) },
            })?;
        }
        Ok(())
    }

    fn size(&self, id: &ObjectId) -> Result<u64, Stop> {
        Ok(self.objects[id].len() as u64)
    }

    fn write(&self, id: &ObjectId, out: &mut dyn Write) -> Result<(), Stop> {
        let data = &self.objects[id];
        data.chunks(10_000).try_for_each(|piece| out.write_all(piece)).map_err(Stop::Feed)
    }

    fn origin_has_path(&self, path: &BStr) -> Result<bool, Stop> {
        let below = format!("{path}/");
        Ok(self.origin.iter().any(|(known, _)| known == path || known.starts_with_str(&below)))
    }

    fn origin_blobs(
        &self,
        at: At<'_>,
        _: &Interrupt,
        visit: &mut dyn FnMut(&BStr, &ObjectId) -> ControlFlow<()>,
    ) -> Result<(), Stop> {
        let wanted = |known: &BString| match at {
            At::Path(path) => known == path,
            At::Earlier(_) => false,
            At::Anywhere => true,
        };
        for (known, id) in self.origin.iter().filter(|(known, _)| wanted(known)) {
            if visit(known.as_bstr(), id).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn origin_commits(
        &self,
        _: &Interrupt,
        visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), Stop> {
        for text in &self.origin_commits {
            if visit(text).is_break() {
                break;
            }
        }
        Ok(())
    }
}
