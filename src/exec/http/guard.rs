//! Restricts the targets of HTTP actions: not this machine, not link-local addresses, not the
//! metadata services of clouds, not the cluster's own ports.
//!
//! Otherwise everyone who may edit tasks could use every node as a client of services that trust
//! local callers. Targets that the operator lists are allowed.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::Arc;

use parking_lot::RwLock;
use tokio::sync::Semaphore;

use crate::config::AllowedTarget;
use crate::exec::shortage::is_shortage;

/// Names looked up at once. An unresponsive name server blocks that many threads.
const LOOKUPS: usize = 32;

/// See the module.
pub(in crate::exec) struct AddressGuard {
    allow: Vec<AllowedTarget>,
    own: RwLock<Vec<(String, u16)>>,
    loopback: bool,
    lookups: Arc<Semaphore>,
}

/// Why there is no address to connect to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AddressError {
    /// None is allowed, as a sentence.
    Refused(String),
    /// None is known, as a sentence.
    Unknown(String),
    /// See [`crate::exec::shortage`].
    Short,
}

impl AddressGuard {
    /// `own`: host and port of every listener of the cluster. `0.0.0.0` and `::` stand for every
    /// address of this machine.
    pub(in crate::exec) fn new(
        allow: Vec<AllowedTarget>,
        own: Vec<(String, u16)>,
        loopback: bool,
    ) -> Self {
        let own = RwLock::new(own);
        Self { allow, own, loopback, lookups: Arc::new(Semaphore::new(LOOKUPS)) }
    }

    /// The cluster listens here from now on, and nowhere else.
    pub(in crate::exec) fn set_own(&self, own: Vec<(String, u16)>) {
        *self.own.write() = own;
    }

    /// The addresses of a host that may be connected to; there is at least one.
    ///
    /// # Errors
    /// If the name is unknown, or why none of its addresses is allowed.
    pub(super) async fn addresses(
        &self,
        host: &str,
        port: u16,
    ) -> Result<Vec<SocketAddr>, AddressError> {
        let host = bare(host);
        let found = self.look_up(host, port).await.map_err(|error| {
            if is_shortage(&error) {
                return AddressError::Short;
            }
            AddressError::Unknown(format!("host `{host}`: {error}"))
        })?;
        let own = self.own_addresses(port).await;
        let mut refused = None;
        let mut allowed = Vec::new();
        for address in found {
            match self.reason(host, address, &own) {
                None => allowed.push(address),
                Some(reason) => refused = Some((address.ip(), reason)),
            }
        }
        match refused {
            Some((ip, reason)) if allowed.is_empty() => Err(AddressError::Refused(format!(
                "`{host}:{port}` is {reason} ({ip}), where no request goes unless \
                 actions.http.allow names it"
            ))),
            _ if allowed.is_empty() => {
                Err(AddressError::Unknown(format!("host `{host}` has no address")))
            }
            _ => Ok(allowed),
        }
    }

    /// Why an address is refused, by any of its forms.
    fn reason(&self, host: &str, address: SocketAddr, own: &OwnAddresses) -> Option<&'static str> {
        forms(address.ip()).find_map(|ip| {
            if self.allow.iter().any(|allowed| allowed.covers(host, ip, address.port())) {
                None
            } else if own.holds(ip) {
                Some("a port of the cluster's own")
            } else if is_loopback(ip) && !self.loopback {
                Some("loopback")
            } else if is_link_local(ip) {
                Some("link-local")
            } else if is_metadata(ip) {
                Some("a cloud's metadata service")
            } else {
                None
            }
        })
    }

    /// The addresses on which the cluster itself listens on this port.
    async fn own_addresses(&self, port: u16) -> OwnAddresses {
        let mut own = OwnAddresses::default();
        let on_this_port = |(host, theirs): &(String, u16)| (*theirs == port).then(|| host.clone());
        let hosts: Vec<String> = self.own.read().iter().filter_map(on_this_port).collect();
        for host in hosts {
            let found = self.look_up(bare(&host), port).await.unwrap_or_default();
            for ip in found.into_iter().flat_map(|address| forms(address.ip())) {
                own.everywhere |= ip.is_unspecified();
                own.addresses.push(ip);
            }
        }
        own
    }

    async fn look_up(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        let permit = Arc::clone(&self.lookups).acquire_owned().await.map_err(io::Error::other)?;
        let host = host.to_owned();
        let looking = tokio::task::spawn_blocking(move || {
            let _while_it_looks = permit;
            (host.as_str(), port).to_socket_addrs().map(Iterator::collect)
        });
        looking.await.map_err(io::Error::other)?
    }
}

/// Where the cluster listens on one port.
#[derive(Default)]
struct OwnAddresses {
    addresses: Vec<IpAddr>,
    /// On every address of this machine.
    everywhere: bool,
}

impl OwnAddresses {
    fn holds(&self, ip: IpAddr) -> bool {
        self.addresses.contains(&ip)
            || (self.everywhere && is_of_this_machine(ip))
            // It leads to this machine, on whichever address one listens.
            || (is_no_address(ip) && !self.addresses.is_empty())
    }
}

/// Whether an address is one of this machine's interfaces, of which there may be others by the next
/// time. The system tells by letting it be bound to; if it cannot tell, it may be.
fn is_of_this_machine(ip: IpAddr) -> bool {
    match UdpSocket::bind((ip, 0)) {
        Ok(_socket) => true,
        Err(error) => {
            !matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported)
                && error.raw_os_error() != Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
        }
    }
}

/// An IPv6 address in a URL without its brackets.
pub(super) fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// The address, and the IPv4 address that it may lead to.
fn forms(ip: IpAddr) -> impl Iterator<Item = IpAddr> {
    let embedded = match ip {
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) => embedded(v6).map(IpAddr::V4),
    };
    // A mapped address is the IPv4 address and nothing else.
    let itself = match ip {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => None,
        _ => Some(ip),
    };
    itself.into_iter().chain(embedded)
}

/// The IPv4 address in an IPv6 address of one of the forms that are translated or tunnelled to it.
fn embedded(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let of = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Some(Ipv4Addr::new(a, b, c, d))
    };
    match v6.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        // ::a.b.c.d (old), ::ffff:a.b.c.d (mapped), ::ffff:0:a.b.c.d (translated)
        [0, 0, 0, 0, 0, 0 | 0xffff, a, b] | [0, 0, 0, 0, 0xffff, 0, a, b] => of(a, b),
        // NAT64: the known prefix, and the ones of a network's own
        [0x64, 0xff9b, 0, 0, 0, 0, a, b] | [0x64, 0xff9b, 1, _, _, _, a, b] => of(a, b),
        // 6to4
        [0x2002, a, b, ..] => of(a, b),
        // ISATAP
        [_, _, _, _, 0 | 0x200, 0x5efe, a, b] => of(a, b),
        _ => None,
    }
}

/// Loopback, and the unspecified addresses, which lead there too.
fn is_loopback(ip: IpAddr) -> bool {
    ip.is_loopback() || is_no_address(ip)
}

/// The unspecified addresses, and those of their network.
fn is_no_address(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.octets()[0] == 0,
        IpAddr::V6(v6) => v6.is_unspecified(),
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// The services outside the link-local ranges in which clouds tell their machines credentials.
fn is_metadata(ip: IpAddr) -> bool {
    match ip {
        // Alibaba Cloud, Azure.
        IpAddr::V4(v4) => matches!(v4.octets(), [100, 100, 100, 200] | [168, 63, 129, 16]),
        IpAddr::V6(v6) => match v6.segments() {
            // AWS: fd00:ec2::254 and its neighbours.
            [0xfd00, 0x0ec2, ..] => true,
            // Oracle Cloud, Scaleway, Google Cloud.
            [0xfd00, 0x00c1, 0, 0, 0, 0, 0xa9fe, 0xa9fe]
            | [0xfd00, 0x0042, 0, 0, 0, 0, 0, 0x0042]
            | [0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254] => true,
            _ => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(allow: &[&str], own: &[(&str, u16)], loopback: bool) -> AddressGuard {
        let allow = allow.iter().map(|text| AllowedTarget::parse(text).unwrap()).collect();
        let own = own.iter().map(|(host, port)| ((*host).to_owned(), *port)).collect();
        AddressGuard::new(allow, own, loopback)
    }

    async fn verdict(guard: &AddressGuard, url: &str) -> Result<usize, String> {
        // The form in which the client would use it.
        let url = url::Url::parse(url).unwrap();
        let port = url.port_or_known_default().unwrap();
        let found = guard.addresses(url.host_str().unwrap(), port).await;
        found.map(|addresses| addresses.len()).map_err(|why| format!("{why:?}"))
    }

    /// An address by which others reach this machine, if it has one.
    fn outer_address() -> Option<IpAddr> {
        let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
        // Nothing is sent: this only chooses a route.
        socket.connect("192.0.2.1:9").ok()?;
        Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_unspecified())
    }

    #[tokio::test]
    async fn loopback_and_link_are_refused_in_every_spelling() {
        let guard = guard(&[], &[("10.0.0.1", 7070)], false);
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
            ("http://[::ffff:0:127.0.0.1]/", "loopback"),
            ("http://[64:ff9b::127.0.0.1]/", "loopback"),
            ("http://[64:ff9b:1::127.0.0.1]/", "loopback"),
            ("http://[2002:7f00:1::]/", "loopback"),
            ("http://169.254.169.254/latest/meta-data", "link-local"),
            ("http://[::ffff:169.254.169.254]/", "link-local"),
            ("http://[64:ff9b::169.254.169.254]/", "link-local"),
            ("http://[fe80::1]/", "link-local"),
            ("http://[fe80::5efe:1.2.3.4]/", "link-local"),
            ("http://[fd00:ec2::254]/", "metadata"),
            ("http://[fd00:ec2::23]/", "metadata"),
            ("http://[fd20:ce::254]/", "metadata"),
            ("http://[fd00:c1::a9fe:a9fe]/", "metadata"),
            ("http://100.100.100.200/", "metadata"),
            ("http://[::ffff:168.63.129.16]/", "metadata"),
            ("http://10.0.0.1:7070/", "cluster's own"),
            ("http://[::ffff:10.0.0.1]:7070/", "cluster's own"),
            ("http://[64:ff9b::10.0.0.1]:7070/", "cluster's own"),
        ] {
            let error = verdict(&guard, url).await.unwrap_err();
            assert!(error.contains(reason), "{url}: {error}");
        }
        for url in [
            "http://10.0.0.1/",
            "http://10.0.0.2:7070/",
            "http://[2001:db8::1]/",
            "http://[fd00:ec3::254]/",
            "http://[64:ff9b::8.8.8.8]/",
        ] {
            assert_eq!(verdict(&guard, url).await, Ok(1), "{url}");
        }
    }

    #[tokio::test]
    async fn what_is_named_is_allowed() {
        let allow = ["127.0.0.1:9000", "[::1]:9000", "LOCALHOST", "fe80::1", "169.254.1.0/24"];
        let guard = guard(&allow, &[("127.0.0.1", 8080)], false);
        for (url, allowed) in [
            ("http://127.0.0.1:9000/", true),
            ("http://[::ffff:127.0.0.1]:9000/", true),
            ("http://127.0.0.1:9001/", false),
            ("http://[::1]:9000/", true),
            ("http://[::1]:9001/", false),
            ("http://localhost:1/", true),
            ("http://[fe80::1]:5/", true),
            ("http://[fe80::2]:5/", false),
            ("http://169.254.1.1/", true),
            ("http://169.254.2.1/", false),
            ("http://127.0.0.1:8080/", false),
        ] {
            assert_eq!(verdict(&guard, url).await.is_ok(), allowed, "{url}");
        }
    }

    #[tokio::test]
    async fn a_node_on_loopback_reaches_loopback_but_not_itself() {
        let guard = guard(&[], &[("localhost", 8081)], true);
        assert!(verdict(&guard, "http://127.0.0.1:9000/").await.is_ok());
        assert!(verdict(&guard, "http://127.0.0.1:8081/").await.is_err());
        assert!(verdict(&guard, "http://169.254.1.1/").await.is_err());
    }

    #[tokio::test]
    async fn a_member_that_moves_is_the_clusters_own_where_it_is() {
        let guard = guard(&[], &[("10.0.0.1", 7070)], false);
        let refused = async |url: &str| verdict(&guard, url).await.is_err();
        let [before, after] = ["http://10.0.0.1:7070/", "http://10.0.0.9:7071/"];
        assert!(refused(before).await && !refused(after).await);
        guard.set_own(vec![("10.0.0.9".to_owned(), 7071)]);
        assert!(!refused(before).await && refused(after).await);
    }

    #[tokio::test]
    async fn a_listener_on_every_address_is_the_clusters_own_on_each() {
        for any in ["0.0.0.0", "[::]"] {
            let guard = guard(&[], &[(any, 8081)], true);
            let machine = outer_address().map(|ip| format!("http://{ip}:8081/"));
            for url in ["http://127.0.0.1:8081/", "http://127.0.0.2:8081/"]
                .map(str::to_owned)
                .into_iter()
                .chain(machine)
            {
                let error = verdict(&guard, &url).await.unwrap_err();
                assert!(error.contains("cluster's own"), "{url}: {error}");
            }
            assert!(verdict(&guard, "http://192.0.2.1:8081/").await.is_ok());
            assert!(verdict(&guard, "http://127.0.0.1:8082/").await.is_ok());
        }
    }

    #[tokio::test]
    async fn an_unspecified_address_is_the_clusters_own_on_its_ports() {
        let guard = guard(&[], &[("127.0.0.1", 8081), ("10.0.0.1", 7070)], true);
        for url in ["http://0.0.0.0:8081/", "http://0.0.0.0:7070/", "http://[::]:8081/"] {
            let error = verdict(&guard, url).await.unwrap_err();
            assert!(error.contains("cluster's own"), "{url}: {error}");
        }
        assert!(verdict(&guard, "http://0.0.0.0:8082/").await.is_ok());
        assert!(verdict(&guard, "http://127.0.0.2:8081/").await.is_ok());
    }
}
