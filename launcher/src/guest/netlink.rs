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
        ask(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, to, via)?;
        Ok(Self { to, via })
    }
}

impl Drop for Route {
    fn drop(&mut self) {
        // The probe's end takes the route's only user with it; nothing is left to tell.
        drop(ask(RTM_DELROUTE, 0, self.to, self.via));
    }
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
const RTA_GATEWAY: u16 = 5;

fn ask(kind: u16, flags: u16, to: Ipv4Addr, via: Ipv4Addr) -> io::Result<()> {
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        None, // NETLINK_ROUTE
    )?;
    rustix::net::send(&socket, &message(kind, flags, to, via), SendFlags::empty())?;
    let mut reply = [0; 256];
    let (length, _) = rustix::net::recv(&socket, &mut reply, RecvFlags::empty())?;
    let code = reply[..length].get(16..20).and_then(|bytes| bytes.try_into().ok());
    match code.map(i32::from_ne_bytes) {
        Some(0) => Ok(()),
        Some(errno) => Err(io::Error::from_raw_os_error(-errno)),
        None => Err(io::Error::other("the kernel's answer is too short")),
    }
}

fn message(kind: u16, flags: u16, to: Ipv4Addr, via: Ipv4Addr) -> Vec<u8> {
    let mut body =
        vec![AF_INET, 32, 0, 0, RT_TABLE_MAIN, RTPROT_STATIC, 0, RTN_UNICAST, 0, 0, 0, 0];
    for (attribute, address) in [(RTA_DST, to), (RTA_GATEWAY, via)] {
        body.extend_from_slice(&8u16.to_ne_bytes());
        body.extend_from_slice(&attribute.to_ne_bytes());
        body.extend_from_slice(&address.octets());
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
