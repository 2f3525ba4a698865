//! Asks whether an address answers, in the plainest way.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

/// Tries to connect. Says what came back, if anything did; being refused means the host was reached.
pub fn tcp_answer(address: SocketAddr, wait: Duration) -> Option<&'static str> {
    match TcpStream::connect_timeout(&address, wait) {
        Ok(_) => Some("it accepts connections"),
        Err(error) => refusal(&error),
    }
}

/// Sends a DNS query. Says what came back, if anything did.
pub fn dns_answer(address: SocketAddr, name: &str, wait: Duration) -> Option<&'static str> {
    match query(address, name, wait) {
        Ok(_) => Some("it answers DNS"),
        Err(error) => refusal(&error),
    }
}

/// GETs a path and hands back the answer from its status line on, when it is a 200.
///
/// # Errors
/// What went wrong, also when the status is another.
pub fn http_get(address: SocketAddr, path: &str, wait: Duration) -> io::Result<String> {
    const LONGEST: u64 = 64 * 1024;
    let mut stream = TcpStream::connect_timeout(&address, wait)?;
    stream.set_read_timeout(Some(wait))?;
    stream.set_write_timeout(Some(wait))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut bytes = Vec::new();
    stream.take(LONGEST).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let status = text.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) == Some("200") {
        return Ok(text);
    }
    Err(io::Error::other(format!("it answers '{status}'")))
}

fn refusal(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        ErrorKind::ConnectionRefused => Some("it is reached, and refuses"),
        ErrorKind::ConnectionReset => Some("it is reached, and resets"),
        _ => None,
    }
}

pub(super) fn query(address: SocketAddr, name: &str, wait: Duration) -> io::Result<Vec<u8>> {
    let from: SocketAddr = match address {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0u16; 8], 0).into(),
    };
    let socket = UdpSocket::bind(from)?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(wait))?;
    socket.send(&question(name))?;
    let mut reply = vec![0; 1500];
    let length = socket.recv(&mut reply)?;
    reply.truncate(length);
    Ok(reply)
}

/// A query for the A record (RFC 1035, 4.1), recursion desired.
pub(super) fn question(name: &str) -> Vec<u8> {
    let mut bytes = vec![0xb0, 0x77, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.').filter(|label| (1..=63).contains(&label.len())) {
        bytes.push(label.len() as u8);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.extend_from_slice(&[0, 0, 1, 0, 1]);
    bytes
}
