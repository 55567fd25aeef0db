//! Where HTTP actions may not go: the machine itself, its link, the cluster's own ports.
//!
//! Whoever may edit tasks could otherwise make every node a client of services that trust whoever
//! reaches them. What the operator names is allowed all the same.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use tokio::net::lookup_host;

/// See the module.
pub(super) struct Guard {
    allow: Vec<Allowed>,
    own: Vec<(String, u16)>,
    loopback: bool,
}

/// A host that the operator named, as text without brackets, and a port or all of them.
struct Allowed {
    host: String,
    port: Option<u16>,
}

impl Guard {
    pub(super) fn new(allow: &[String], own: Vec<(String, u16)>, loopback: bool) -> Self {
        let allow = allow.iter().map(|entry| Allowed::parse(entry)).collect();
        Self { allow, own, loopback }
    }

    /// The addresses of a host that may be connected to; there is at least one.
    ///
    /// # Errors
    /// If the name is unknown, or why none of its addresses is allowed.
    pub(super) async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
        let host = bare(host);
        let own = self.own_addresses(port).await;
        let mut refused = None;
        let mut allowed = Vec::new();
        for address in look_up(host, port).await.map_err(|why| format!("host `{host}`: {why}"))? {
            match self.reason(host, address, &own) {
                None => allowed.push(address),
                Some(reason) => refused = Some((address.ip(), reason)),
            }
        }
        match refused {
            Some((ip, reason)) if allowed.is_empty() => Err(format!(
                "`{host}:{port}` is {reason} ({ip}), where HTTP actions do not go unless \
                 actions.http.allow names it"
            )),
            _ if allowed.is_empty() => Err(format!("host `{host}` has no address")),
            _ => Ok(allowed),
        }
    }

    /// Why an address is refused.
    fn reason(&self, host: &str, address: SocketAddr, own: &[IpAddr]) -> Option<&'static str> {
        let ip = plain(address.ip());
        if self.allow.iter().any(|allowed| allowed.covers(host, ip, address.port())) {
            None
        } else if own.contains(&ip) {
            Some("a port of the cluster's own")
        } else if is_loopback(ip) && !self.loopback {
            Some("loopback")
        } else if is_link_local(ip) {
            Some("link-local")
        } else {
            None
        }
    }

    /// The addresses on which the cluster itself listens on this port.
    async fn own_addresses(&self, port: u16) -> Vec<IpAddr> {
        let mut own = Vec::new();
        for (host, _port) in self.own.iter().filter(|(_host, theirs)| *theirs == port) {
            let found = look_up(bare(host), port).await.unwrap_or_default();
            own.extend(found.into_iter().map(|address| plain(address.ip())));
        }
        own
    }
}

impl Allowed {
    fn parse(entry: &str) -> Self {
        let entry = entry.trim().to_ascii_lowercase();
        let (host, port) = match entry.rsplit_once(':') {
            // An IPv6 address without brackets has no port.
            Some((host, port)) if host.starts_with('[') || !host.contains(':') => {
                (host, port.parse().ok())
            }
            _ => (entry.as_str(), None),
        };
        Self { host: bare(host).to_owned(), port }
    }

    fn covers(&self, host: &str, ip: IpAddr, port: u16) -> bool {
        let named = self.host.eq_ignore_ascii_case(host)
            || self.host.parse().is_ok_and(|allowed: IpAddr| plain(allowed) == ip);
        named && self.port.is_none_or(|allowed| allowed == port)
    }
}

async fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let found = lookup_host((host, port)).await.map_err(|error| error.to_string())?;
    Ok(found.collect())
}

/// An IPv6 address in a URL without its brackets.
fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// An IPv4 address as such, in whichever of the IPv6 forms that reach it.
fn plain(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else { return ip };
    let [.., a, b] = v6.segments();
    let embedded = match v6.segments() {
        // ::a.b.c.d (old), ::ffff:a.b.c.d (mapped), 64:ff9b::a.b.c.d (NAT64)
        [0, 0, 0, 0, 0, 0 | 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => true,
        _ => false,
    };
    if !embedded || v6 == Ipv6Addr::LOCALHOST || v6 == Ipv6Addr::UNSPECIFIED {
        return ip;
    }
    let [a, b] = [a.to_be_bytes(), b.to_be_bytes()];
    IpAddr::from([a[0], a[1], b[0], b[1]])
}

/// Loopback, and the unspecified addresses, which lead there too.
fn is_loopback(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_loopback() || v4.octets()[0] == 0,
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unspecified(),
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn verdict(guard: &Guard, url: &str) -> Result<usize, String> {
        // The form in which the client would use it.
        let url = reqwest::Url::parse(url).unwrap();
        let port = url.port_or_known_default().unwrap();
        guard.addresses(url.host_str().unwrap(), port).await.map(|addresses| addresses.len())
    }

    #[tokio::test]
    async fn loopback_and_link_are_refused_in_every_spelling() {
        let guard = Guard::new(&[], vec![("10.0.0.1".to_owned(), 7070)], false);
        for (url, reason) in [
            ("http://127.0.0.1/", "loopback"),
            ("http://127.9.9.9:81/", "loopback"),
            ("http://localhost/", "loopback"),
            ("http://2130706433/", "loopback"),
            ("http://0x7f.1/", "loopback"),
            ("http://0177.0.0.1/", "loopback"),
            ("http://0.0.0.0/", "loopback"),
            ("http://0/", "loopback"),
            ("http://[::1]/", "loopback"),
            ("http://[::]/", "loopback"),
            ("http://[::ffff:127.0.0.1]/", "loopback"),
            ("http://[::ffff:7f00:1]/", "loopback"),
            ("http://[::127.0.0.1]/", "loopback"),
            ("http://[64:ff9b::127.0.0.1]/", "loopback"),
            ("http://169.254.169.254/latest/meta-data", "link-local"),
            ("http://[::ffff:169.254.169.254]/", "link-local"),
            ("http://[fe80::1]/", "link-local"),
            ("http://10.0.0.1:7070/", "cluster's own"),
            ("http://[::ffff:10.0.0.1]:7070/", "cluster's own"),
        ] {
            let error = verdict(&guard, url).await.unwrap_err();
            assert!(error.contains(reason), "{url}: {error}");
        }
        for url in ["http://10.0.0.1/", "http://10.0.0.2:7070/", "http://[2001:db8::1]/"] {
            assert_eq!(verdict(&guard, url).await, Ok(1), "{url}");
        }
    }

    #[tokio::test]
    async fn what_is_named_is_allowed() {
        let allow = ["127.0.0.1:9000", "[::1]:9000", "LOCALHOST", "fe80::1", "169.254.1.1"]
            .map(str::to_owned);
        let guard = Guard::new(&allow, vec![("127.0.0.1".to_owned(), 8080)], false);
        for (url, allowed) in [
            ("http://127.0.0.1:9000/", true),
            ("http://[::ffff:127.0.0.1]:9000/", true),
            ("http://127.0.0.1:9001/", false),
            ("http://[::1]:9000/", true),
            ("http://[::1]:9001/", false),
            ("http://localhost:1/", true),
            ("http://[fe80::1]:5/", true),
            ("http://169.254.1.1/", true),
            ("http://169.254.1.2/", false),
            ("http://127.0.0.1:8080/", false),
        ] {
            assert_eq!(verdict(&guard, url).await.is_ok(), allowed, "{url}");
        }
    }

    #[tokio::test]
    async fn a_node_on_loopback_reaches_loopback_but_not_itself() {
        let guard = Guard::new(&[], vec![("localhost".to_owned(), 8081)], true);
        assert!(verdict(&guard, "http://127.0.0.1:9000/").await.is_ok());
        assert!(verdict(&guard, "http://127.0.0.1:8081/").await.is_err());
        assert!(verdict(&guard, "http://169.254.1.1/").await.is_err());
    }
}
