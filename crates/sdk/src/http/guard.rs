//! Which hosts may be called.
//!
//! A project file may come from somebody else and a vendor's answer always does, so neither may point us at an address inside
//! the network we run in, unless the settings allow it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use url::{Host, Url};

use crate::{Error, ErrorKind, Result};

/// How many redirects one request follows.
const MAX_REDIRECTS: usize = 5;

/// Whether `target` is the remote that `base` names: same host, and same port or the step from http to https.
pub(super) fn same_remote(base: &Url, target: &Url) -> bool {
    let upgraded = base.scheme() == "http" && target.scheme() == "https" && base.port().is_none() && target.port().is_none();
    base.host() == target.host()
        && (upgraded || (base.scheme() == target.scheme() && base.port_or_known_default() == target.port_or_known_default()))
}

/// Follows redirects only to the same remote.
pub(super) fn redirects(base: &Url) -> Policy {
    let base = base.clone();
    Policy::custom(move |attempt| {
        if attempt.previous().len() > MAX_REDIRECTS {
            attempt.error("too many redirects")
        } else if same_remote(&base, attempt.url()) {
            attempt.follow()
        } else {
            let host = attempt.url().host_str().unwrap_or_default().to_owned();
            attempt.error(format!("a redirect to {host}, which is another host or port"))
        }
    })
}

/// Refuses a base URL that itself names a private address.
pub(super) fn check_base(base: &Url, allow_private: bool) -> Result<()> {
    let private = match base.host() {
        Some(Host::Ipv4(ip)) => is_private(IpAddr::V4(ip)),
        Some(Host::Ipv6(ip)) => is_private(IpAddr::V6(ip)),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => return Err(Error::new(ErrorKind::Config, "the url has no host")),
    };
    if private && !allow_private {
        return Err(Error::new(ErrorKind::Config, "the url names a private address, which this run may not call"));
    }
    Ok(())
}

/// Resolves names, without the private addresses unless they are allowed.
pub(super) struct Resolver {
    pub(super) allow_private: bool,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let addresses: Vec<SocketAddr> = found.filter(|address| allow_private || !is_private(address.ip())).collect();
            if addresses.is_empty() {
                return Err("the name leads to no address that may be called".into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is not one of the public internet.
pub(super) fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_private_v4(ip),
        IpAddr::V6(ip) => is_private_v6(ip),
    }
}

fn is_private_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        || a == 0
        || a >= 224
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b == 18 || b == 19))
}

fn is_private_v6(ip: Ipv6Addr) -> bool {
    // An IPv4 address may hide in an IPv6 one: mapped (::ffff/96), or translated (64:ff9b::/96).
    let [a, b, c, d, e, f, high, low] = ip.segments();
    let [h1, h2] = high.to_be_bytes();
    let [l1, l2] = low.to_be_bytes();
    let inner = Ipv4Addr::new(h1, h2, l1, l2);
    match [a, b, c, d, e, f] {
        [0, 0, 0, 0, 0, 0 | 0xffff] | [0x64, 0xff9b, 0, 0, 0, 0] => is_private_v4(inner),
        // Only 2000::/3 is handed out for the public internet; 2001:db8::/32 in it is for documentation.
        _ => a & 0xe000 != 0x2000 || (a == 0x2001 && b == 0xdb8),
    }
}
