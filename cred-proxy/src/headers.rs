//! Which headers pass, and which the proxy takes away.

use http::header::{self, HeaderMap, HeaderName};

/// Headers that speak to the next hop only (RFC 9110, 7.6.1), besides those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

/// Headers by which a client could show a credential of its own.
const CREDENTIALS: [&str; 12] = [
    "authorization",
    "cookie",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "private-token",
    "job-token",
    "deploy-token",
    "x-auth-token",
    "x-access-token",
    "x-amz-security-token",
    "proxy-connection",
];

/// Headers that some upstreams believe over the request itself: another method or path than the route
/// passes, or another client.
const OVERRIDES: [&str; 7] = [
    "forwarded",
    "x-real-ip",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
];

/// Removes what belongs to one hop.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Removes every credential that came with a request, in whichever header it was shown, and whatever
/// could make another request of it.
pub(crate) fn strip_credentials(headers: &mut HeaderMap) {
    for name in CREDENTIALS.iter().chain(&OVERRIDES) {
        headers.remove(*name);
    }
    let others: Vec<HeaderName> = headers
        .keys()
        .filter(|name| {
            ["x-forwarded-", "x-original-"].iter().any(|begin| name.as_str().starts_with(begin))
        })
        .cloned()
        .collect();
    for name in &others {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn credentials_and_hops_are_gone_and_the_rest_stays() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Bearer agent"),
            ("x-api-key", "placeholder"),
            ("cookie", "a=b"),
            ("connection", "close, X-Mine"),
            ("x-mine", "1"),
            ("te", "trailers"),
            ("proxy-authorization", "Basic x"),
            ("x-forwarded-for", "10.0.0.1"),
            ("upgrade", "h2c"),
            ("x-http-method-override", "DELETE"),
            ("x-original-url", "/admin"),
            ("x-original-host", "elsewhere"),
            ("job-token", "mine"),
            ("accept", "*/*"),
            ("anthropic-version", "2023-06-01"),
        ] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        strip_hop_by_hop(&mut headers);
        strip_credentials(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "anthropic-version"]);
    }
}
