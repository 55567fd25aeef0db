//! Settings for task actions: allowed request targets, and the files and environment variables that
//! a definition may refer to.

use std::net::IpAddr;
use std::path::{Component, Path, PathBuf};

use ipnet::IpNet;
use url::Host;

use super::ENVIRONMENT_PREFIX;
use super::address::split;

/// Virtual file systems of the kernel. Files below them are never allowed.
pub const KERNEL_FOLDERS: [&str; 3] = ["/proc", "/sys", "/dev"];

/// A target that HTTP actions may reach although the default rule blocks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedTarget {
    place: TargetPlace,
    /// `None` means every port.
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum TargetPlace {
    /// A name as in the URL, in lower case.
    Name(String),
    Network(IpNet),
}

impl AllowedTarget {
    /// Parses `name`, `address` or `network/bits`. The first two may have a `:port`. An IPv6
    /// address with a port is written in brackets.
    ///
    /// # Errors
    /// The reason why the text is invalid.
    pub fn parse(text: &str) -> Result<Self, String> {
        const RULE: &str = "must be a host, host:port, an address or a network such as 10.1.0.0/16";
        let network = |net: IpNet| Self { place: TargetPlace::Network(net), port: None };
        if let Ok(net) = text.parse::<IpNet>() {
            return Ok(network(net));
        }
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(network(IpNet::from(ip)));
        }
        let bracketed = text.starts_with('[') && text.ends_with(']');
        let (host, port) = match split(text) {
            Some((_, 0)) => return Err("must have a port from 1 to 65535".to_owned()),
            Some((host, port)) => (host, Some(port)),
            None if text.contains(':') && !bracketed => {
                return Err(format!("{RULE}; a port is a number from 1 to 65535"));
            }
            None => (text, None),
        };
        let place = match Host::parse(host).map_err(|_error| RULE)? {
            Host::Domain(name) if name.is_empty() || name.contains(['/', '*']) => {
                return Err(RULE.to_owned());
            }
            Host::Domain(name) => TargetPlace::Name(name),
            Host::Ipv4(ip) => TargetPlace::Network(IpNet::from(IpAddr::V4(ip))),
            Host::Ipv6(ip) => TargetPlace::Network(IpNet::from(IpAddr::V6(ip))),
        };
        Ok(Self { place, port })
    }

    /// Whether this entry covers the address and port, reached under this host name.
    #[must_use]
    pub fn covers(&self, host: &str, ip: IpAddr, port: u16) -> bool {
        let named = match &self.place {
            TargetPlace::Name(name) => name.eq_ignore_ascii_case(host),
            TargetPlace::Network(net) => net.contains(&ip),
        };
        named && self.port.is_none_or(|allowed| allowed == port)
    }
}

/// Allowed targets of `${file:PATH}` and `${env:NAME}` in definitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefSettings {
    /// Files, and folders with everything below them.
    pub files: Vec<RefFiles>,
    /// Names of environment variables.
    pub env: Vec<RefNames>,
    /// Files with the node's own secrets. They are never allowed, whatever `files` contains.
    pub secret_files: Vec<PathBuf>,
    /// Variables that are never allowed, whatever `env` contains.
    pub secret_env: Vec<String>,
}

impl RefSettings {
    /// Whether a variable is allowed.
    #[must_use]
    pub fn names(&self, variable: &str) -> bool {
        let own = variable.starts_with(ENVIRONMENT_PREFIX)
            || self.secret_env.iter().any(|secret| secret == variable);
        !own && self.env.iter().any(|names| names.cover(variable))
    }
}

/// One entry of `actions.refs.files`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefFiles {
    /// An absolute path.
    path: PathBuf,
    /// Whether the entry is a folder and covers all files below it. Otherwise it covers one file.
    folder: bool,
}

impl RefFiles {
    /// Parses an absolute path. A trailing `/` denotes a folder.
    ///
    /// # Errors
    /// The reason why the text is invalid.
    pub fn parse(text: &str) -> Result<Self, String> {
        let path = Path::new(text);
        if !is_plain(path) {
            return Err("must be an absolute path without `..`; one of a folder ends with /".into());
        }
        if let Some(folder) = KERNEL_FOLDERS.iter().find(|folder| path.starts_with(folder)) {
            return Err(format!("must not lie in {folder}, which holds no files of text"));
        }
        Ok(Self { path: path.components().collect(), folder: text.ends_with('/') })
    }

    /// Whether the entry covers this absolute path.
    #[must_use]
    pub fn cover(&self, path: &Path) -> bool {
        if self.folder { path.starts_with(&self.path) } else { path == self.path }
    }

    /// The same entry with symbolic links in its path resolved. `None` if the path does not exist.
    #[must_use]
    pub fn resolved(&self) -> Option<Self> {
        Some(Self { path: self.path.canonicalize().ok()?, folder: self.folder })
    }
}

/// Whether a path is absolute and contains no `..`.
#[must_use]
pub fn is_plain(path: &Path) -> bool {
    path.is_absolute() && path.components().all(|part| part != Component::ParentDir)
}

/// One entry of `actions.refs.env`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefNames {
    name: String,
    /// Whether the name is a prefix.
    open: bool,
}

impl RefNames {
    /// Parses the name of a variable, or a prefix followed by `*`.
    ///
    /// # Errors
    /// The reason why the text is invalid.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, open) = match text.strip_suffix('*') {
            Some(beginning) => (beginning, true),
            None => (text, false),
        };
        if name.contains(['*', '=', '\0']) || name.contains(char::is_whitespace) || text.is_empty()
        {
            return Err("must be a variable's name, or a beginning with * such as APP_*".into());
        }
        if name.starts_with(ENVIRONMENT_PREFIX) {
            return Err(format!("must not name {ENVIRONMENT_PREFIX}…, the node's own settings"));
        }
        Ok(Self { name: name.to_owned(), open })
    }

    fn cover(&self, variable: &str) -> bool {
        if self.open { variable.starts_with(&self.name) } else { variable == self.name }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_hosts_addresses_and_networks() {
        let covers = |entry: &str, host: &str, ip: &str, port: u16| {
            AllowedTarget::parse(entry).unwrap().covers(host, ip.parse().unwrap(), port)
        };
        for (entry, host, ip, port, expected) in [
            ("LOCALHOST", "localhost", "127.0.0.1", 1, true),
            ("localhost:80", "localhost", "127.0.0.1", 81, false),
            ("localhost", "other", "127.0.0.1", 1, false),
            ("127.0.0.1", "other", "127.0.0.1", 1, true),
            ("127.0.0.1:9000", "127.0.0.1", "127.0.0.1", 9001, false),
            ("10.1.0.0/16", "x", "10.1.2.3", 1, true),
            ("10.1.0.0/16", "x", "10.2.2.3", 1, false),
            ("::1", "x", "::1", 1, true),
            ("[::1]:90", "x", "::1", 90, true),
            ("[::1]:90", "x", "::1", 91, false),
            ("[::1]", "x", "::1", 91, true),
            ("fd00::/8", "x", "fd00::5", 1, true),
        ] {
            assert_eq!(covers(entry, host, ip, port), expected, "{entry} {host} {ip} {port}");
        }
        for bad in [
            "",
            "127.0.0.1:90000",
            "127.0.0.1:80a",
            "127.0.0.1:",
            "localhost:0",
            "a b",
            ":80",
            "http://x",
            "10.0.0.0/33",
            "10.0.0.0/8:80",
            "*",
            "*.example",
            "::1:80:x",
            "[::1]:x",
        ] {
            assert!(AllowedTarget::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn files_are_exact_or_below_a_folder() {
        let cover = |entry: &str, path: &str| {
            RefFiles::parse(entry).map(|files| files.cover(Path::new(path)))
        };
        assert_eq!(cover("/etc/app/", "/etc/app/a/b"), Ok(true));
        assert_eq!(cover("/etc/app/", "/etc/apples"), Ok(false));
        assert_eq!(cover("/etc/app", "/etc/app"), Ok(true));
        assert_eq!(cover("/etc/app", "/etc/app/a"), Ok(false));
        assert_eq!(cover("/", "/etc/app/a"), Ok(true));
        for bad in ["", "app", "./app", "/etc/../x", "/proc/", "/proc/1/environ", "/dev/", "/sys/"]
        {
            assert!(RefFiles::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn variables_are_named_or_begun_and_never_the_nodes_own() {
        let refs = |env: &[&str]| RefSettings {
            env: env.iter().map(|text| RefNames::parse(text).unwrap()).collect(),
            secret_env: vec!["APP_CLUSTER".to_owned()],
            ..RefSettings::default()
        };
        assert!(!RefSettings::default().names("PATH"));
        let some = refs(&["APP_*", "PATH"]);
        for (name, expected) in [
            ("PATH", true),
            ("PATHS", false),
            ("APP_", true),
            ("APP_KEY", true),
            ("XAPP_KEY", false),
            ("APP_CLUSTER", false),
        ] {
            assert_eq!(some.names(name), expected, "{name}");
        }
        let all = refs(&["*"]);
        assert!(all.names("PATH") && !all.names("PUNCTUAL__CLUSTER__SECRET"));
        for bad in ["", "A*B", "*A", "A=B", "A B", "PUNCTUAL__X", "PUNCTUAL__*"] {
            assert!(RefNames::parse(bad).is_err(), "{bad}");
        }
    }
}
