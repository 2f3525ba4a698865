//! What a plan depends on besides the manifest, gathered by reading alone.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use super::bundle::Bundle;
use super::subnet::Subnet;
use crate::names::Role;

/// Everything about the host and its engine that a plan depends on.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Subnets that something else uses: the engine's networks and the host's routes.
    pub taken: Vec<Subnet>,
    /// The engine knows `gateway_mode_ipv4=isolated`.
    pub isolated_gateway: bool,
    /// Images that can be assembled here.
    pub bundles: BTreeMap<Role, Bundle>,
    /// The static program that is copied into the agent.
    pub guest: Option<PathBuf>,
    /// The host's own addresses, its bridges' among them.
    pub host_addresses: Vec<IpAddr>,
    /// The host's routers.
    pub routers: Vec<IpAddr>,
    /// Processors the engine has; it refuses a container that may use more.
    pub cpus: Option<f64>,
    /// Addresses of other bottles' containers.
    pub other_bottles: Vec<IpAddr>,
}

/// The local IPv4 addresses in /proc/net/fib_trie: the line before `/32 host LOCAL` has the address.
pub fn local_addresses(fib_trie: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    let mut last = None;
    for line in fib_trie.lines() {
        if let Some(address) = line.trim_start().strip_prefix("|-- ") {
            last = address.trim().parse::<Ipv4Addr>().ok();
        } else if line.contains("/32 host LOCAL") {
            found.extend(last.filter(|address| !address.is_loopback()).map(IpAddr::V4));
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// The routed subnets and the routers in /proc/net/route; numbers there are in the host's byte order.
pub fn routes(table: &str) -> (Vec<Subnet>, Vec<IpAddr>) {
    let (mut subnets, mut routers) = (Vec::new(), Vec::new());
    for line in table.lines().skip(1) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, destination, gateway, _, _, _, _, mask, ..] = words.as_slice() else { continue };
        let number = |hex: &str| u32::from_str_radix(hex, 16).ok().map(u32::from_be);
        let (Some(destination), Some(gateway), Some(mask)) =
            (number(destination), number(gateway), number(mask))
        else {
            continue;
        };
        if mask != 0 {
            subnets.push(Subnet::new(destination.into(), mask.leading_ones() as u8));
        }
        if gateway != 0 {
            routers.push(IpAddr::V4(gateway.into()));
        }
    }
    routers.sort_unstable();
    routers.dedup();
    (subnets, routers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_writes() {
        let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
            eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
            eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        let (subnets, routers) = routes(table);
        assert_eq!(subnets, [Subnet::new(Ipv4Addr::new(192, 0, 2, 0), 24)]);
        assert_eq!(routers, [IpAddr::from([192, 0, 2, 1])]);
        let trie = "Local:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 192.0.2.2\n        /32 host LOCAL\n     |-- 192.0.2.255\n        /32 link BROADCAST\n";
        assert_eq!(local_addresses(trie), [IpAddr::from([192, 0, 2, 2])]);
    }
}
