//! Sets of addresses and networks, compiled to sorted ranges.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Addresses and networks of both families. A lookup is a binary search, so ten thousand networks cost fourteen
/// comparisons.
///
/// An IPv4-mapped IPv6 address (`::ffff:a.b.c.d`) is the IPv4 address that it carries, in the set as in a question. A
/// network of one family never contains an address of the other: `::/0` is every IPv6 address and no IPv4 address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IpSet {
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

/// A text that is neither an address nor a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an IP address and not a network such as 10.0.0.0/8")]
pub struct BadNetwork(pub String);

impl IpSet {
    /// Reads IPv4 and IPv6 addresses and CIDR networks. Bits beyond the prefix are ignored; an IPv6 address may stand
    /// in brackets.
    pub fn parse<T: AsRef<str>>(networks: impl IntoIterator<Item = T>) -> Result<Self, BadNetwork> {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in networks {
            let network = network.as_ref();
            match range(network).ok_or_else(|| BadNetwork(network.to_owned()))? {
                Range::V4(range) => v4.push(range),
                Range::V6(range) => v6.push(range),
            }
        }
        Ok(Self {
            v4: merged(v4),
            v6: merged(v6),
        })
    }

    /// Whether the address is in the set.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => holds(&self.v4, address.to_bits()),
            IpAddr::V6(address) => holds(&self.v6, address.to_bits()),
        }
    }

    /// Whether the set holds no address at all.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }
}

/// The first few ranges and how many more there are.
impl fmt::Display for IpSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        let v4 = self.v4.iter().map(|&(first, last)| {
            (
                IpAddr::from(Ipv4Addr::from_bits(first)),
                IpAddr::from(Ipv4Addr::from_bits(last)),
            )
        });
        let v6 = self.v6.iter().map(|&(first, last)| {
            (
                IpAddr::from(Ipv6Addr::from_bits(first)),
                IpAddr::from(Ipv6Addr::from_bits(last)),
            )
        });
        for (index, (first, last)) in v4.chain(v6).take(SHOWN).enumerate() {
            f.write_str(if index > 0 { ", " } else { "" })?;
            if first == last {
                write!(f, "{first}")?
            } else {
                write!(f, "{first}-{last}")?
            }
        }
        match (self.v4.len() + self.v6.len()).saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

enum Range {
    V4((u32, u32)),
    V6((u128, u128)),
}

fn range(text: &str) -> Option<Range> {
    let (address, prefix) = match text.split_once('/') {
        // `u8` would take a sign.
        Some((address, prefix)) if prefix.bytes().all(|byte| byte.is_ascii_digit()) => {
            (address, Some(prefix.parse::<u32>().ok()?))
        }
        Some(_) => return None,
        None => (text, None),
    };
    Some(match (parse_address(address)?, prefix) {
        (IpAddr::V4(address), prefix) => Range::V4(v4_range(address, prefix.unwrap_or(32))?),
        (IpAddr::V6(address), prefix) => {
            let prefix = prefix.unwrap_or(128);
            match (address.to_ipv4_mapped(), prefix.checked_sub(96)) {
                (Some(mapped), Some(prefix)) => Range::V4(v4_range(mapped, prefix)?),
                _ => {
                    let free = u128::MAX.checked_shr(prefix).unwrap_or(0);
                    let first = address.to_bits() & !free;
                    (prefix <= 128).then_some(Range::V6((first, first | free)))?
                }
            }
        }
    })
}

fn v4_range(address: Ipv4Addr, prefix: u32) -> Option<(u32, u32)> {
    let free = u32::MAX.checked_shr(prefix).unwrap_or(0);
    let first = address.to_bits() & !free;
    (prefix <= 32).then_some((first, first | free))
}

/// An address; an IPv6 address may stand in brackets.
pub(super) fn parse_address(text: &str) -> Option<IpAddr> {
    match text.strip_prefix('[') {
        Some(inside) => inside.strip_suffix(']')?.parse().ok().map(IpAddr::V6),
        None => text.parse().ok(),
    }
}

fn merged<N: Copy + Ord>(mut ranges: Vec<(N, N)>) -> Box<[(N, N)]> {
    ranges.sort_unstable();
    ranges.dedup_by(|next, kept| {
        let overlaps = next.0 <= kept.1;
        if overlaps {
            kept.1 = kept.1.max(next.1);
        }
        overlaps
    });
    ranges.into()
}

fn holds<N: Copy + Ord>(ranges: &[(N, N)], address: N) -> bool {
    let after = ranges.partition_point(|&(first, _)| first <= address);
    after
        .checked_sub(1)
        .and_then(|index| ranges.get(index))
        .is_some_and(|&(_, last)| address <= last)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::net::{IpAddr, Ipv4Addr};

    use proptest::prelude::*;

    use super::IpSet;

    fn contains(networks: &[&str], address: &str) -> bool {
        IpSet::parse(networks)
            .unwrap()
            .contains(address.parse().unwrap())
    }

    #[test]
    fn addresses_and_networks_of_both_families() {
        assert!(contains(&["127.0.0.1"], "127.0.0.1"));
        assert!(!contains(&["127.0.0.1"], "127.0.0.2"));
        assert!(contains(&["10.1.2.3/8"], "10.255.0.1"));
        assert!(!contains(&["10.0.0.0/8"], "11.0.0.0"));
        assert!(contains(&["0.0.0.0/0"], "255.255.255.255"));
        assert!(contains(&["fe80::/32", "[::1]"], "fe80::9"));
        assert!(contains(&["[::1]"], "::1"));
        assert!(contains(&["::/0"], "::"));
        assert!(!contains(&["::/0"], "1.2.3.4"));
        assert!(!contains(&["0.0.0.0/0"], "::1"));
        assert!(!contains(&[], "::1"));
    }

    #[test]
    fn a_mapped_address_is_the_address_that_it_carries() {
        assert!(contains(&["10.0.0.0/8"], "::ffff:10.1.1.1"));
        assert!(contains(&["::ffff:10.0.0.0/104"], "10.1.1.1"));
        assert!(!contains(&["::ffff:10.0.0.0/104"], "11.1.1.1"));
    }

    #[test]
    fn refuses_what_is_no_network() {
        for text in [
            "",
            "a",
            "1.2.3",
            "1.2.3.4/33",
            "::/129",
            "1.2.3.4/",
            "1.2.3.4/+8",
            "[1.2.3.4]",
        ] {
            let error = IpSet::parse(["::1", text]).unwrap_err().to_string();
            assert!(error.contains(&format!("`{text}`")), "{error}");
        }
    }

    #[test]
    fn is_shown_as_ranges() {
        let set = IpSet::parse(["10.0.0.0/31", "10.0.0.1", "::1"]).unwrap();
        assert_eq!(set.to_string(), "10.0.0.0-10.0.0.1, ::1");
    }

    proptest! {
        #[test]
        fn agrees_with_asking_each_network(
            networks in prop::collection::vec((any::<u32>(), 0u32..=32), 0..40),
            near in any::<prop::sample::Index>(), offset in -2i64..3, random in any::<u32>(),
        ) {
            let set = IpSet::parse(
                networks.iter().map(|(bits, prefix)| format!("{}/{prefix}", Ipv4Addr::from_bits(*bits))),
            ).unwrap();
            let mut asked = vec![random];
            if !networks.is_empty() {
                let (bits, prefix) = networks[near.index(networks.len())];
                let free = u32::MAX.checked_shr(prefix).unwrap_or(0);
                for edge in [bits & !free, bits | free] {
                    asked.push((i64::from(edge) + offset).clamp(0, i64::from(u32::MAX)) as u32);
                }
            }
            for address in asked {
                let expected = networks.iter().any(|(bits, prefix)| {
                    let mask = !u32::MAX.checked_shr(*prefix).unwrap_or(0);
                    bits & mask == address & mask
                });
                prop_assert_eq!(set.contains(IpAddr::from(Ipv4Addr::from_bits(address))), expected);
            }
        }
    }
}
