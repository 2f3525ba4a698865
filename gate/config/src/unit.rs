//! Sizes and times as people write them: `2GiB`, `30s`.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A number of bytes, written `512KiB`, `256MiB`, `2GiB` or `100B`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ByteSize(u64);

impl ByteSize {
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    pub const fn kib(n: u64) -> Self {
        Self(n << 10)
    }

    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }

    pub const fn gib(n: u64) -> Self {
        Self(n << 30)
    }

    pub const fn bytes(self) -> u64 {
        self.0
    }
}

/// A span of time, written `500ms`, `10s`, `30m` or `2h`; never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Period(Duration);

impl Period {
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl From<Period> for Duration {
    fn from(period: Period) -> Self {
        period.0
    }
}

/// Not a size or a time; says how one is written.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidUnit {
    #[error(
        "'{text}' is not a size: write a whole number and B, KiB, MiB or GiB, such as \"256MiB\""
    )]
    Size { text: String },
    #[error(
        "'{text}' is not a time: write a whole number above zero and ms, s, m or h, such as \"30s\""
    )]
    Time { text: String },
}

const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
const TIMES: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

impl std::str::FromStr for ByteSize {
    type Err = InvalidUnit;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        read(text, &SIZES).map(Self).ok_or_else(|| InvalidUnit::Size { text: text.to_owned() })
    }
}

impl std::str::FromStr for Period {
    type Err = InvalidUnit;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        read(text, &TIMES)
            .filter(|millis| *millis > 0)
            .map(Self::from_millis)
            .ok_or_else(|| InvalidUnit::Time { text: text.to_owned() })
    }
}

fn read(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

fn write(f: &mut fmt::Formatter<'_>, value: u64, units: &[(&str, u64)]) -> fmt::Result {
    let exact = units.iter().find(|(_, factor)| value.is_multiple_of(*factor) && value >= *factor);
    let (name, factor) = exact.or(units.last()).ok_or(fmt::Error)?;
    write!(f, "{}{name}", value / factor)
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self.0, &SIZES)
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, u64::try_from(self.0.as_millis()).map_err(|_| fmt::Error)?, &TIMES)
    }
}

impl TryFrom<String> for ByteSize {
    type Error = InvalidUnit;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl TryFrom<String> for Period {
    type Error = InvalidUnit;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ByteSize> for String {
    fn from(size: ByteSize) -> Self {
        size.to_string()
    }
}

impl From<Period> for String {
    fn from(period: Period) -> Self {
        period.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints_the_largest_exact_unit() {
        for (text, bytes) in
            [("2GiB", 2 << 30), ("256 MiB", 256 << 20), ("0B", 0), ("1025B", 1025), ("1024B", 1024)]
        {
            assert_eq!(text.parse::<ByteSize>().unwrap().bytes(), bytes, "{text}");
        }
        assert_eq!(ByteSize::new(1024).to_string(), "1KiB");
        assert_eq!(ByteSize::new(0).to_string(), "0B");
        assert_eq!(Period::from_secs(90).to_string(), "90s");
        assert_eq!(Period::from_secs(1800).to_string(), "30m");
        assert_eq!(Period::from_millis(1500).to_string(), "1500ms");
    }

    #[test]
    fn refuses_what_has_no_unit_or_no_meaning() {
        for bad in ["", "10", "MiB", "1.5GiB", "-1B", "10 lightyears", "99999999999GiB", "1KB"] {
            assert!(bad.parse::<ByteSize>().is_err(), "{bad}");
        }
        for bad in ["", "10", "0s", "1d", "s", "1 0s"] {
            assert!(bad.parse::<Period>().is_err(), "{bad}");
        }
    }
}
