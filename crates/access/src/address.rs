//! Whose address a request comes from: through proxies that are trusted, and as the network that one caller has.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

/// A network: an address and the length of its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    first: IpAddr,
    bits: u8,
}

/// A text that names no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no network: expected an address, or one with a prefix such as 10.0.0.0/8 or fd00::/8"
)]
pub struct NetworkError(String);

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let wrong = || NetworkError(text.to_owned());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), str::parse).map_err(|_| wrong())?;
        if bits > most {
            return Err(wrong());
        }
        Ok(Self {
            first: masked(address, bits),
            bits,
        })
    }
}

impl Network {
    /// Whether an address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.first.is_ipv4() && masked(address, self.bits) == self.first
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

fn masked(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            IpAddr::V4((address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
        }
    }
}

/// What one caller has and others have not: an IPv4 address, or 64 bits of an IPv6 one, of which everybody is given all
/// that go on.
pub fn of_one_caller(address: IpAddr) -> Network {
    let bits = if address.is_ipv4() { 32 } else { 64 };
    Network {
        first: masked(address, bits),
        bits,
    }
}

/// Who asks through proxies: `forwarded` are the addresses of `X-Forwarded-For`, in its order, to which each proxy
/// appends from where it was asked. Going back from `peer`, the first that is no trusted proxy is the caller; what
/// stands before it is his own word. What is no address ends the search.
pub fn caller(peer: IpAddr, forwarded: &[&str], trusted: &[Network]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut caller = peer;
    for text in forwarded.iter().rev() {
        if !is_trusted(caller) {
            break;
        }
        let Some(address) = address(text) else { break };
        caller = address;
    }
    caller
}

/// An address as proxies write it: alone, or with a port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let with_port = || text.parse::<std::net::SocketAddr>().ok().map(|at| at.ip());
    let address = text.parse().ok().or_else(with_port)?;
    Some(IpAddr::to_canonical(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn networks_are_read_and_hold_what_is_in_them() {
        for (network, inside, outside) in [
            ("127.0.0.0/8", "127.9.9.9", "128.0.0.1"),
            ("10.1.2.3", "10.1.2.3", "10.1.2.4"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("::1/128", "::1", "::2"),
            ("fd00::/8", "fdff::1", "fe00::1"),
            ("::/0", "ffff::", "1.2.3.4"),
        ] {
            let network: Network = network.parse().unwrap();
            assert!(network.contains(ip(inside)), "{network}");
            assert!(!network.contains(ip(outside)), "{network}");
        }
        for wrong in [
            "",
            "x",
            "10.0.0.0/33",
            "::1/129",
            "10.0.0.0/-1",
            "10.0.0.0/8/8",
            "10.0.0/8",
        ] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn sixty_four_bits_are_one_caller() {
        assert_eq!(of_one_caller(ip("192.0.2.7")).to_string(), "192.0.2.7/32");
        let network = of_one_caller(ip("2001:db8:1:2:3:4:5:6"));
        assert_eq!(network.to_string(), "2001:db8:1:2::/64");
        assert_eq!(network, of_one_caller(ip("2001:db8:1:2:ffff::1")));
        assert_ne!(network, of_one_caller(ip("2001:db8:1:3::1")));
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let trusted: Vec<Network> = ["127.0.0.0/8", "::1", "10.0.0.0/8"]
            .map(|text| text.parse().unwrap())
            .into();
        let caller =
            |peer: &str, forwarded: &[&str]| caller(ip(peer), forwarded, &trusted).to_string();
        assert_eq!(caller("192.0.2.1", &[]), "192.0.2.1");
        assert_eq!(
            caller("192.0.2.1", &["198.51.100.1"]),
            "192.0.2.1",
            "a stranger's word"
        );
        assert_eq!(caller("127.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(
            caller("127.0.0.1", &["127.0.0.1", "198.51.100.1", "10.0.0.9"]),
            "198.51.100.1"
        );
        assert_eq!(caller("::1", &["[2001:db8::1]:4711"]), "2001:db8::1");
        assert_eq!(caller("::1", &["::ffff:198.51.100.1"]), "198.51.100.1");
        assert_eq!(
            caller("127.0.0.1", &["198.51.100.1", "unknown"]),
            "127.0.0.1"
        );
        assert_eq!(caller("127.0.0.1", &[]), "127.0.0.1");
    }
}
