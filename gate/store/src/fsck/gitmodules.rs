//! `.gitmodules`: names, URLs and paths that would make a recursive clone write or run what it should not.

use bstr::{BString, ByteSlice};

use super::Broken;
use crate::Kind;

pub(super) fn check(kind: Kind, bytes: &[u8]) -> Result<(), Broken> {
    if kind != Kind::Blob {
        return Err(("gitmodulesBlob", "'.gitmodules' is not a file"));
    }
    let mut checked = Ok(());
    settings(bytes, &mut |module, key, value| {
        if checked.is_ok() {
            checked = check_setting(module, key, value);
        }
    });
    checked
}

fn check_setting(module: &[u8], key: &[u8], value: Option<&[u8]>) -> Result<(), Broken> {
    let parts = || module.split(|byte| *byte == b'/' || *byte == b'\\');
    if module.is_empty() || parts().any(|part| part == b"..") {
        return Err(("gitmodulesName", "a submodule's name leads out of its directory"));
    }
    let Some(value) = value else { return Ok(()) };
    match key {
        b"url" if !is_url_good(value) => {
            Err(("gitmodulesUrl", "a submodule's URL is not one to follow"))
        }
        b"path" if value.starts_with(b"-") => {
            Err(("gitmodulesPath", "a submodule's path looks like an option"))
        }
        b"update" if value.starts_with(b"!") => {
            Err(("gitmodulesUpdate", "a submodule's update runs a command"))
        }
        _ => Ok(()),
    }
}

fn is_url_good(url: &[u8]) -> bool {
    if url.starts_with(b"-") {
        return false;
    }
    if url.starts_with(b"./") || url.starts_with(b"../") || url.starts_with(b"git://") {
        // Appended to an http URL, it could put a new line into a credential request (CVE-2020-5260), or climb
        // until it replaces the host (CVE-2020-11008).
        return !decode(url).contains(&b'\n') && !replaces_host(url);
    }
    match curl_url(url) {
        Some(rest) => has_host(rest) && !decode(url).contains(&b'\n'),
        None => true,
    }
}

/// Whether a relative URL climbs and then goes on with what would end a host.
fn replaces_host(url: &[u8]) -> bool {
    let mut rest = url;
    let mut climbs = false;
    loop {
        if let Some(after) = rest.strip_prefix(b"../") {
            climbs = true;
            rest = after;
        } else if let Some(after) = rest.strip_prefix(b"./") {
            rest = after;
        } else {
            return climbs && matches!(rest.first(), Some(b':' | b'/'));
        }
    }
}

/// What follows the scheme, if git would hand the URL to curl.
fn curl_url(url: &[u8]) -> Option<&[u8]> {
    for scheme in ["http", "https", "ftp", "ftps"] {
        let Some(rest) = url.strip_prefix(scheme.as_bytes()) else { continue };
        if let Some(inner) = rest.strip_prefix(b"::") {
            return Some(inner.find("://").map_or(b"", |at| &inner[at + 3..]));
        }
        if let Some(rest) = rest.strip_prefix(b"://") {
            return Some(rest);
        }
    }
    None
}

fn has_host(rest: &[u8]) -> bool {
    let authority = rest.split(|byte| b"/?#".contains(byte)).next().unwrap_or_default();
    let host = authority.rsplit(|byte| *byte == b'@').next().unwrap_or_default();
    !host.is_empty()
}

/// `%xx` replaced by what it stands for.
fn decode(url: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(url.len());
    let mut rest = url;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let coded = after.get(..2).filter(|_| byte == b'%').and_then(|hex| hex.to_str().ok());
        match coded.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &after[2..];
            }
            None => out.push(byte),
        }
    }
    out
}

/// Tells `(submodule, key, value)` of each setting, in git-config(1) syntax; gives up where git would.
fn settings(bytes: &[u8], tell: &mut impl FnMut(&[u8], &[u8], Option<&[u8]>)) {
    let mut module: Option<BString> = None;
    let mut rest = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    loop {
        rest = rest.trim_start();
        match rest.first() {
            None => return,
            Some(b'#' | b';') => rest = after_line(rest),
            Some(b'[') => match section(&rest[1..]) {
                Some((name, after)) => (module, rest) = (name, after),
                None => return,
            },
            Some(byte) if byte.is_ascii_alphabetic() => {
                let end = rest.find_not_byteset(KEY).unwrap_or(rest.len());
                let key = rest[..end].to_ascii_lowercase();
                let rest_of_line = rest[end..].trim_start_with(|c| c == ' ' || c == '\t');
                let Some((value, after)) = value(rest_of_line) else { return };
                if let Some(module) = &module {
                    tell(module, &key, value.as_deref());
                }
                rest = after;
            }
            Some(_) => return,
        }
    }
}

const KEY: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-";

fn after_line(rest: &[u8]) -> &[u8] {
    rest.find_byte(b'\n').map_or(b"", |at| &rest[at + 1..])
}

/// The submodule a section header names, if it names one, and what follows the header.
fn section(rest: &[u8]) -> Option<(Option<BString>, &[u8])> {
    let end = rest.find_byteset(b" \t]\n")?;
    let section = rest[..end].to_ascii_lowercase();
    let is_submodule = section == b"submodule";
    let mut rest = rest[end..].trim_start_with(|c| c == ' ' || c == '\t');
    let Some(quoted) = rest.strip_prefix(b"\"") else {
        // the old way to write `[submodule "name"]`
        let name = section.strip_prefix(b"submodule.").map(BString::from);
        return Some((name, rest.strip_prefix(b"]")?));
    };
    rest = quoted;
    let mut name = BString::default();
    loop {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        match byte {
            b'"' => break,
            b'\n' => return None,
            b'\\' => {
                let (&escaped, after) = rest.split_first()?;
                name.push(escaped);
                rest = after;
            }
            _ => name.push(byte),
        }
    }
    Some((is_submodule.then_some(name), rest.strip_prefix(b"]")?))
}

/// A value with its quotes and escapes resolved, and what follows its line; `None` where a quote is left open.
fn value(rest: &[u8]) -> Option<(Option<Vec<u8>>, &[u8])> {
    let Some(mut rest) = rest.strip_prefix(b"=") else { return Some((None, after_line(rest))) };
    rest = rest.trim_start_with(|c| c == ' ' || c == '\t');
    let (mut out, mut quoted, mut kept) = (Vec::new(), false, 0);
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'\n' if quoted => return None,
            b'\n' => break,
            b'#' | b';' if !quoted => {
                rest = after_line(rest);
                break;
            }
            b'"' => {
                quoted = !quoted;
                kept = out.len();
            }
            b'\\' => {
                let Some((&escaped, after)) = rest.split_first() else { break };
                rest = after;
                match escaped {
                    b'\n' => {}
                    b'n' => out.push(b'\n'),
                    b't' => out.push(b'\t'),
                    b'b' => out.push(8),
                    other => out.push(other),
                }
                kept = out.len();
            }
            _ => {
                out.push(byte);
                if quoted || !byte.is_ascii_whitespace() {
                    kept = out.len();
                }
            }
        }
    }
    out.truncate(kept);
    (!quoted).then_some((Some(out), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Option<&'static str> {
        check(Kind::Blob, text.as_bytes()).err().map(|(rule, _)| rule)
    }

    #[test]
    fn lets_ordinary_submodules_pass() {
        for url in [
            "https://example.com/a.git",
            "../a.git",
            "git@host:a",
            "ssh://host/a",
            "/local/path",
            "git://host/a",
            "./a",
        ] {
            let text =
                format!("# x\n[submodule \"a/b\"]\n\tpath = lib/a\n\turl = {url}\n\tupdate=rebase");
            assert_eq!(rule(&text), None, "{url}");
        }
        assert_eq!(rule("[core]\n\turl = -x\n"), None);
        assert_eq!(rule("garbage ] ["), None);
    }

    #[test]
    fn refuses_what_git_refuses() {
        for (text, expected) in [
            ("[submodule \"..\"]\n\tpath = x", "gitmodulesName"),
            ("[submodule \"a/../b\"]\npath = x", "gitmodulesName"),
            ("[submodule \"a\\\\..\\\\b\"]\npath = x", "gitmodulesName"),
            ("[submodule \"a\"]\nurl = -upload-pack", "gitmodulesUrl"),
            ("[submodule \"a\"]\nurl = \"-x\" # c", "gitmodulesUrl"),
            ("[submodule \"a\"] url = --x\n", "gitmodulesUrl"),
            ("[Submodule \"a\"]\nURL = \\\n-x", "gitmodulesUrl"),
            ("[submodule \"a\"]\nurl = https:///x", "gitmodulesUrl"),
            ("[submodule \"a\"]\nurl = https://h/%0ax", "gitmodulesUrl"),
            ("[submodule \"a\"]\nurl = ../../:x", "gitmodulesUrl"),
            ("[submodule \"a\"]\nurl = ./%0ahost=x", "gitmodulesUrl"),
            ("[submodule \"a\"]\nurl = http::-x", "gitmodulesUrl"),
            ("[submodule \"a\"]\npath = -x", "gitmodulesPath"),
            ("[submodule \"a\"]\nupdate = !rm", "gitmodulesUpdate"),
        ] {
            assert_eq!(rule(text), Some(expected), "{text:?}");
        }
    }
}
