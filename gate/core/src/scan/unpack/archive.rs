//! The kinds of archive that are opened, known by their content and never by their name.

use std::io::{self, Read, Seek};

use bstr::BStr;
use memchr::memmem;

use super::{inner, pdf, stem};

/// What an archive is read from.
pub(super) trait ReadSeek: Read + Seek {}

impl<T: Read + Seek> ReadSeek for T {}

/// An archive or a compressed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Archive {
    Zip,
    Tar,
    /// Of Unix: Debian's packages, static libraries.
    Ar,
    Pdf,
    Zlib,
    Gzip,
    Bzip2,
    Xz,
    /// What came before xz.
    Lzma,
    Zstd,
}

/// The tail in which a zip's end record must lie: its comment may be 64 KiB long.
pub(super) const ZIP_TAIL: usize = 22 + 65_535;
/// How many first bytes tell the other kinds.
pub(super) const HEAD: usize = 512;
const AR_MAGIC: &[u8] = b"!<arch>\n";
/// Memory for the dictionary of an xz stream, in KiB; `xz -9` takes 64 MiB.
const XZ_MEMORY: u32 = 80 * 1024;

impl Archive {
    /// Knows an archive by its first and last bytes (which may be the same).
    pub(super) fn detect(head: &[u8], tail: &[u8]) -> Option<Self> {
        match head {
            [0x1f, 0x8b, 8, ..] => return Some(Self::Gzip),
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, ..] => {
                return Some(Self::Bzip2);
            }
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => return Some(Self::Xz),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => return Some(Self::Zstd),
            [b'P', b'K', 3, 4, ..] => return Some(Self::Zip),
            _ if head.starts_with(AR_MAGIC) => return Some(Self::Ar),
            _ if head.starts_with(b"%PDF-") => return Some(Self::Pdf),
            _ if pdf::is_zlib(head) => return Some(Self::Zlib),
            _ => {}
        }
        if is_lzma(head) {
            return Some(Self::Lzma);
        }
        if head.get(257..262) == Some(b"ustar") || is_old_tar(head) {
            return Some(Self::Tar);
        }
        // A zip may stand behind something else, as in a self-extracting program.
        let tail = &tail[tail.len().saturating_sub(ZIP_TAIL)..];
        memmem::rfind(tail, b"PK\x05\x06").map(|_| Self::Zip)
    }

    /// Shows each member, until `each` says that it is enough. What can't be read is left out.
    pub(super) fn members(
        self,
        path: &BStr,
        content: &mut dyn ReadSeek,
        each: &mut dyn FnMut(&BStr, &mut dyn Read) -> bool,
    ) {
        let mut single = |reader: &mut dyn Read| {
            each(BStr::new(&inner(path, stem(path))), reader);
        };
        match self {
            Self::Gzip => single(&mut flate2::read::MultiGzDecoder::new(content)),
            Self::Bzip2 => single(&mut bzip2::read::MultiBzDecoder::new(content)),
            Self::Xz => single(&mut lzma_rust2::XzReader::new_mem_limit(content, true, XZ_MEMORY)),
            Self::Lzma => {
                let reader = lzma_rust2::LzmaReader::new_mem_limit(content, XZ_MEMORY, None);
                if let Ok(mut reader) = reader {
                    single(&mut reader);
                }
            }
            Self::Zstd => {
                if let Ok(mut reader) = ruzstd::decoding::StreamingDecoder::new(content) {
                    single(&mut reader);
                }
            }
            Self::Tar => tar_members(path, content, each),
            Self::Ar => ar_members(path, content, each),
            Self::Pdf => pdf::streams(path, content, each),
            Self::Zlib => single(&mut flate2::read::ZlibDecoder::new(content)),
            Self::Zip => zip_members(path, content, each),
        }
    }
}

pub(super) fn tar_members(
    path: &BStr,
    content: impl Read,
    each: &mut dyn FnMut(&BStr, &mut dyn Read) -> bool,
) {
    let mut archive = tar::Archive::new(content);
    let Ok(entries) = archive.entries() else { return };
    for entry in entries {
        let Ok(mut entry) = entry else { return };
        let name = inner(path, &entry.path_bytes());
        if !each(BStr::new(&name), &mut entry) {
            return;
        }
    }
}

/// Each member has a header of 60 bytes, with name and size in decimal, and ends at an even place.
fn ar_members(
    path: &BStr,
    content: &mut dyn Read,
    each: &mut dyn FnMut(&BStr, &mut dyn Read) -> bool,
) {
    let mut header = [0; 60];
    if content.read_exact(&mut header[..AR_MAGIC.len()]).is_err() {
        return;
    }
    while content.read_exact(&mut header).is_ok() && header.ends_with(b"`\n") {
        let field = |range: std::ops::Range<usize>| header[range].trim_ascii_end();
        let Some(size) = std::str::from_utf8(field(48..58)).ok().and_then(|t| t.parse().ok())
        else {
            return;
        };
        let size: u64 = size;
        let name = inner(path, field(0..16).trim_ascii_end());
        let mut member = (&mut *content).take(size);
        if !each(BStr::new(&name), &mut member) {
            return;
        }
        let rest = member.limit() + size % 2;
        if io::copy(&mut (&mut *content).take(rest), &mut io::sink()).is_err() {
            return;
        }
    }
}

fn zip_members(
    path: &BStr,
    content: &mut dyn ReadSeek,
    each: &mut dyn FnMut(&BStr, &mut dyn Read) -> bool,
) {
    let Ok(mut archive) = zip::ZipArchive::new(&mut *content) else {
        zip_stream(path, content, each);
        return;
    };
    for index in 0..archive.len() {
        // Encrypted, or by a method we don't know.
        let Ok(mut file) = archive.by_index(index) else { continue };
        let name = inner(path, file.name_raw());
        if !each(BStr::new(&name), &mut file) {
            return;
        }
    }
}

/// A zip without its directory, such as one that was cut off.
fn zip_stream(
    path: &BStr,
    content: &mut dyn ReadSeek,
    each: &mut dyn FnMut(&BStr, &mut dyn Read) -> bool,
) {
    if content.rewind().is_err() {
        return;
    }
    let mut content: &mut dyn Read = content;
    while let Ok(Some(mut file)) = zip::read::read_zipfile_from_stream(&mut content) {
        let name = inner(path, file.name_raw());
        if !each(BStr::new(&name), &mut file) || io::copy(&mut file, &mut io::sink()).is_err() {
            return;
        }
    }
}

/// It has no magic: the usual properties, a dictionary's size in its high bytes, and the content's size or none.
fn is_lzma(content: &[u8]) -> bool {
    match content {
        [0x5d, 0, 0, _, 0..=8, size @ ..] => {
            size.get(..8).is_some_and(|size| size == [0xff; 8] || size[5..] == [0; 3])
        }
        _ => false,
    }
}

/// A tar from before POSIX has no magic, but a checksum over its first header.
fn is_old_tar(content: &[u8]) -> bool {
    let Some(header) = content.get(..512) else { return false };
    let field = &header[148..156];
    let digits = field.iter().copied().filter(u8::is_ascii_digit).collect::<Vec<_>>();
    let Some(said) = std::str::from_utf8(&digits).ok().and_then(|d| u32::from_str_radix(d, 8).ok())
    else {
        return false;
    };
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    let own: u32 = field.iter().map(|byte| u32::from(*byte)).sum();
    said != 0 && said == sum - own + 8 * u32::from(b' ')
}
