//! Which addresses a request may leave for.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Whether an address belongs to this machine or to a network behind it, where a
/// server must not be sent by what it is told from outside.
///
/// IANA's special-purpose registries (RFC 6890), but for the ranges of documentation
/// and benchmarks, behind which nothing is.
pub(crate) fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_private_v4(v4),
        IpAddr::V6(v6) => match embedded(v6) {
            Some(v4) => is_private_v4(v4),
            None => {
                v6.is_loopback()
                    || v6.is_unspecified()
                    || v6.is_multicast()
                    || v6.is_unique_local()
                    || v6.is_unicast_link_local()
            }
        },
    }
}

fn is_private_v4(v4: Ipv4Addr) -> bool {
    let [first, second, ..] = v4.octets();
    let is_shared = first == 100 && (64..128).contains(&second); // RFC 6598
    v4.is_private()
        || v4.is_loopback()
        || v4.is_link_local()
        || v4.is_multicast()
        || is_shared
        // 0.0.0.0/8 is this host, 240.0.0.0/4 and the broadcast address are nobody.
        || first == 0
        || first >= 240
}

/// The IPv4 address inside of a mapped, NAT64 (RFC 6052) or 6to4 (RFC 3056) one.
fn embedded(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, high, low] = v6.segments();
    let from = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match [a, b, c, d, e, f] {
        [0, 0, 0, 0, 0, 0xffff] | [0x64, 0xff9b, 0, 0, 0, 0] => Some(from(high, low)),
        // ::1 and :: are IPv6's own.
        [0, 0, 0, 0, 0, 0] if (high, low) != (0, 1) && (high, low) != (0, 0) => {
            Some(from(high, low))
        }
        [0x2002, high, low, ..] => Some(from(high, low)),
        _ => None,
    }
}

/// Whether the host of a URL is written as a private address. A name is judged when
/// it is resolved.
pub(crate) fn names_private(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(v4)) => is_private(v4.into()),
        Some(Host::Ipv6(v6)) => is_private(v6.into()),
        Some(Host::Domain(_)) | None => false,
    }
}

/// Resolves names to public addresses only. The addresses that are checked are those
/// that are connected to, so a name cannot change its mind in between.
#[derive(Debug)]
pub(crate) struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|it| !is_private(it.ip())).collect();
            if public.is_empty() {
                let reason = format!("{} has no public address", name.as_str());
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason).into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_way_of_writing_a_private_address_is_public() {
        for private in [
            "127.0.0.1",
            "127.8.8.8",
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.127.255.255",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "2002:7f00:1::",
            "fe80::1",
            "fc00::1",
            "fd12:3456::1",
            "ff02::1",
        ] {
            assert!(is_private(private.parse().unwrap()), "{private}");
        }
        for public in [
            "1.1.1.1",
            "100.63.0.1",
            "100.128.0.1",
            "172.32.0.1",
            "203.0.113.80",
            "2606:4700::1111",
            "::ffff:1.1.1.1",
            "2002:101:101::",
        ] {
            assert!(!is_private(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn a_url_with_a_number_for_a_host_is_judged_as_what_it_means() {
        for private in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://0177.0.0.1/",
            "http://[::1]/",
            "http://[::ffff:7f00:1]/",
        ] {
            let url = Url::parse(private).unwrap();
            assert!(names_private(&url), "{private}");
        }
        let url = Url::parse("http://localhost/").unwrap();
        assert!(!names_private(&url));
    }

    #[tokio::test]
    async fn a_name_with_private_addresses_only_does_not_resolve() {
        let refused = PublicOnly.resolve("localhost".parse().unwrap()).await;
        let error = refused.err().unwrap().to_string();
        assert_eq!(error, "localhost has no public address");
    }
}
