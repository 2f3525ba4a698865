//! Sees to it that the images are there: pulls, assembles or builds what is missing.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

use bollard::query_parameters::{BuildImageOptionsBuilder, CreateImageOptionsBuilder};
use futures_util::StreamExt as _;

use super::engine::{Engine, EngineError, Step, ask, dress, is_gone};
use crate::plan::bundle::{Bundle, SIDECAR_UID};
use crate::plan::{ImageFrom, ImagePlan};
use crate::progress::Progress;

/// Why an image is not there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(
        "build {reference}: {words}\nthe build's last lines:\n{tail}\n  next: mend it, then bottle run {bottle}"
    )]
    Build { reference: String, words: String, tail: String, bottle: String },
    #[error("gather {} for {reference}", .path.display())]
    Gather { reference: String, path: PathBuf, source: io::Error },
}

/// How many of a failed build's lines are shown: its exit code alone says nothing.
const TAIL: usize = 20;

impl Engine {
    /// Brings one image, if it is not there.
    ///
    /// # Errors
    /// [`Error`], with the last lines of a build that failed.
    pub(super) async fn ensure_image(
        &self,
        image: &ImagePlan,
        bottle: &str,
        progress: &Progress,
    ) -> Result<(), Error> {
        let step = Step::new("look for", &image.reference, bottle);
        let present = match self.docker.inspect_image(&image.reference).await {
            Ok(_) => true,
            Err(refusal) if is_gone(&refusal) => false,
            Err(refusal) => return Err(dress(&step, &refusal).into()),
        };
        match &image.from {
            ImageFrom::Registry if present => Ok(()),
            ImageFrom::Bundle(_) if present => Ok(()),
            ImageFrom::Registry => self.pull(&image.reference, bottle, progress).await,
            ImageFrom::Bundle(bundle) => {
                let context = bundle_context(bundle).map_err(|(path, source)| Error::Gather {
                    reference: image.reference.clone(),
                    path,
                    source,
                })?;
                self.build(&image.reference, "Dockerfile", context, bottle, progress).await
            }
            ImageFrom::Dockerfile { dockerfile, context } => {
                let (packed, name) =
                    folder_context(dockerfile, context).map_err(|source| Error::Gather {
                        reference: image.reference.clone(),
                        path: context.clone(),
                        source,
                    })?;
                self.build(&image.reference, &name, packed, bottle, progress).await
            }
        }
    }

    /// The entrypoint and command an image has of its own.
    pub(super) async fn own_command(
        &self,
        reference: &str,
        bottle: &str,
    ) -> Result<Vec<String>, EngineError> {
        let step = Step::new("inspect", reference, bottle);
        let image = ask(&step, self.docker.inspect_image(reference)).await?;
        let config = image.config.unwrap_or_default();
        let mut words = config.entrypoint.unwrap_or_default();
        words.extend(config.cmd.unwrap_or_default());
        Ok(words)
    }

    async fn pull(&self, reference: &str, bottle: &str, progress: &Progress) -> Result<(), Error> {
        let step = Step::new("pull", reference, bottle);
        progress.detail(&format!("pulling {reference}"));
        let options = CreateImageOptionsBuilder::default().from_image(reference).build();
        let mut stream = self.docker.create_image(Some(options), None, None);
        while let Some(line) = stream.next().await {
            let line = line.map_err(|refusal| dress(&step, &refusal))?;
            if let Some(status) = line.status {
                progress.detail(&format!("pulling {reference}: {status}"));
            }
        }
        Ok(())
    }

    async fn build(
        &self,
        reference: &str,
        dockerfile: &str,
        context: Vec<u8>,
        bottle: &str,
        progress: &Progress,
    ) -> Result<(), Error> {
        progress.detail(&format!("building {reference}"));
        let options = BuildImageOptionsBuilder::default()
            .dockerfile(dockerfile)
            .t(reference)
            .rm(true)
            .forcerm(true)
            .build();
        let body = bollard::body_full(context.into());
        let mut stream = self.docker.build_image(options, None, Some(body));
        let mut tail = VecDeque::with_capacity(TAIL);
        while let Some(line) = stream.next().await {
            let failed = |words: String, tail: &VecDeque<String>| Error::Build {
                reference: reference.to_owned(),
                words,
                tail: tail.iter().map(|line| format!("  | {line}")).collect::<Vec<_>>().join("\n"),
                bottle: bottle.to_owned(),
            };
            let line = match line {
                Ok(line) => line,
                Err(refusal) => {
                    let step = Step::new("build", reference, bottle);
                    return Err(failed(dress(&step, &refusal).words, &tail));
                }
            };
            for text in line.stream.iter().flat_map(|text| text.lines()) {
                // A builder colours what a step says to stderr.
                let text = console::strip_ansi_codes(text.trim_end());
                let text = text.trim_end();
                if text.is_empty() {
                    continue;
                }
                progress.detail(text);
                if tail.len() == TAIL {
                    tail.pop_front();
                }
                tail.push_back(text.to_owned());
            }
            if let Some(detail) = line.error_detail {
                return Err(failed(detail.message.unwrap_or_default(), &tail));
            }
        }
        Ok(())
    }
}

/// A Dockerfile and the `rootfs.tar` it adds: programs, folders with their owner, CA roots.
fn bundle_context(bundle: &Bundle) -> Result<Vec<u8>, (PathBuf, io::Error)> {
    let mut rootfs = tar::Builder::new(Vec::new());
    let here = |source| (PathBuf::from("rootfs.tar"), source);
    let mut folders = std::collections::BTreeSet::new();
    let targets = bundle.programs.iter().map(|(_, target)| Path::new(target).parent());
    let roots = host_roots();
    let all = targets.flatten().chain(roots.as_ref().map(|_| Path::new("etc/ssl/certs")));
    for folder in all.chain(bundle.folders.iter().map(|folder| Path::new(*folder))) {
        folders.extend(folder.ancestors().filter(|part| part.components().next().is_some()));
    }
    for folder in folders {
        let own = bundle.folders.iter().any(|own| Path::new(own) == folder);
        let (mode, uid) = if own { (0o700, SIDECAR_UID) } else { (0o755, 0) };
        append(&mut rootfs, folder, mode, uid, None).map_err(here)?;
    }
    append(&mut rootfs, Path::new("tmp"), 0o1777, 0, None).map_err(here)?;
    for (path, target) in &bundle.programs {
        let bytes = std::fs::read(path).map_err(|source| (path.clone(), source))?;
        append(&mut rootfs, Path::new(target), 0o755, 0, Some(&bytes)).map_err(here)?;
    }
    if let Some(roots) = roots {
        let target = Path::new("etc/ssl/certs/ca-certificates.crt");
        append(&mut rootfs, target, 0o644, 0, Some(&roots)).map_err(here)?;
    }
    let rootfs = rootfs.into_inner().map_err(here)?;
    let mut context = tar::Builder::new(Vec::new());
    append(&mut context, Path::new("rootfs.tar"), 0o644, 0, Some(&rootfs)).map_err(here)?;
    let dockerfile = Some(bundle.dockerfile.as_bytes());
    append(&mut context, Path::new("Dockerfile"), 0o644, 0, dockerfile).map_err(here)?;
    context.into_inner().map_err(here)
}

/// The roots this host trusts, which the sidecars are to trust as well.
fn host_roots() -> Option<Vec<u8>> {
    const PLACES: [&str; 3] = [
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/cert.pem",
    ];
    PLACES.iter().find_map(|place| std::fs::read(place).ok())
}

fn append(
    archive: &mut tar::Builder<Vec<u8>>,
    path: &Path,
    mode: u32,
    uid: u32,
    bytes: Option<&[u8]>,
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(match bytes {
        Some(_) => tar::EntryType::Regular,
        None => tar::EntryType::Directory,
    });
    header.set_mode(mode);
    header.set_uid(uid.into());
    header.set_gid(uid.into());
    header.set_mtime(0);
    let bytes = bytes.unwrap_or_default();
    header.set_size(bytes.len() as u64);
    archive.append_data(&mut header, path, bytes)
}

/// A person's own folder to build in. The Dockerfile may lie outside of it.
fn folder_context(dockerfile: &Path, context: &Path) -> io::Result<(Vec<u8>, String)> {
    const OUTSIDE: &str = ".bottle.Dockerfile";
    let mut archive = tar::Builder::new(Vec::new());
    archive.follow_symlinks(false);
    archive.append_dir_all(".", context)?;
    let name = match dockerfile.strip_prefix(context) {
        Ok(inside) => inside.to_string_lossy().into_owned(),
        Err(_) => {
            let bytes = std::fs::read(dockerfile)?;
            append(&mut archive, Path::new(OUTSIDE), 0o644, 0, Some(&bytes))?;
            OUTSIDE.to_owned()
        }
    };
    Ok((archive.into_inner()?, name))
}
