//! Proves that a sidecar passes no packet on that is only addressed to its network card.
//!
//! A packet for an outside address is handed to the sidecar with one hop left to live. A host that
//! routes says so by an ICMP error that quotes the packet; one that does not is silent. That errors
//! would be heard is shown first, with a packet to a closed port of the sidecar itself.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, ipproto};

use super::netlink::Route;

/// Why it is not proved.
#[derive(Debug, thiserror::Error)]
pub enum NotProved {
    #[error("it routes: a packet for {to} was taken on")]
    Routes { to: Ipv4Addr },
    #[error("the test itself does not work here: {what}")]
    Test {
        what: &'static str,
        #[source]
        source: Option<io::Error>,
    },
}

/// Wants `CAP_NET_RAW` and `CAP_NET_ADMIN` in the network namespace it is called in.
///
/// # Errors
/// [`NotProved`]; silence is the proof, so a test that cannot hear is no proof either.
pub fn prove_silent(sidecar: Ipv4Addr, to: &[Ipv4Addr], wait: Duration) -> Result<(), NotProved> {
    let broken = |what| move |source| NotProved::Test { what, source: Some(source) };
    let ear = Ear::open().map_err(broken("no raw socket"))?;
    send(sidecar, 64).map_err(broken("cannot send to the sidecar"))?;
    if !ear.hears(sidecar, sidecar, PATIENCE).map_err(broken("cannot listen"))? {
        return Err(NotProved::Test {
            what: "no ICMP error comes back from the sidecar",
            source: None,
        });
    }
    for &to in to {
        let route = Route::add(to, sidecar).map_err(broken("no route can be added"))?;
        send(to, 1).map_err(broken("cannot send by way of the sidecar"))?;
        let heard = ear.hears(sidecar, to, wait).map_err(broken("cannot listen"))?;
        drop(route);
        if heard {
            return Err(NotProved::Routes { to });
        }
    }
    Ok(())
}

/// Ends with the answer that has to come; on a busy machine it may come late.
const PATIENCE: Duration = Duration::from_secs(2);

/// RFC 863 gave this port to services that throw everything away; nobody runs one.
const DISCARD: u16 = 9;

fn send(to: Ipv4Addr, hops: u32) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_ttl(hops)?;
    socket.send_to(b"bottle self-test", (to, DISCARD)).map(|_| ())
}

/// Hears every ICMP message that reaches this network namespace.
struct Ear(OwnedFd);

impl Ear {
    fn open() -> io::Result<Self> {
        let socket = rustix::net::socket_with(
            AddressFamily::INET,
            SocketType::RAW,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            Some(ipproto::ICMP),
        )?;
        Ok(Self(socket))
    }

    /// Whether an ICMP error about a packet to `quoted` comes from `from` within the wait.
    fn hears(&self, from: Ipv4Addr, quoted: Ipv4Addr, wait: Duration) -> io::Result<bool> {
        let until = Instant::now() + wait;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            let left =
                Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
            if rustix::event::poll(&mut fds, Some(&left))? == 0 {
                return Ok(false);
            }
            let mut packet = [0; 1500];
            let (length, _) = rustix::net::recv(&self.0, &mut packet, RecvFlags::empty())?;
            if is_error_about(&packet[..length], from, quoted) {
                return Ok(true);
            }
        }
    }
}

/// RFC 792: an IP header, type 3, 5, 11 or 12, and behind eight bytes the header of the packet meant.
fn is_error_about(packet: &[u8], from: Ipv4Addr, quoted: Ipv4Addr) -> bool {
    const ERRORS: [u8; 4] = [3, 5, 11, 12];
    let header = usize::from(packet.first().copied().unwrap_or(0) & 0xf) * 4;
    let source = packet.get(12..16);
    let kind = packet.get(header).copied();
    let about = packet.get(header + 8 + 16..header + 8 + 20);
    source == Some(&from.octets())
        && kind.is_some_and(|kind| ERRORS.contains(&kind))
        && about == Some(&quoted.octets())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_only_errors_that_quote_the_packet() {
        let (from, to) = (Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::new(198, 51, 100, 7));
        let mut packet = vec![0; 20 + 8 + 20];
        packet[0] = 0x45;
        packet[12..16].copy_from_slice(&from.octets());
        packet[20] = 11;
        packet[44..48].copy_from_slice(&to.octets());
        assert!(is_error_about(&packet, from, to));
        assert!(!is_error_about(&packet, to, to));
        assert!(!is_error_about(&packet, from, from));
        packet[20] = 0;
        assert!(!is_error_about(&packet, from, to));
        for length in 0..packet.len() {
            assert!(!is_error_about(&packet[..length], from, to));
        }
    }
}
