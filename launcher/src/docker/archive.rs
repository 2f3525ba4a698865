//! Files for a container that is created and not started, as tar archives.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::PathBuf;

use bollard::query_parameters::{
    DownloadFromContainerOptionsBuilder, UploadToContainerOptionsBuilder,
};
use futures_util::TryStreamExt as _;

use super::engine::{Engine, EngineError, Step, ask, dress, is_gone};
use crate::host::Host;
use crate::manifest::SecretSource;
use crate::plan::{ContainerPlan, Content, FilePlan};

/// Why files could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("read {} for {container}", .path.display())]
    Read { path: PathBuf, container: String, source: io::Error },
    #[error("the variable {0} is not set any more")]
    Variable(String),
    #[error("the {what} for {container} is empty: {from}")]
    Empty { what: &'static str, container: String, from: String },
    #[error("pack the files for {container}")]
    Pack { container: String, source: io::Error },
}

/// Longest file that is copied; a static program is some 30 MB.
const LONGEST: u64 = 256 << 20;

/// Where most systems keep the roots they trust.
const ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

impl Engine {
    /// Copies a container's files into it.
    ///
    /// # Errors
    /// When a file cannot be read here, or the engine does not take it.
    pub(super) async fn copy_files(
        &self,
        container: &ContainerPlan,
        bottle: &str,
        host: &Host,
    ) -> Result<(), Error> {
        let step = Step::new("copy files into", &container.name, bottle);
        for (base, files) in by_base(container) {
            let mut packed = Vec::new();
            for file in files {
                let bytes = self.content(container, file, host).await?;
                packed.push((file, bytes));
            }
            let name = container.name.clone();
            let archive =
                pack(&base, &packed).map_err(|source| Error::Pack { container: name, source })?;
            let options = UploadToContainerOptionsBuilder::default().path(&base).build();
            let body = bollard::body_full(archive.into());
            ask(&step, self.docker.upload_to_container(&container.name, Some(options), body))
                .await?;
        }
        Ok(())
    }

    async fn content(
        &self,
        container: &ContainerPlan,
        file: &FilePlan,
        host: &Host,
    ) -> Result<Option<Vec<u8>>, Error> {
        let read = |path: &PathBuf| {
            read_file(path).map_err(|source| Error::Read {
                path: path.clone(),
                container: container.name.clone(),
                source,
            })
        };
        let bytes = match &file.content {
            Content::Folder => return Ok(None),
            Content::Text(text) => text.clone().into_bytes(),
            Content::HostFile(path) => read(path)?,
            Content::Roots { with } => {
                let mut roots = self.read_from(&container.name, ROOTS).await?.unwrap_or_default();
                roots.push(b'\n');
                roots.extend(read(with)?);
                roots
            }
            Content::Secret(source) => {
                let (bytes, from) = match source {
                    SecretSource::HostFile(path) => (read(path)?, path.display().to_string()),
                    SecretSource::HostVariable(name) => {
                        let value = host.variable(name).ok_or(Error::Variable(name.clone()))?;
                        (value.as_bytes().to_vec(), format!("${name}"))
                    }
                };
                if bytes.trim_ascii().is_empty() {
                    let container = container.name.clone();
                    return Err(Error::Empty { what: "secret", container, from });
                }
                bytes
            }
        };
        Ok(Some(bytes))
    }

    /// A file of a container, or `None` when there is none.
    async fn read_from(&self, container: &str, path: &str) -> Result<Option<Vec<u8>>, EngineError> {
        let step = Step::new("read from", container, "");
        let options = DownloadFromContainerOptionsBuilder::default().path(path).build();
        let stream = self.docker.download_from_container(container, Some(options));
        let archive: Vec<u8> = match stream
            .try_fold(Vec::new(), |mut all, piece| async move {
                all.extend_from_slice(&piece);
                Ok(all)
            })
            .await
        {
            Ok(archive) => archive,
            Err(refusal) if is_gone(&refusal) => return Ok(None),
            Err(refusal) => return Err(dress(&step, &refusal)),
        };
        let mut bytes = Vec::new();
        let mut archive = tar::Archive::new(archive.as_slice());
        let Ok(entries) = archive.entries() else { return Ok(None) };
        for mut entry in entries.flatten().filter(|entry| entry.header().entry_type().is_file()) {
            if entry.read_to_end(&mut bytes).is_err() {
                return Ok(None);
            }
        }
        Ok(Some(bytes))
    }

    /// Opens the gate that holds the agent back.
    pub(super) async fn write_marker(
        &self,
        container: &str,
        bottle: &str,
        folder: &str,
        name: &str,
    ) -> Result<(), EngineError> {
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = header(0o444, 0, 0, tar::EntryType::Regular, 0);
        let packed = archive
            .append_data(&mut header, name, io::empty())
            .and_then(|()| archive.into_inner())
            .expect("memory takes every write");
        let options = UploadToContainerOptionsBuilder::default().path(folder).build();
        let call = self.docker.upload_to_container(
            container,
            Some(options),
            bollard::body_full(packed.into()),
        );
        ask(&Step::new("open the gate of", container, bottle), call).await
    }

    /// Whether a file is there.
    pub async fn has_file(&self, container: &str, path: &str) -> bool {
        matches!(self.read_from(container, path).await, Ok(Some(_)))
    }
}

/// Groups files by the folder their archive is sent to.
///
/// A container with a read-only root takes archives only into its volumes.
fn by_base(container: &ContainerPlan) -> BTreeMap<String, Vec<&FilePlan>> {
    let mut groups: BTreeMap<String, Vec<&FilePlan>> = BTreeMap::new();
    for file in &container.files {
        let volumes = container.mounts.iter().map(|mount| mount.target.as_str());
        let base = volumes
            .filter(|target| {
                file.path.strip_prefix(*target).is_some_and(|rest| rest.starts_with('/'))
            })
            .max_by_key(|target| target.len())
            .unwrap_or("/");
        groups.entry(base.to_owned()).or_default().push(file);
    }
    groups
}

fn pack(base: &str, files: &[(&FilePlan, Option<Vec<u8>>)]) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (file, bytes) in files {
        let name = file.path.strip_prefix(base).unwrap_or(&file.path).trim_start_matches('/');
        let kind = match bytes {
            Some(_) => tar::EntryType::Regular,
            None => tar::EntryType::Directory,
        };
        let bytes = bytes.as_deref().unwrap_or_default();
        let mut header = header(file.mode, file.uid, file.gid, kind, bytes.len() as u64);
        archive.append_data(&mut header, name, bytes)?;
    }
    archive.into_inner()
}

fn header(mode: u32, uid: u32, gid: u32, kind: tar::EntryType, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(uid.into());
    header.set_gid(gid.into());
    header.set_size(size);
    header.set_mtime(0);
    header
}

fn read_file(path: &PathBuf) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST {
        return Err(io::Error::other(format!("it is longer than {LONGEST} bytes")));
    }
    Ok(bytes)
}
