//! Adds and removes one route, by a netlink message (rtnetlink(7)).

use std::io;
use std::net::Ipv4Addr;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// A route to one address by way of another; it is removed when this is dropped.
#[derive(Debug)]
pub struct Route {
    to: Ipv4Addr,
    via: Ipv4Addr,
}

impl Route {
    /// # Errors
    /// The kernel's refusal: it wants `CAP_NET_ADMIN`, and `via` to be a neighbour.
    pub fn add(to: Ipv4Addr, via: Ipv4Addr) -> io::Result<Self> {
        let table = std::fs::read_to_string(TABLE)?;
        // The kernel would find the card by itself; gVisor takes the route without one and never uses it.
        let card = card_to(&table, via)
            .ok_or_else(|| io::Error::other(format!("no network card leads to {via}")))?;
        ask(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, to, via, index_of(card)?)?;
        let route = Self { to, via };
        // A test by a route that is not there would prove nothing.
        if leads(&std::fs::read_to_string(TABLE)?, to, via) {
            return Ok(route);
        }
        Err(io::Error::other("the route was taken, and is not there"))
    }
}

impl Drop for Route {
    fn drop(&mut self) {
        // The probe's end takes the route's only user with it; nothing is left to tell.
        let table = std::fs::read_to_string(TABLE).unwrap_or_default();
        let index = card_to(&table, self.via).map(index_of);
        if let Some(Ok(index)) = index {
            drop(ask(RTM_DELROUTE, 0, self.to, self.via, index));
        }
    }
}

/// The kernel's IPv4 routes, a line each: card, destination, gateway, …, mask; numbers as they lie in memory.
const TABLE: &str = "/proc/net/route";

fn lines(table: &str) -> impl Iterator<Item = (&str, [u32; 3])> {
    table.lines().skip(1).filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| u32::from_str_radix(words.get(at)?, 16).ok().map(u32::from_be);
        // How many bits it has is all that can be believed: gVisor writes a mask that is no whole number of bytes
        // from its wrong end.
        let mask = u32::MAX.checked_shl(32 - number(7)?.count_ones()).unwrap_or(0);
        Some((*words.first()?, [number(1)?, number(2)?, mask]))
    })
}

/// The card on whose own network an address is.
fn card_to(table: &str, address: Ipv4Addr) -> Option<&str> {
    lines(table)
        .filter(|(_, [to, gateway, mask])| {
            *gateway == 0 && *mask != 0 && u32::from(address) & mask == *to
        })
        .max_by_key(|(_, [_, _, mask])| *mask)
        .map(|(card, _)| card)
}

fn leads(table: &str, to: Ipv4Addr, via: Ipv4Addr) -> bool {
    lines(table).any(|(_, numbers)| numbers == [to.into(), via.into(), u32::MAX])
}

fn index_of(card: &str) -> io::Result<u32> {
    let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    Ok(rustix::net::netdevice::name_to_index(socket, card)?)
}

const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_REPLACE: u16 = 0x100;
const NLM_F_CREATE: u16 = 0x400;
const AF_INET: u8 = 2;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_STATIC: u8 = 4;
const RTN_UNICAST: u8 = 1;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;

fn ask(kind: u16, flags: u16, to: Ipv4Addr, via: Ipv4Addr, card: u32) -> io::Result<()> {
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        None, // NETLINK_ROUTE
    )?;
    rustix::net::send(&socket, &message(kind, flags, to, via, card), SendFlags::empty())?;
    let mut reply = [0; 256];
    let (length, _) = rustix::net::recv(&socket, &mut reply, RecvFlags::empty())?;
    let code = reply[..length].get(16..20).and_then(|bytes| bytes.try_into().ok());
    match code.map(i32::from_ne_bytes) {
        Some(0) => Ok(()),
        Some(errno) => Err(io::Error::from_raw_os_error(-errno)),
        None => Err(io::Error::other("the kernel's answer is too short")),
    }
}

fn message(kind: u16, flags: u16, to: Ipv4Addr, via: Ipv4Addr, card: u32) -> Vec<u8> {
    let mut body =
        vec![AF_INET, 32, 0, 0, RT_TABLE_MAIN, RTPROT_STATIC, 0, RTN_UNICAST, 0, 0, 0, 0];
    let attributes =
        [(RTA_DST, to.octets()), (RTA_OIF, card.to_ne_bytes()), (RTA_GATEWAY, via.octets())];
    for (attribute, value) in attributes {
        body.extend_from_slice(&8u16.to_ne_bytes());
        body.extend_from_slice(&attribute.to_ne_bytes());
        body.extend_from_slice(&value);
    }
    let length = 16 + body.len() as u32;
    let mut bytes = Vec::from(length.to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(&(NLM_F_REQUEST | NLM_F_ACK | flags).to_ne_bytes());
    bytes.extend_from_slice(&1u32.to_ne_bytes());
    bytes.extend_from_slice(&0u32.to_ne_bytes());
    bytes.extend_from_slice(&body);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_card_on_whose_network_an_address_is() {
        let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n\
            eth0\t00000000\tC11613C6\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
            eth0\tC01613C6\t00000000\t0001\t0\t0\t0\tF0FFFFFF\t0\t0\t0\n\
            eth0\t077164CB\tC21613C6\t0007\t0\t0\t0\tFFFFFFFF\t0\t0\t0\n";
        let by_gvisor = table.replace("F0FFFFFF", "0FFFFFFF");
        let (via, to) = (Ipv4Addr::new(198, 19, 22, 194), Ipv4Addr::new(203, 100, 113, 7));
        assert_eq!(card_to(table, via), Some("eth0"));
        assert_eq!(card_to(&by_gvisor, via), Some("eth0"));
        assert_eq!(card_to(table, to), None, "the default route leads to no neighbour");
        assert!(leads(table, to, via) && !leads(table, via, to));
        assert!(!leads("", to, via));
    }
}
