//! Proves that the engine's resolver asks nobody outside.
//!
//! It is told that the only name server is the agent's own loopback. For the time of the test we are
//! that name server: a question that comes to us has gone nowhere else, and we refuse it.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::net;

/// Asks the resolver for a name outside; says how that leaked, if it did.
pub fn leak(resolver: SocketAddr, name: &str, wait: Duration) -> Option<String> {
    let server = match UdpSocket::bind((Ipv4Addr::LOCALHOST, 53)) {
        Ok(server) => server,
        Err(error) => return Some(format!("it cannot be watched: {error}")),
    };
    std::thread::scope(|scope| {
        let answer = scope.spawn(|| net::query(resolver, name, SLOW));
        let came_to_us = refuse_one(&server, name, wait);
        if !came_to_us.unwrap_or(false) {
            // It went nowhere, or elsewhere: then an answer comes in the time of the outside.
            drop(server);
        }
        match answer.join() {
            Ok(Ok(reply)) if has_records(&reply) => {
                Some("it answers with records from outside".to_owned())
            }
            Ok(_) => None,
            Err(_) => Some("the question came to grief".to_owned()),
        }
    })
}

/// Longer than a question to the outside takes.
const SLOW: Duration = Duration::from_millis(1500);

/// Waits for our question and refuses it. Whether it came.
fn refuse_one(server: &UdpSocket, name: &str, wait: Duration) -> std::io::Result<bool> {
    const REFUSED: u8 = 5;
    let until = Instant::now() + wait;
    let asked = &net::question(name)[12..];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        server.set_read_timeout(Some(left))?;
        let mut packet = [0; 1500];
        let Ok((length, from)) = server.recv_from(&mut packet) else { return Ok(false) };
        let question = packet.get(12..12 + asked.len().min(length.saturating_sub(12)));
        if question != Some(asked) {
            continue;
        }
        packet[2] |= 0x80;
        packet[3] = 0x80 | REFUSED;
        server.send_to(&packet[..length], from)?;
        return Ok(true);
    }
}

/// A resolver that went no further answers with an error and no records (RFC 1035, 4.1.1).
fn has_records(reply: &[u8]) -> bool {
    let some = |range| reply.get(range).is_some_and(|count| count != [0, 0]);
    some(6..8) || some(8..10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_records_are_a_leak() {
        let mut reply = vec![0; 12];
        assert!(!has_records(&reply));
        reply[7] = 1;
        assert!(has_records(&reply));
        assert!(!has_records(&[]));
    }
}
