//! What names a host.

/// Labels of letters, digits, `-` and `_`, with dots between them (RFC 1123, 2.1, and the `_` that DNS allows); an IPv4
/// address is one too.
pub(super) fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    text.len() <= 253 && text.split('.').all(label)
}
