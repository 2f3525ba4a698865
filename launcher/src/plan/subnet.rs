//! A small subnet for each network of a bottle.

use std::fmt;
use std::net::Ipv4Addr;

use serde::{Serialize, Serializer};

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

/// The first `N` subnets that nothing else overlaps.
///
/// # Errors
/// [`NoSubnet`] when the pool is used up.
pub fn choose<const N: usize>(taken: &[Subnet]) -> Result<[Subnet; N], NoSubnet> {
    let count = 1u32 << (PREFIX - POOL.prefix);
    let mut free = (0..count)
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
        (self.base + 1).into()
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
        let [a, b] = choose(&[subnet("198.18.0.0/28"), subnet("198.18.0.32/27")]).unwrap();
        assert_eq!([a.to_string(), b.to_string()], ["198.18.0.16/28", "198.18.0.64/28"]);
        assert_eq!(a.gateway(), Ipv4Addr::new(198, 18, 0, 17));
    }

    #[test]
    fn fifty_bottles_fit_and_a_full_pool_says_so() {
        let mut taken = Vec::new();
        for _ in 0..50 {
            taken.extend(choose::<2>(&taken).unwrap());
        }
        assert!(choose::<1>(&[subnet("198.18.0.0/15")]).is_err());
        assert!(choose::<1>(&[subnet("0.0.0.0/0")]).is_err());
    }
}
