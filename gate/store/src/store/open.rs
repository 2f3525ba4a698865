//! Opening a mirror that lies on disk.

use bstr::ByteSlice;
use proto::ObjectFormat;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::{CONFIG, HEAD, PACKED_REFS, SHALLOW, Store, exact, pack_dir, sweep};
use crate::files::{self, FileError, failed};
use crate::reach::Reach;
use crate::refs::{head, packed, shallow};
use crate::shared::Shared;
use crate::{OpenPackError, Pack, PackSet, PackedRefsError, RefTable, Snapshot};

/// Why a mirror cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenStoreError {
    #[error("{} is not there", .path.display())]
    Absent { path: PathBuf },
    #[error("{} is damaged", .path.display())]
    Config { path: PathBuf },
    #[error("{} is damaged", .path.display())]
    Shallow { path: PathBuf },
    #[error("read {}", .path.display())]
    Refs {
        path: PathBuf,
        #[source]
        source: PackedRefsError,
    },
    #[error(transparent)]
    Pack(#[from] OpenPackError),
    #[error(transparent)]
    File(#[from] FileError),
}

impl OpenStoreError {
    /// Whether what lies there can only be thrown away ([`Store::destroy`]) and mirrored anew.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Config { .. } | Self::Shallow { .. } | Self::Refs { .. } | Self::Pack(_) => true,
            Self::Absent { .. } | Self::File(_) => false,
        }
    }
}

impl Store {
    /// Sweeps what a crash left, and maps what is there.
    pub fn open(dir: &Path) -> Result<Self, OpenStoreError> {
        let config = dir.join(CONFIG);
        let text =
            files::read(&config)?.ok_or_else(|| OpenStoreError::Absent { path: dir.to_owned() })?;
        let format = format(&text).ok_or(OpenStoreError::Config { path: config })?;
        sweep::sweep(dir)?;
        let packs = packs(dir, format)?;
        let exact = exact::is_recorded(dir, &packs)?;
        let snapshot = Snapshot {
            refs: Arc::new(refs(dir, format)?),
            head: files::read(&dir.join(HEAD))?.and_then(|text| head::parse(&text)),
            packs: PackSet::new(packs, format),
            shallow: shallow_commits(dir, format)?.into(),
            exact,
            generation: 0,
            shared: Arc::new(Shared::open(dir, format)?),
            reach: Reach::default(),
        };
        Ok(Self {
            dir: dir.to_owned(),
            format,
            current: Mutex::new(Arc::new(snapshot)),
            changing: Mutex::new(()),
        })
    }
}

/// The object format a config names; `None` if it is none of ours.
fn format(config: &[u8]) -> Option<ObjectFormat> {
    let lines = config.lines().map(|line| line.trim().to_ascii_lowercase());
    let values: Vec<_> = lines
        .filter_map(|line| {
            let (key, value) = line.split_once_str(b"=")?;
            Some((key.trim().to_owned(), value.trim().to_owned()))
        })
        .collect();
    let value = |key: &[u8]| values.iter().rfind(|(k, _)| k == key).map(|(_, v)| v.as_slice());
    match (value(b"repositoryformatversion")?, value(b"objectformat")) {
        (b"0", None) => Some(ObjectFormat::Sha1),
        (b"1", name) => ObjectFormat::parse(name.unwrap_or(b"sha1")),
        _ => None,
    }
}

/// All packs with an index, the largest first: most lookups end there.
fn packs(dir: &Path, format: ObjectFormat) -> Result<Vec<Arc<Pack>>, OpenStoreError> {
    let dir = pack_dir(dir);
    let mut packs = Vec::new();
    for entry in std::fs::read_dir(&dir).map_err(failed("list", &dir))? {
        let path = entry.map_err(failed("list", &dir))?.path();
        let is_pack = path.extension().is_some_and(|ext| ext == "pack");
        if is_pack && path.with_extension("idx").exists() {
            packs.push(Arc::new(Pack::open(&path, format)?));
        }
    }
    packs.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.path().cmp(b.path())));
    Ok(packs)
}

fn refs(dir: &Path, format: ObjectFormat) -> Result<RefTable, OpenStoreError> {
    let path = dir.join(PACKED_REFS);
    match files::read(&path)? {
        Some(bytes) => {
            packed::parse(&bytes, format).map_err(|source| OpenStoreError::Refs { path, source })
        }
        None => Ok(RefTable::empty(format)),
    }
}

fn shallow_commits(
    dir: &Path,
    format: ObjectFormat,
) -> Result<Vec<proto::ObjectId>, OpenStoreError> {
    let path = dir.join(SHALLOW);
    match files::read(&path)? {
        Some(bytes) => shallow::parse(&bytes, format).ok_or(OpenStoreError::Shallow { path }),
        None => Ok(Vec::new()),
    }
}
