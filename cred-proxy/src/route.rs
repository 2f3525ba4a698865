//! Which requests a route takes, and where they go.

use http::{HeaderName, HeaderValue, Method, Uri, uri};

/// One path below which requests go to one upstream with one credential.
#[derive(Debug)]
pub(crate) struct Route {
    /// Begins and ends with a slash.
    pub(crate) path: String,
    pub(crate) scheme: uri::Scheme,
    pub(crate) authority: uri::Authority,
    /// The upstream's own path, without a trailing slash.
    pub(crate) base: String,
    pub(crate) methods: Vec<Method>,
    pub(crate) paths: Option<Vec<String>>,
    /// The header that carries the credential.
    pub(crate) name: HeaderName,
    pub(crate) value: HeaderValue,
}

/// Why a request is not passed on.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("no route begins this path; there are: {0}")]
    NoRoute(String),
    #[error("route {route} does not pass {method}; it passes: {passes}")]
    Method { route: String, method: Method, passes: String },
    #[error("route {route} does not pass this path; it passes what begins with: {passes}")]
    Path { route: String, passes: String },
    #[error("this path holds '..', an empty or an encoded separator: it could leave its route")]
    Escapes,
    #[error("the query shows a credential of its own, `{0}`: cred-proxy adds the route's")]
    Credential(String),
    #[error(
        "cred-proxy does not carry git: fetch and push go through the gate, as git's insteadOf has it"
    )]
    Git,
}

/// Finds the route of a request and the URI it goes to.
///
/// `routes` are sorted, the longest path first.
pub(crate) fn resolve<'a>(
    routes: &'a [Route],
    method: &Method,
    uri: &Uri,
) -> Result<(&'a Route, Uri), Refused> {
    let path = uri.path();
    if escapes(path) {
        return Err(Refused::Escapes);
    }
    if carries_git(path, uri.query()) {
        return Err(Refused::Git);
    }
    if let Some(name) = shows_credential(uri.query()) {
        return Err(Refused::Credential(name));
    }
    let Some((route, rest)) =
        routes.iter().find_map(|route| Some((route, path.strip_prefix(route.path.as_str())?)))
    else {
        return Err(Refused::NoRoute(list(routes.iter().map(|route| route.path.as_str()))));
    };
    if !route.methods.contains(method) {
        let passes = list(route.methods.iter().map(Method::as_str));
        return Err(Refused::Method { route: route.path.clone(), method: method.clone(), passes });
    }
    if let Some(paths) = &route.paths
        && !paths.iter().any(|begin| begins(rest, begin.trim_start_matches('/')))
    {
        let passes = list(paths.iter().map(String::as_str));
        return Err(Refused::Path { route: route.path.clone(), passes });
    }
    let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
    let target = Uri::builder()
        .scheme(route.scheme.clone())
        .authority(route.authority.clone())
        .path_and_query(format!("{}/{rest}{query}", route.base))
        .build()
        .map_err(|_| Refused::Escapes)?;
    Ok((route, target))
}

/// `begin` must end at a separator: `v1/messages` does not let `v1/messages_admin` pass.
fn begins(rest: &str, begin: &str) -> bool {
    rest.strip_prefix(begin).is_some_and(|after| {
        begin.is_empty() || begin.ends_with('/') || after.is_empty() || after.starts_with('/')
    })
}

/// Whether an upstream might read the path as one outside the route: dot segments, empty ones, and separators or dots
/// behind an escape, however often escaped.
fn escapes(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    lower.contains("//")
        || lower.contains('\\')
        || ["%2e", "%2f", "%5c", "%00", "%25"].iter().any(|code| lower.contains(code))
        || lower.split('/').any(|part| matches!(part.split(';').next(), Some("." | "..")))
}

/// The paths of git's smart and dumb HTTP protocols, and of its LFS: a way around the gate.
fn carries_git(path: &str, query: Option<&str>) -> bool {
    let lower = path.to_ascii_lowercase();
    lower.split('/').any(|part| matches!(part, "git-upload-pack" | "git-receive-pack"))
        || lower.ends_with("/info/refs")
        || lower.contains(".git/")
        || lower.contains("/info/lfs")
        || query.is_some_and(|query| {
            let query = query.to_ascii_lowercase();
            query.contains("service=git-")
                || query.contains("git-upload-pack")
                || query.contains("git-receive-pack")
        })
}

/// Query parameters by which APIs take a credential, as the header of that name: an account that is not
/// the operator's would be a way out of an allowed upstream.
fn shows_credential(query: Option<&str>) -> Option<String> {
    const NAMES: [&str; 8] = [
        "access_token",
        "api-key",
        "api_key",
        "apikey",
        "auth_token",
        "job_token",
        "private_token",
        "x-api-key",
    ];
    let names = query?.split(['&', ';']).map(|pair| pair.split('=').next().unwrap_or_default());
    names.map(plain).find(|name| NAMES.contains(&name.as_str()))
}

/// A parameter's name without its escapes, in small letters.
fn plain(name: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = name.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let hex = after.get(..2).filter(|_| first == b'%');
        let code = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(code.unwrap_or(first).to_ascii_lowercase());
        rest = if code.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn list<'a>(items: impl Iterator<Item = &'a str>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes() -> Vec<Route> {
        let route = |path: &str, base: &str, paths: Option<Vec<String>>| Route {
            path: path.into(),
            scheme: uri::Scheme::HTTPS,
            authority: "api.example".parse().unwrap(),
            base: base.into(),
            methods: vec![Method::GET, Method::POST],
            paths,
            name: http::header::AUTHORIZATION,
            value: HeaderValue::from_static("Bearer x"),
        };
        vec![route("/a/only/", "", Some(vec!["/v1/messages".into()])), route("/a/", "/base", None)]
    }

    fn goes_to(uri: &str) -> Result<String, Refused> {
        resolve(&routes(), &Method::GET, &uri.parse().unwrap())
            .map(|(_, target)| target.to_string())
    }

    #[test]
    fn a_path_keeps_what_follows_its_route() {
        assert_eq!(goes_to("/a/x/y?z=1").unwrap(), "https://api.example/base/x/y?z=1");
        assert_eq!(goes_to("/a/").unwrap(), "https://api.example/base/");
        assert_eq!(
            goes_to("/a/only/v1/messages?beta=true").unwrap(),
            "https://api.example/v1/messages?beta=true"
        );
        assert_eq!(
            goes_to("/a/only/v1/messages/count").unwrap(),
            "https://api.example/v1/messages/count"
        );
    }

    #[test]
    fn what_lies_outside_is_refused() {
        assert_eq!(goes_to("/b").unwrap_err(), Refused::NoRoute("/a/only/, /a/".into()));
        assert!(matches!(goes_to("/a/only/v1/messages_admin"), Err(Refused::Path { .. })));
        assert!(matches!(goes_to("/a/only/v2"), Err(Refused::Path { .. })));
        let routes = routes();
        let put = resolve(&routes, &Method::PUT, &"/a/x".parse().unwrap());
        assert_eq!(
            put.unwrap_err().to_string(),
            "route /a/ does not pass PUT; it passes: GET, POST"
        );
    }

    #[test]
    fn no_spelling_leaves_the_route() {
        for path in [
            "/a/../b",
            "/a/./b",
            "/a/%2e%2e/b",
            "/a/%2E./b",
            "/a/x%2f..",
            "/a//b",
            "/a/..;x/b",
            "/a/%252e%252e/b",
            "/a/%5c..",
            "/a/x%00",
        ] {
            assert_eq!(goes_to(path).unwrap_err(), Refused::Escapes, "{path}");
        }
    }

    #[test]
    fn a_query_shows_no_credential_of_its_own() {
        for query in
            ["access_token=x", "a=1&private_token=x", "a;API_KEY=x", "a&%61pi%5Fkey=x", "apikey"]
        {
            assert!(
                matches!(goes_to(&format!("/a/x?{query}")), Err(Refused::Credential(_))),
                "{query}"
            );
        }
        for query in ["beta=true", "token=next-page", "a=access_token", "%", "%6", "%zz=1"] {
            assert!(goes_to(&format!("/a/x?{query}")).is_ok(), "{query}");
        }
    }

    #[test]
    fn git_goes_through_the_gate() {
        for path in [
            "/a/acme/app.git/info/refs?service=git-upload-pack",
            "/a/acme/app/info/refs",
            "/a/app/git-receive-pack",
            "/a/app.git/objects/info/packs",
            "/a/app/GIT-UPLOAD-PACK",
            "/a/x?service=git-receive-pack",
            "/a/app.git/info/lfs/objects/batch",
        ] {
            assert_eq!(goes_to(path).unwrap_err(), Refused::Git, "{path}");
        }
    }
}
