//! `git://` origins: one TCP connection a conversation (git-daemon(1), gitprotocol-pack "Git Transport").

use gate_core::dial::{Error, ErrorKind, Stream, Words};
use proto::{Service, Version, pktline};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

/// git's own port; another one goes into the `host=` parameter.
const DEFAULT_PORT: u16 = 9418;

/// Connects and sends the request line.
pub(super) async fn dial(
    host: &str,
    port: u16,
    path: &str,
    service: Service,
    version: Version,
) -> Result<Stream, Error> {
    let mut tcp = connect(host, port).await?;
    let sent = tcp.write_all(&request(host, port, path, service, version)).await;
    sent.map_err(|error| Error::new(ErrorKind::Unreachable, error.to_string()))?;
    Ok(Stream { io: Box::new(tcp), words: Words::none() })
}

/// A TCP connection to an origin, without Nagle's delay.
pub(super) async fn connect(host: &str, port: u16) -> Result<TcpStream, Error> {
    let unreachable = |error: std::io::Error| {
        Error::new(ErrorKind::Unreachable, plain(&error)).with_source(error)
    };
    let tcp = TcpStream::connect((host, port)).await.map_err(unreachable)?;
    tcp.set_nodelay(true).map_err(unreachable)?;
    Ok(tcp)
}

/// An I/O error without Rust's `(os error 111)`.
pub(super) fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_ascii_lowercase()
}

fn request(host: &str, port: u16, path: &str, service: Service, version: Version) -> Vec<u8> {
    let name = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let host = match port {
        DEFAULT_PORT => name,
        port => format!("{name}:{port}"),
    };
    let mut line = format!("{service} {path}\0host={host}\0");
    if version > Version::V0 {
        line.push_str(&format!("\0version={}\0", version as u8));
    }
    let mut out = Vec::new();
    pktline::encode(&mut out, line.as_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_line_is_gits_own() {
        let line = request("h", 9418, "/a.git", Service::UploadPack, Version::V2);
        assert_eq!(line, b"002dgit-upload-pack /a.git\0host=h\0\0version=2\0");
        let line = request("::1", 1234, "~me/a", Service::ReceivePack, Version::V0);
        assert_eq!(line, b"002bgit-receive-pack ~me/a\0host=[::1]:1234\0");
    }
}
