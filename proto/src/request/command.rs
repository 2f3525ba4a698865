//! ssh's command: `git-upload-pack '/acme/app.git'`, quoted as git's `sq_quote_buf` does.

use bstr::BString;

use crate::Service;

use super::{Error, shown};

/// Reads the command that an ssh client wants run: `git-upload-pack PATH` or `git upload-pack PATH`, quoted or bare.
///
/// # Errors
/// Any other command, and any second argument.
pub fn parse_command(command: &[u8]) -> Result<(Service, BString), Error> {
    let command = command.trim_ascii();
    let (name, rest) = cut_word(command);
    let (service, rest) = if name == b"git" {
        let (name, rest) = cut_word(rest);
        (Service::parse(&[b"git-", name].concat()), rest)
    } else {
        (Service::parse(name), rest)
    };
    let service = service.ok_or_else(|| Error::Service(shown(command)))?;
    let path = unquote(rest)?;
    if path.is_empty() { Err(Error::NoPath) } else { Ok((service, path)) }
}

fn cut_word(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|b| *b == b' ').unwrap_or(text.len());
    (&text[..end], text[end..].trim_ascii_start())
}

/// Takes one shell word: single-quoted parts, and bare bytes that no shell would read in another way; `\'` and `\!`
/// between quotes as `sq_quote_buf` writes them.
fn unquote(word: &[u8]) -> Result<BString, Error> {
    let mut path = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((first, tail)) = rest.split_first() {
        rest = match first {
            b'\'' => {
                let end = tail.iter().position(|b| *b == b'\'').ok_or(Error::Quoting)?;
                path.extend_from_slice(&tail[..end]);
                &tail[end + 1..]
            }
            b'\\' => {
                let (escaped, tail) = tail.split_first().ok_or(Error::Quoting)?;
                if !b"'!".contains(escaped) {
                    return Err(Error::Quoting);
                }
                path.push(*escaped);
                tail
            }
            bare if is_bare(*bare) => {
                path.push(*bare);
                tail
            }
            _ => return Err(Error::Quoting),
        };
    }
    Ok(path.into())
}

fn is_bare(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/-_.+@:~%,=".contains(&byte) || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unquotes_as_a_shell_would() {
        for (command, path) in [
            (&b"git-upload-pack '/acme/app.git'"[..], "/acme/app.git"),
            (b"git upload-pack '/a'", "/a"),
            (b"git-upload-pack /a/b.git", "/a/b.git"),
            (b"git-upload-pack 'it'\\''s'\\!''", "it's!"),
            (b" git-upload-pack  'a b' ", "a b"),
        ] {
            let (service, got) = parse_command(command).unwrap();
            assert_eq!((service, got), (Service::UploadPack, path.into()));
        }
        assert_eq!(parse_command(b"git-receive-pack 'x'").unwrap().0, Service::ReceivePack);
    }

    #[test]
    fn refuses_every_other_command() {
        for command in
            [&b"sh"[..], b"", b"git", b"git gc", b"git-shell 'a'", b"git-upload-pack2 'a'"]
        {
            assert!(
                matches!(parse_command(command), Err(Error::Service(_))),
                "{}",
                command.escape_ascii()
            );
        }
        for (command, error) in [
            (&b"git-upload-pack"[..], Error::NoPath),
            (b"git-upload-pack ''", Error::NoPath),
            (b"git-upload-pack 'a", Error::Quoting),
            (b"git-upload-pack 'a' 'b'", Error::Quoting),
            (b"git-upload-pack a;id", Error::Quoting),
            (b"git-upload-pack a\\", Error::Quoting),
            (b"git-upload-pack \"a\"", Error::Quoting),
            (b"git-upload-pack $(id)", Error::Quoting),
        ] {
            assert_eq!(parse_command(command), Err(error), "{}", command.escape_ascii());
        }
    }
}
