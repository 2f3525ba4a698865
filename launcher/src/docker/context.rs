//! What is sent to the engine to build with: programs of ours, or a person's folder.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::Stream;
use http_body_util::{Either, Full, StreamBody};
use hyper::body::Frame;
use tokio::sync::mpsc;

use super::ignore::Ignore;
use crate::plan::bundle::{Bundle, SIDECAR_UID};

/// bollard's own, whose name it keeps to itself.
type Body =
    Either<Full<Bytes>, StreamBody<Pin<Box<dyn Stream<Item = io::Result<Frame<Bytes>>> + Send>>>>;

/// A tar archive on its way, and the name of the Dockerfile in it.
pub(super) struct Context {
    pub(super) body: Body,
    pub(super) dockerfile: String,
    pub(super) failure: Failure,
}

/// Why the archive ended before it was whole, if it did.
#[derive(Debug, Clone, Default)]
pub(super) struct Failure(Arc<Mutex<Option<io::Error>>>);

impl Failure {
    pub(super) fn take(&self) -> Option<io::Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A Dockerfile and the `rootfs.tar` it adds: programs, folders with their owner, CA roots.
pub(super) fn of_bundle(bundle: &Bundle) -> Result<Context, (PathBuf, io::Error)> {
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
    let whole = context.into_inner().map_err(here)?;
    Ok(Context {
        body: bollard::body_full(whole.into()),
        dockerfile: "Dockerfile".to_owned(),
        failure: Failure::default(),
    })
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
    archive: &mut tar::Builder<impl Write>,
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

/// The name of a Dockerfile that lies outside of its context.
const OUTSIDE: &str = ".bottle.Dockerfile";
const IGNORE: &str = ".dockerignore";

/// A person's own folder to build in, without what `.dockerignore` leaves out.
///
/// It is read while it is sent, so that it need not fit into memory.
///
/// # Errors
/// When the folder or one of the two files cannot be read; later trouble is in [`Context::failure`].
pub(super) fn of_folder(dockerfile: &Path, folder: &Path) -> io::Result<Context> {
    let inside = dockerfile.strip_prefix(folder).ok().map(Path::to_owned);
    let recipe = match &inside {
        Some(_) => None,
        None => Some(std::fs::read(dockerfile)?),
    };
    let ignore = read_ignore(dockerfile, folder)?;
    std::fs::read_dir(folder)?;
    let name = inside.as_deref().map_or(OUTSIDE.into(), Path::to_string_lossy).into_owned();
    let (sender, mut receiver) = mpsc::channel(DEPTH);
    let failure = Failure::default();
    let pack = Pack { folder: folder.to_owned(), dockerfile: inside, ignore };
    let told = failure.clone();
    // Reading a folder blocks; the thread ends with the archive, or when nobody takes it any more.
    std::thread::spawn(move || {
        let mut archive = tar::Builder::new(Sender { sender: sender.clone(), filled: Vec::new() });
        archive.follow_symlinks(false);
        let packed = recipe
            .map_or(Ok(()), |recipe| {
                append(&mut archive, Path::new(OUTSIDE), 0o644, 0, Some(&recipe))
            })
            .and_then(|()| pack.below(Path::new(""), &mut archive))
            .and_then(|()| archive.into_inner())
            .and_then(|mut rest| rest.flush());
        // A build that ended early has said why itself.
        if let Err(error) = packed.or_else(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Ok(()),
            _ => Err(error),
        }) {
            *told.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            // An archive that just ends could pass for a whole one.
            drop(sender.blocking_send(Err(io::Error::other("the folder cannot be read"))));
        }
    });
    let pieces = futures_util::stream::poll_fn(move |context| receiver.poll_recv(context));
    Ok(Context { body: bollard::body_try_stream(pieces), dockerfile: name, failure })
}

/// `Dockerfile.dockerignore` stands before `.dockerignore`, as BuildKit has it.
fn read_ignore(dockerfile: &Path, folder: &Path) -> io::Result<Ignore> {
    let mut own = dockerfile.as_os_str().to_owned();
    own.push(IGNORE);
    for path in [PathBuf::from(own), folder.join(IGNORE)] {
        match std::fs::read_to_string(&path) {
            Ok(text) => return Ok(Ignore::parse(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(io::Error::new(error.kind(), format!("{}: {error}", path.display())));
            }
        }
    }
    Ok(Ignore::default())
}

struct Pack {
    folder: PathBuf,
    /// It is sent whatever the patterns say; the engine needs it.
    dockerfile: Option<PathBuf>,
    ignore: Ignore,
}

impl Pack {
    fn below(&self, path: &Path, archive: &mut tar::Builder<Sender>) -> io::Result<()> {
        let mut entries =
            std::fs::read_dir(self.folder.join(path))?.collect::<io::Result<Vec<_>>>()?;
        // In the order of names, so that the same folder is the same archive and the cache is met.
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let name = path.join(entry.file_name());
            let kind = entry.file_type()?;
            let out = self.ignore.leaves_out(&name);
            let needed = self.dockerfile.as_ref().is_some_and(|it| it.starts_with(&name));
            if !out || (needed && !kind.is_dir()) {
                self.one(&name, &entry, archive)?;
            }
            if kind.is_dir() && (!out || needed || self.ignore.keeps_any()) {
                self.below(&name, archive)?;
            }
        }
        Ok(())
    }

    fn one(
        &self,
        name: &Path,
        entry: &std::fs::DirEntry,
        archive: &mut tar::Builder<Sender>,
    ) -> io::Result<()> {
        use std::os::unix::fs::FileTypeExt as _;
        let kind = entry.file_type()?;
        if kind.is_socket() {
            return Ok(());
        }
        let path = entry.path();
        archive
            .append_path_with_name(&path, name)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    }
}

/// How many pieces wait for the engine, and how long each is.
const DEPTH: usize = 8;
const PIECE: usize = 64 * 1024;

struct Sender {
    sender: mpsc::Sender<io::Result<Bytes>>,
    filled: Vec<u8>,
}

impl Write for Sender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.filled.extend_from_slice(bytes);
        if self.filled.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let piece = std::mem::take(&mut self.filled);
        if piece.is_empty() {
            return Ok(());
        }
        let taken = self.sender.blocking_send(Ok(piece.into()));
        taken.map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the build has ended"))
    }
}
