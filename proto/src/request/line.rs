//! git://'s request line (gitprotocol-pack, "Git Transport"): one packet, `service path NUL host=… NUL NUL version=… NUL`.

use crate::pktline::{self, Packet};
use crate::{Service, Version};

use super::{Error, Request, shown};

/// Longest request line accepted, in bytes with its length digits.
pub const MAX_REQUEST_LINE: usize = 4096;

/// How the parameter behind the path begins.
const HOST: &[u8] = b"host=";

/// Reads the request line at the start of `input`, with the number of bytes it takes; `None` while bytes are missing.
///
/// # Errors
/// As soon as the length alone is wrong: nothing waits for a line that can't come.
pub fn decode_line(input: &[u8]) -> Result<Option<(Request, usize)>, Error> {
    if announced_length(input).is_some_and(|len| len > MAX_REQUEST_LINE) {
        return Err(Error::Long);
    }
    match pktline::decode(input)? {
        Some((Packet::Data(line), len)) => Ok(Some((parse_line(line)?, len))),
        Some(_) => Err(Error::Empty),
        None => Ok(None),
    }
}

fn announced_length(input: &[u8]) -> Option<usize> {
    let digits = std::str::from_utf8(input.get(..4)?).ok()?;
    usize::from_str_radix(digits, 16).ok()
}

fn parse_line(line: &[u8]) -> Result<Request, Error> {
    let mut parts = line.split(|b| *b == 0);
    let command = parts.next().unwrap_or_default();
    let command = command.strip_suffix(b"\n").unwrap_or(command);
    let (name, path) = match command.iter().position(|b| *b == b' ') {
        Some(space) => (&command[..space], &command[space + 1..]),
        None => (command, &b""[..]),
    };
    let service = Service::parse(name).ok_or_else(|| Error::Service(shown(name)))?;
    if path.is_empty() {
        return Err(Error::NoPath);
    }
    let mut request =
        Request { service, path: path.into(), host: None, version: Version::default() };
    // first the host alone, then, behind an empty one, whatever came to git later (git's daemon.c, parse_host_arg)
    match parts.next().unwrap_or_default() {
        b"" => {}
        host => {
            // git's daemon.c takes the name in any case
            let (name, value) = host.split_at(host.len().min(HOST.len()));
            if !name.eq_ignore_ascii_case(HOST) {
                return Err(Error::Parameter);
            }
            request.host = Some(value.into());
            if parts.next().is_some_and(|between| !between.is_empty()) {
                return Err(Error::Parameter);
            }
        }
    }
    for parameter in parts {
        request.version = request.version.max(Version::from_parameters(parameter));
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &[u8]) -> Result<Request, Error> {
        let mut packet = Vec::new();
        pktline::encode(&mut packet, text);
        for end in 0..packet.len() {
            assert_eq!(decode_line(&packet[..end]), Ok(None), "cut at {end}");
        }
        packet.extend_from_slice(b"0000");
        decode_line(&packet).map(|found| {
            let (request, len) = found.unwrap();
            assert_eq!(len, packet.len() - 4);
            request
        })
    }

    #[test]
    fn reads_what_git_sends() {
        let request =
            line(b"git-upload-pack /acme/app.git\0host=gate:9418\0\0version=2\0").unwrap();
        assert_eq!(request.service, Service::UploadPack);
        assert_eq!(request.path, "/acme/app.git");
        assert_eq!(request.host.unwrap(), "gate:9418");
        assert_eq!(request.version, Version::V2);
    }

    #[test]
    fn host_is_named_in_any_case_and_versions_nobody_knows_are_passed_over() {
        let request = line(b"git-upload-pack /a\0Host=h\0\0version=3\0x=y\0version=1\0\0").unwrap();
        assert_eq!((request.host.unwrap(), request.version), ("h".into(), Version::V1));
        assert_eq!(
            line(b"git-upload-pack /a\0host=h\0\0version=3\0").unwrap().version,
            Version::V0
        );
    }

    #[test]
    fn host_and_version_may_be_missing() {
        let request = line(b"git-receive-pack /a\n").unwrap();
        assert_eq!(request.service, Service::ReceivePack);
        assert_eq!((request.path, request.host), ("/a".into(), None));
        assert_eq!(request.version, Version::V0);
        assert_eq!(
            line(b"git-upload-pack /a\0host=h\0\0version=1\0").unwrap().version,
            Version::V1
        );
    }

    #[test]
    fn refuses_what_is_no_request() {
        let service = |name: &str| Error::Service(name.to_owned());
        for (text, error) in [
            (&b"git-upload-archive /a\0"[..], service("git-upload-archive")),
            (b"\x1b[31m /a", service("\\x1b[31m")),
            (b"", service("")),
            (b"git-upload-pack", Error::NoPath),
            (b"git-upload-pack \0host=h\0", Error::NoPath),
            (b"git-upload-pack /a\0b\0host=h\0", Error::Parameter),
            (b"git-upload-pack /a\0host=h\0b\0", Error::Parameter),
        ] {
            let mut packet = Vec::new();
            pktline::encode(&mut packet, text);
            assert_eq!(decode_line(&packet), Err(error), "{}", text.escape_ascii());
        }
        assert_eq!(decode_line(b"0000"), Err(Error::Empty));
        assert_eq!(decode_line(b"1001"), Err(Error::Long));
        assert!(matches!(decode_line(b"GET / HTTP/1.1"), Err(Error::Packet(_))));
    }
}
