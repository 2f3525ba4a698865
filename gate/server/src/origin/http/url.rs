//! Where a repository lies on its host, and where the host says it has moved.

use gate_core::dial::{Error, ErrorKind};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, Uri, header};

/// A repository's URL, without a trailing slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Base {
    scheme: Scheme,
    authority: Authority,
    path: String,
}

impl Base {
    pub(super) fn new(tls: bool, host: &str, port: u16, path: &str) -> Result<Self, Error> {
        let scheme = if tls { Scheme::HTTPS } else { Scheme::HTTP };
        let name = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let authority = match (tls, port) {
            (true, 443) | (false, 80) => name,
            _ => format!("{name}:{port}"),
        };
        let authority = Authority::try_from(authority).map_err(|error| {
            Error::new(ErrorKind::Unreachable, "its URL can't be used").with_source(error)
        })?;
        Ok(Self { scheme, authority, path: path.trim_end_matches('/').to_owned() })
    }

    /// The URL of something below the repository.
    pub(super) fn join(&self, rest: &str) -> Result<Uri, Error> {
        Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(format!("{}{rest}", self.path))
            .build()
            .map_err(|error| {
                Error::new(ErrorKind::Unreachable, "its URL can't be used").with_source(error)
            })
    }

    /// Where a redirect of `rest` moves the repository: elsewhere on the same host, or from http to https there.
    ///
    /// # Errors
    /// Another host, which would be sent the credential; or a place that is not that of `rest`.
    pub(super) fn redirected(&self, headers: &HeaderMap, rest: &str) -> Result<Self, Error> {
        let garbage = |words: &str| Error::new(ErrorKind::Garbage, words);
        let location = headers
            .get(header::LOCATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.parse::<Uri>().ok())
            .ok_or_else(|| garbage("it redirects to nowhere"))?;
        let scheme = location.scheme().unwrap_or(&self.scheme).clone();
        let authority = location.authority().unwrap_or(&self.authority).clone();
        let same_place = scheme == self.scheme
            && port(&scheme, &authority) == port(&self.scheme, &self.authority);
        let upgrade = self.scheme == Scheme::HTTP
            && scheme == Scheme::HTTPS
            && port(&scheme, &authority) == Some(443)
            && port(&self.scheme, &self.authority) == Some(80);
        let same_host = authority.host().eq_ignore_ascii_case(self.authority.host());
        if !same_host || !(same_place || upgrade) || authority.as_str().contains('@') {
            let words = format!("it redirects to another host: {}", authority.host());
            return Err(Error::new(ErrorKind::Refused, words));
        }
        let target = location.path_and_query().map_or("", |path| path.as_str());
        let path = target
            .strip_suffix(rest)
            .ok_or_else(|| garbage("it redirects to what is no repository"))?;
        Ok(Self { scheme, authority, path: path.to_owned() })
    }
}

fn port(scheme: &Scheme, authority: &Authority) -> Option<u16> {
    authority.port_u16().or(if *scheme == Scheme::HTTPS { Some(443) } else { Some(80) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: &str = "/info/refs?service=git-upload-pack";

    fn redirect(from: &Base, to: &str) -> Result<String, String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::LOCATION, to.parse().unwrap());
        let base = from.redirected(&headers, REST).map_err(|error| error.to_string())?;
        Ok(base.join("/x").unwrap().to_string())
    }

    #[test]
    fn joins_paths_and_names_a_port_only_where_needed() {
        let base = Base::new(true, "h", 443, "/a/b.git/").unwrap();
        assert_eq!(base.join(REST).unwrap().to_string(), format!("https://h/a/b.git{REST}"));
        let base = Base::new(false, "::1", 8080, "/a").unwrap();
        assert_eq!(base.join("/x").unwrap().to_string(), "http://[::1]:8080/a/x");
    }

    #[test]
    fn follows_redirects_on_the_same_host_only() {
        let http = Base::new(false, "h", 80, "/a").unwrap();
        let https = Base::new(true, "h", 443, "/a").unwrap();
        assert_eq!(redirect(&https, &format!("/b.git{REST}")).unwrap(), "https://h/b.git/x");
        assert_eq!(redirect(&http, &format!("https://H/a{REST}")).unwrap(), "https://H/a/x");
        for elsewhere in [
            format!("https://evil/a{REST}"),
            format!("http://h/a{REST}"),
            format!("https://h:8443/a{REST}"),
            format!("https://me@h/a{REST}"),
        ] {
            let error = redirect(&https, &elsewhere).unwrap_err();
            assert!(error.contains("another host"), "{elsewhere}: {error}");
        }
        assert!(redirect(&https, "/login").is_err());
    }
}
