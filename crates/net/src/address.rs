//! Which addresses are on the public internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Networks of IPv4 that are not public: first address and prefix length (IANA's special-purpose
/// registry, RFC 6890 and its successors).
const SPECIAL_V4: [([u8; 4], u32); 17] = [
    ([0, 0, 0, 0], 8),       // this network
    ([10, 0, 0, 0], 8),      // private
    ([100, 64, 0, 0], 10),   // carrier-grade NAT
    ([127, 0, 0, 0], 8),     // loopback
    ([169, 254, 0, 0], 16),  // link-local, cloud metadata
    ([172, 16, 0, 0], 12),   // private
    ([192, 0, 0, 0], 24),    // protocol assignments
    ([192, 0, 2, 0], 24),    // documentation
    ([192, 31, 196, 0], 24), // AS112
    ([192, 52, 193, 0], 24), // AMT
    ([192, 88, 99, 0], 24),  // 6to4 relays
    ([192, 168, 0, 0], 16),  // private
    ([198, 18, 0, 0], 15),   // benchmarks
    ([198, 51, 100, 0], 24), // documentation
    ([203, 0, 113, 0], 24),  // documentation
    ([224, 0, 0, 0], 4),     // multicast
    ([240, 0, 0, 0], 4),     // reserved, broadcast
];

/// Networks inside 2000::/3 that are not public.
const SPECIAL_V6: [([u16; 2], u32); 4] = [
    ([0x2001, 0], 23),     // protocol assignments: Teredo, ORCHID, benchmarks
    ([0x2001, 0xdb8], 32), // documentation
    ([0x3fff, 0], 20),     // documentation
    ([0x2620, 0x4f], 32),  // AS112 (2620:4f:8000::/48; the rest of the /32 is unused)
];

/// Whether a stranger may make us connect to `address`: a globally routed unicast address, also
/// where it is an IPv4 address in IPv6 clothes (mapped, NAT64, 6to4).
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

/// Names below which nothing is public: loopback (RFC 6761), the link (RFC 6762), private networks
/// (ICANN's `internal`) and homes (RFC 8375).
const SPECIAL_NAMES: [&str; 4] = ["localhost", "local", "internal", "home.arpa"];

/// Whether `name`, in lower case, could be resolved on the public internet: it has two labels or more
/// and does not end in a name that is kept for other networks.
pub(crate) fn is_public_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let special = SPECIAL_NAMES.iter().any(|special| {
        let before = name.strip_suffix(special);
        before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
    });
    name.contains('.') && !special
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let bits = address.to_bits();
    !SPECIAL_V4.iter().any(|(network, prefix)| {
        bits >> (32 - prefix) == u32::from_be_bytes(*network) >> (32 - prefix)
    })
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(v4) = embedded_v4(address) {
        return is_public_v4(v4);
    }
    let [first, second, ..] = address.segments();
    let high = (u32::from(first) << 16) | u32::from(second);
    let global = first >> 13 == 1; // 2000::/3, all that IANA has given out
    let special = SPECIAL_V6.iter().any(|(network, prefix)| {
        let network = (u32::from(network[0]) << 16) | u32::from(network[1]);
        high >> (32 - prefix) == network >> (32 - prefix)
    });
    global && !special
}

/// The IPv4 address that packets to `address` end at.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = address.segments();
    let join = |at: usize| {
        Ipv4Addr::from_bits((u32::from(segments[at]) << 16) | u32::from(segments[at + 1]))
    };
    match segments {
        [0, 0, 0, 0, 0, 0xffff, ..] // ::ffff:0:0/96, mapped
        | [0x64, 0xff9b, 0, 0, 0, 0, ..] // 64:ff9b::/96, NAT64
            => Some(join(6)),
        [0x2002, ..] => Some(join(1)), // 2002::/16, 6to4
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_public_internet_pass() {
        for public in [
            "1.1.1.1",
            "9.255.255.255",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.0.1",
            "172.32.0.1",
            "192.167.1.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450:4001::1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::1",
            "2001:4860:4860::8888",
        ] {
            assert!(is_public(public.parse().expect(public)), "{public}");
        }
    }

    #[test]
    fn names_of_private_networks_are_no_public_names() {
        for name in [
            "example.com",
            "example.com.",
            "local.example",
            "mylocal.net",
            "localhost.org",
        ] {
            assert!(is_public_name(name), "{name}");
        }
        for name in [
            "",
            "localhost",
            "localhost.",
            "a.localhost",
            "printer.local",
            "metadata.google.internal",
            "nas.home.arpa",
            "home.arpa",
            "intranet",
        ] {
            assert!(!is_public_name(name), "{name}");
        }
    }

    #[test]
    fn everything_else_is_blocked_in_any_clothes() {
        for private in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "2002:c0a8:101::",
            "100::1",
            "2001::1",
            "2001:10::1",
            "2001:db8::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "4000::1",
        ] {
            assert!(!is_public(private.parse().expect(private)), "{private}");
        }
    }
}
