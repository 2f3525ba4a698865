//! Bytes as they go over the wire, for clients and origins that no real program would play.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// One pkt-line.
pub(crate) fn line(text: impl AsRef<[u8]>) -> Vec<u8> {
    let text = text.as_ref();
    let mut packet = format!("{:04x}", text.len() + 4).into_bytes();
    packet.extend_from_slice(text);
    packet
}

/// A git:// request line.
pub(crate) fn request(service: &str, path: &str, version: u8) -> Vec<u8> {
    let extra = if version == 0 { String::new() } else { format!("\0version={version}\0") };
    line(format!("{service} /{path}\0host=gate\0{extra}"))
}

/// A raw connection whose reads end after twenty seconds, so that a hang is a failure and not a hang.
pub(crate) fn connect(addr: &str) -> TcpStream {
    let stream = TcpStream::connect(addr).expect("connect to the gate");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set a deadline");
    stream.set_write_timeout(Some(Duration::from_secs(20))).expect("set a deadline");
    stream
}

/// Sends bytes and reads to the end of the connection.
pub(crate) fn exchange(addr: &str, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(addr);
    // A server that has said its refusal may close before it has read all of this.
    if let Err(e) = stream.write_all(bytes) {
        assert!(matches!(e.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{e}");
    }
    drain(&mut stream)
}

/// Reads until the other side closes; that it does is part of the test.
pub(crate) fn drain(stream: &mut TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(e) if e.kind() == ErrorKind::ConnectionReset => {}
        Err(e) => panic!("the connection was not closed: {e}; so far: {}", answer.escape_ascii()),
    }
    answer
}

/// Reads one packet: its payload, or nothing for flush, delimiter and end.
pub(crate) fn read(stream: &mut impl Read) -> std::io::Result<Option<Vec<u8>>> {
    let mut head = [0; 4];
    stream.read_exact(&mut head)?;
    let length =
        std::str::from_utf8(&head).ok().and_then(|hex| usize::from_str_radix(hex, 16).ok());
    match length.ok_or(ErrorKind::InvalidData)? {
        0..=2 => Ok(None),
        3 => Err(ErrorKind::InvalidData.into()),
        length => {
            let mut payload = vec![0; length - 4];
            stream.read_exact(&mut payload)?;
            Ok(Some(payload))
        }
    }
}

/// Reads packets up to a flush.
pub(crate) fn read_section(stream: &mut impl Read) -> std::io::Result<Vec<Vec<u8>>> {
    let mut section = Vec::new();
    while let Some(packet) = read(stream)? {
        section.push(packet);
    }
    Ok(section)
}
