//! Parsing of addresses in settings.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Parses an `IP:port` to listen on.
pub(super) fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_error| "must be an IP address and port such as 127.0.0.1:8080".to_owned())
}

/// Checks a `host:port` to connect to: a name, an IPv4 address, or an IPv6 address in brackets.
pub(crate) fn host_port(text: &str) -> Result<(), String> {
    const RULE: &str = "must be host:port such as 10.0.0.1:7070 or n1.example:7070";
    let (host, port) = split(text).ok_or(RULE)?;
    if port == 0 {
        return Err("must have a port from 1 to 65535".to_owned());
    }
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let good = match bracketed {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(name),
    };
    if good { Ok(()) } else { Err(RULE.to_owned()) }
}

/// Checks an HTTP or HTTPS base URL such as `http://host:port`.
pub(crate) fn base_url(text: &str) -> Result<(), String> {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let rest = rest.map(|rest| rest.strip_suffix('/').unwrap_or(rest));
    rest.and_then(|rest| host_port(rest).ok())
        .ok_or_else(|| "must be a URL such as http://10.0.0.1:8080".to_owned())
}

/// Splits a text into host and port.
pub(super) fn split(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    Some((host, port.parse().ok().filter(|_| digits)?))
}

/// Whether `host:port` is a loopback address. `None` for names, which would have to be resolved.
pub(super) fn is_loopback(text: &str) -> Option<bool> {
    let (host, _) = split(text)?;
    if host.eq_ignore_ascii_case("localhost") {
        return Some(true);
    }
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.parse::<IpAddr>().ok().map(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_host_and_port() {
        for good in ["10.0.0.1:7070", "n1:1", "n-1.example_x.org:65535", "[::1]:80"] {
            assert_eq!(host_port(good), Ok(()), "{good}");
        }
        for bad in
            ["", "n1", ":80", "n1:", "n1:0", "n1:65536", "n1:+80", "::1:80", "[n1]:80", "a b:1"]
        {
            assert!(host_port(bad).is_err(), "{bad}");
        }
        for good in ["http://n1:80", "https://10.0.0.1:443/", "http://[::1]:80"] {
            assert_eq!(base_url(good), Ok(()), "{good}");
        }
        for bad in ["n1:80", "http://n1", "http://n1:80/x", "ftp://n1:80", "http://u@n1:80"] {
            assert!(base_url(bad).is_err(), "{bad}");
        }
        for (text, want) in [
            ("127.0.0.1:1", Some(true)),
            ("127.9.9.9:1", Some(true)),
            ("[::1]:1", Some(true)),
            ("localhost:1", Some(true)),
            ("10.0.0.1:1", Some(false)),
            ("n1:1", None),
        ] {
            assert_eq!(is_loopback(text), want, "{text}");
        }
    }
}
