//! A small subnet for each network of a bottle.

use std::fmt;
use std::net::Ipv4Addr;

use serde::{Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// An IPv4 subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subnet {
    base: u32,
    prefix: u8,
}

/// RFC 2544 set these addresses aside for tests between network devices. No LAN uses them, so that
/// none is shadowed, and the engine's own pools (30 networks in all) stay for others.
const POOL: Subnet = Subnet { base: u32::from_be_bytes([198, 18, 0, 0]), prefix: 15 };

/// Sixteen addresses: a bottle has at most five containers. The pool holds 8192 of them.
const PREFIX: u8 = 28;

/// All are taken.
#[derive(Debug, thiserror::Error)]
#[error("no subnet is free in {POOL}")]
pub struct NoSubnet;

/// The first `N` subnets that nothing else overlaps, from a place on that the name decides.
///
/// Bottles that are launched at the same moment see the same subnets free: with different names they
/// seldom want the same ones. A bottle keeps its own from launch to launch, as long as they are free.
///
/// # Errors
/// [`NoSubnet`] when the pool is used up.
pub fn choose<const N: usize>(name: &str, taken: &[Subnet]) -> Result<[Subnet; N], NoSubnet> {
    let count = 1u32 << (PREFIX - POOL.prefix);
    let digest = Sha256::digest(name);
    let begin = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]) % count;
    let mut free = (begin..begin + count)
        .map(|index| index % count)
        .map(|index| Subnet { base: POOL.base + (index << (32 - PREFIX)), prefix: PREFIX })
        .filter(|subnet| !taken.iter().any(|other| other.overlaps(*subnet)));
    let mut chosen = [POOL; N];
    for place in &mut chosen {
        *place = free.next().ok_or(NoSubnet)?;
    }
    Ok(chosen)
}

impl Subnet {
    /// The subnet of that size around the address.
    pub fn new(address: Ipv4Addr, prefix: u8) -> Self {
        Self { base: u32::from(address) & mask(prefix), prefix: prefix.min(32) }
    }

    /// Reads `198.18.0.0/28`.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let prefix = prefix.parse().ok().filter(|prefix| *prefix <= 32)?;
        Some(Self::new(address.parse().ok()?, prefix))
    }

    pub fn overlaps(self, other: Self) -> bool {
        let mask = mask(self.prefix.min(other.prefix));
        self.base & mask == other.base & mask
    }

    /// The address that the engine keeps for the gateway.
    pub fn gateway(self) -> Ipv4Addr {
        self.host(1)
    }

    /// The address of that number; the subnet's own has 0.
    pub fn host(self, number: u32) -> Ipv4Addr {
        (self.base + number).into()
    }
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0)
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.base), self.prefix)
    }
}

impl Serialize for Subnet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        Subnet::parse(text).unwrap()
    }

    #[test]
    fn chooses_what_nothing_else_overlaps() {
        let [a, b] = choose("demo", &[]).unwrap();
        assert_eq!(b.base - a.base, 16);
        assert_eq!(u32::from(a.gateway()), a.base + 1);
        let [c, d] =
            choose("demo", &[a, subnet(&format!("{}/27", Ipv4Addr::from(b.base)))]).unwrap();
        assert!(![c, d].iter().any(|it| it.overlaps(a) || it.overlaps(b)));
        // The one free place is found, wherever the search begins.
        let last = subnet("198.19.255.240/28");
        let taken: Vec<Subnet> = (0..13)
            .map(|bit| Subnet {
                base: (last.base ^ (16 << bit)) & mask(28 - bit),
                prefix: 28 - bit,
            })
            .collect();
        for name in ["a", "b", "demo"] {
            assert_eq!(choose::<1>(name, &taken).unwrap(), [last]);
        }
    }

    #[test]
    fn names_begin_in_different_places() {
        let begins = (0..50).map(|n| choose::<1>(&format!("b{n}"), &[]).unwrap()[0]);
        let begins: std::collections::BTreeSet<Subnet> = begins.collect();
        assert!(begins.len() >= 48, "{}", begins.len());
    }

    #[test]
    fn fifty_bottles_fit_and_a_full_pool_says_so() {
        let mut taken = Vec::new();
        for n in 0..50 {
            let chosen = choose::<2>(&format!("b{n}"), &taken).unwrap();
            assert!(!taken.iter().any(|it: &Subnet| chosen.iter().any(|new| new.overlaps(*it))));
            taken.extend(chosen);
        }
        assert!(choose::<1>("x", &[subnet("198.18.0.0/15")]).is_err());
        assert!(choose::<1>("x", &[subnet("0.0.0.0/0")]).is_err());
    }
}
