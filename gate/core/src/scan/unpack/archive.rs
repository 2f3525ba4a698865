//! The kinds of archive that are opened, known by their content and never by their name.

use std::io::{self, Read, Seek};

use bstr::BStr;
use memchr::memmem;

use super::{inner, stem, streams};

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
    Zlib,
    Gzip,
    Bzip2,
    Xz,
    /// What came before xz.
    Lzma,
    /// The same with unusual properties.
    OddLzma,
    Zstd,
    /// None of them, but with compressed streams in it, perhaps: a PDF, a picture with words in it, a pack of git's.
    Streams,
}

/// The tail in which a zip's end record must lie: its comment may be 64 KiB long.
pub(super) const ZIP_TAIL: usize = 22 + 65_535;
/// How many first bytes tell the other kinds.
pub(super) const HEAD: usize = 512;
const AR_MAGIC: &[u8] = b"!<arch>\n";
/// Memory for the dictionary of an xz stream, in KiB; `xz -9` takes 64 MiB.
const XZ_MEMORY: u32 = 80 * 1024;

impl Archive {
    /// Knows archives by their first and last bytes (which may be the same). One content may be several: a zip may stand
    /// behind something else, as in a self-extracting program, and a tar begins with a name.
    pub(super) fn detect(head: &[u8], tail: &[u8]) -> Vec<Self> {
        let by_magic = match head {
            [0x1f, 0x8b, 8, ..] => Some(Self::Gzip),
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, ..] => Some(Self::Bzip2),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            [b'P', b'K', 3, 4, ..] => Some(Self::Zip),
            _ if head.starts_with(AR_MAGIC) => Some(Self::Ar),
            _ => None,
        };
        let is_tar = head.get(257..262) == Some(b"ustar") || is_old_tar(head);
        let is_zip = by_magic != Some(Self::Zip) && ends_as_zip(tail, is_tar);
        let mut found: Vec<Self> = by_magic.into_iter().collect();
        found.extend(is_tar.then_some(Self::Tar));
        found.extend(is_zip.then_some(Self::Zip));
        if by_magic.is_none() {
            found.extend(is_zlib(head).then_some(Self::Zlib));
            found.extend(is_lzma(head));
        }
        if found.is_empty() && streams::may_be_in(head) {
            found.push(Self::Streams);
        }
        found
    }

    /// Whether it may well be something else that begins in the same way.
    pub(super) const fn is_guess(self) -> bool {
        matches!(self, Self::Zlib | Self::OddLzma | Self::Streams)
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
            Self::Lzma | Self::OddLzma => {
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
            Self::Streams => streams::members(path, content, each),
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

/// Whether a zip's end record stands in the tail. Behind a tar it must be the very end: one that lies in the tar is found
/// there.
fn ends_as_zip(tail: &[u8], is_tar: bool) -> bool {
    let tail = &tail[tail.len().saturating_sub(ZIP_TAIL)..];
    let Some(at) = memmem::rfind(tail, b"PK\x05\x06") else { return false };
    let comment =
        tail.get(at + 20..at + 22).map_or(0, |len| usize::from(len[0]) | usize::from(len[1]) << 8);
    !is_tar || at + 22 + comment == tail.len()
}

/// It has no magic: the method in a window of at most 32 KiB, no dictionary, and a check of both.
fn is_zlib(content: &[u8]) -> bool {
    match content {
        [method, flags, ..] => {
            method & 0x8f == 8
                && flags & 0x20 == 0
                && (u16::from(*method) << 8 | u16::from(*flags)) % 31 == 0
        }
        _ => false,
    }
}

/// It has no magic: properties, a dictionary of a round size, and the content's size or none.
fn is_lzma(content: &[u8]) -> Option<Archive> {
    let (&[properties, a, b, c, d], size) = content.split_first_chunk()?;
    let dictionary = u32::from_le_bytes([a, b, c, d]);
    let is_round = dictionary >= 4096 && (dictionary & (dictionary - 1)).count_ones() <= 1;
    let size = size.get(..8)?;
    match (properties, dictionary) {
        _ if size != [0xff; 8] && size[5..] != [0; 3] => None,
        (0x5d, 0..0x0900_0000) if a == 0 && b == 0 => Some(Archive::Lzma),
        (..225, _) if is_round => Some(Archive::OddLzma),
        _ => None,
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
