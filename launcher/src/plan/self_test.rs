//! What the self-test has to prove for this bottle on this host.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::facts::Facts;
use super::subnet::Subnet;
use crate::guest::spec::{By, Ready, Sidecar, Spec, Target};
use crate::manifest::Manifest;
use crate::render::{cred_proxy, gate, pipelock};

/// How long the sidecars may take to be ready, all together.
const READY_MS: u64 = 30_000;
/// A host on the same bridge answers within a millisecond; the wait is for a busy machine.
const ANSWER_MS: u64 = 500;

/// Any port of the host will do: one that is shut still answers that it is.
const HOST_PORTS: [u16; 3] = [22, 443, 2375];
const LAN_PORTS: [u16; 2] = [53, 443];

const OUTSIDE: [&str; 2] = ["1.1.1.1:443", "8.8.8.8:80"];
const DNS: [&str; 2] = ["1.1.1.1:53", "8.8.8.8:53"];
const METADATA: [&str; 1] = ["169.254.169.254:80"];
const IPV6: [&str; 2] = ["[2606:4700:4700::1111]:443", "[fd00:ec2::254]:80"];
/// TEST-NET-3 (RFC 5737): nobody has it, and a router would take a packet for it on all the same.
const NOBODY: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
/// A name that has an address.
const OUTSIDE_NAME: &str = "example.com";
/// pipelock's metrics and the ports its kill switch is given in its documents.
const PIPELOCK_ADMIN: [u16; 3] = [9190, 9090, 9091];

pub(super) fn spec(manifest: &Manifest, facts: &Facts, closed: Subnet) -> Spec {
    let asked = &manifest.self_test;
    let given = |list: &Option<Vec<String>>, default: &[&str]| -> Vec<SocketAddr> {
        let parse = |text: &str| text.parse().ok();
        match list {
            Some(list) => list.iter().filter_map(|text| parse(text)).collect(),
            None => default.iter().filter_map(|text| parse(text)).collect(),
        }
    };
    let outside = given(&asked.outside, &OUTSIDE);
    let mut closed_targets = Vec::new();
    let mut add = |what: &str, by, addresses: Vec<SocketAddr>| {
        let target = |address| Target { what: what.to_owned(), address, by };
        closed_targets.extend(addresses.into_iter().map(target));
    };
    let mut host = facts.host_addresses.clone();
    host.push(closed.gateway().into());
    add("host", By::Tcp, with_ports(&host, &HOST_PORTS));
    match &asked.lan {
        Some(_) => add("lan", By::Tcp, given(&asked.lan, &[])),
        None => add("lan", By::Tcp, with_ports(&facts.routers, &LAN_PORTS)),
    }
    add("metadata", By::Tcp, given(&asked.metadata, &METADATA));
    add("outside", By::Tcp, outside);
    add("dns", By::Dns, given(&asked.dns, &DNS));
    add("dns", By::Tcp, given(&asked.dns, &DNS));
    add("ipv6", By::Tcp, given(&asked.ipv6, &IPV6));
    add("other bottle", By::Tcp, with_ports(&facts.other_bottles, &[pipelock::PORT]));
    Spec {
        sidecars: sidecars(manifest),
        ready_ms: READY_MS,
        closed: closed_targets,
        answer_ms: ANSWER_MS,
        outside_name: OUTSIDE_NAME.to_owned(),
        forward_to: vec![NOBODY],
    }
}

fn sidecars(manifest: &Manifest) -> Vec<Sidecar> {
    let words = [
        format!("\"mode\":\"{}\"", manifest.egress.mode.as_str()),
        "\"forward_proxy_enabled\":true".to_owned(),
        "\"kill_switch_active\":false".to_owned(),
    ];
    let mut sidecars = vec![Sidecar {
        name: "pipelock".to_owned(),
        port: pipelock::PORT,
        ready: Ready::Says { path: "/health".to_owned(), words: words.into() },
        admin: PIPELOCK_ADMIN.into(),
    }];
    if !manifest.git.is_empty() {
        sidecars.push(Sidecar {
            name: "git-gate".to_owned(),
            port: gate::PORT,
            ready: Ready::Accepts,
            admin: Vec::new(),
        });
    }
    if !manifest.routes.is_empty() {
        sidecars.push(Sidecar {
            name: "cred-proxy".to_owned(),
            port: cred_proxy::PORT,
            ready: Ready::Says { path: "/healthz".to_owned(), words: Vec::new() },
            admin: Vec::new(),
        });
    }
    sidecars
}

fn with_ports(addresses: &[IpAddr], ports: &[u16]) -> Vec<SocketAddr> {
    let each = |address: &IpAddr| {
        let address = *address;
        ports.iter().map(move |port| SocketAddr::new(address, *port))
    };
    addresses.iter().flat_map(each).collect()
}
