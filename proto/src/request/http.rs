//! HTTP's target (gitprotocol-http): which part of which service an URL's path and query stand for.

use crate::Service;

/// What the target of an HTTP request asks for. Paths lack their leading slash and are not percent-decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// `/PATH/info/refs?service=git-…`
    Advertisement { service: Service, path: &'a str },
    /// `/PATH/git-upload-pack`, `/PATH/git-receive-pack`
    Rpc { service: Service, path: &'a str },
    /// A file of the dumb protocol: `/PATH/HEAD`, `/PATH/objects/…`, `/PATH/info/refs` without a service.
    Dumb,
    /// `info/refs` for a service that does not exist.
    UnknownService,
    /// A request to git LFS's own server (`/PATH/info/lfs/…`), which clients with LFS look for beside the repository.
    Lfs,
    /// Nothing of git's.
    Other,
}

/// Tells what `path` and `query` of a request's target stand for.
pub fn parse_target<'a>(path: &'a str, query: Option<&str>) -> Target<'a> {
    let path = path.strip_prefix('/').unwrap_or(path);
    if let Some(path) = path.strip_suffix("/info/refs") {
        return advertisement(path, query);
    }
    match path.rsplit_once('/') {
        Some((path, "git-upload-pack")) => Target::Rpc { service: Service::UploadPack, path },
        Some((path, "git-receive-pack")) => Target::Rpc { service: Service::ReceivePack, path },
        Some((_, "HEAD")) => Target::Dumb,
        _ if ["/objects/info/", "/objects/pack/"].iter().any(|part| path.contains(part)) => {
            Target::Dumb
        }
        _ if is_loose_object(path) => Target::Dumb,
        _ if path.contains("/info/lfs/") => Target::Lfs,
        _ => Target::Other,
    }
}

fn advertisement<'a>(path: &'a str, query: Option<&str>) -> Target<'a> {
    let service = query
        .unwrap_or_default()
        .split('&')
        .find_map(|parameter| parameter.strip_prefix("service="));
    match service {
        None => Target::Dumb,
        Some(name) => Service::parse(name.as_bytes())
            .map_or(Target::UnknownService, |service| Target::Advertisement { service, path }),
    }
}

fn is_loose_object(path: &str) -> bool {
    let mut parts = path.rsplit('/');
    let (name, folder, objects) = (parts.next(), parts.next(), parts.next());
    let hex = |part: Option<&str>| {
        part.filter(|p| p.bytes().all(|b| b.is_ascii_hexdigit())).map_or(0, str::len)
    };
    objects == Some("objects") && hex(folder) == 2 && matches!(hex(name), 38 | 62)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_targets_of_git_apart() {
        let service = Service::UploadPack;
        let path = "acme/app.git";
        for (target, query, expected) in [
            (
                "/acme/app.git/info/refs",
                Some("service=git-upload-pack"),
                Target::Advertisement { service, path },
            ),
            (
                "/acme/app.git/info/refs",
                Some("a=b&service=git-upload-pack"),
                Target::Advertisement { service, path },
            ),
            ("/acme/app.git/git-upload-pack", None, Target::Rpc { service, path }),
            (
                "/acme/app.git/git-receive-pack",
                None,
                Target::Rpc { service: Service::ReceivePack, path },
            ),
            ("/acme/app.git/info/refs", None, Target::Dumb),
            ("/acme/app.git/info/refs", Some("service=git-gc"), Target::UnknownService),
            ("/acme/app.git/HEAD", None, Target::Dumb),
            ("/a/objects/info/packs", None, Target::Dumb),
            ("/a/objects/0a/0123456789012345678901234567890123456789", None, Target::Other),
            ("/a/objects/0a/01234567890123456789012345678901234567", None, Target::Dumb),
            ("/acme/app.git/info/lfs/objects/batch", None, Target::Lfs),
            ("/acme/app/info/lfs/locks", Some("path=a"), Target::Lfs),
            ("/info/lfs", None, Target::Other),
            ("/healthz", None, Target::Other),
            ("/git-upload-pack", None, Target::Other),
            ("", None, Target::Other),
        ] {
            assert_eq!(parse_target(target, query), expected, "{target}");
        }
    }
}
