//! Settings of what actions may reach and keep.

use std::net::SocketAddr;

use super::*;
use crate::config::OutputLimits;

#[test]
fn what_actions_may_reach_is_read_item_by_item() {
    let file = "[actions.refs]\nfiles = [\n  \"/etc/app/\",\n  \"relative\",\n  \"/proc/self/environ\",\n]\n\
                env = [\"APP_*\", \"PUNCTUAL__CLUSTER__SECRET\"]\n\
                [actions.http]\nallow = [\n  \"10.0.0.1:80\",\n  \"127.0.0.1:90000\",\n]\n";
    let lines = refused(file);
    let want = [
        "punctual.toml:4: [actions.refs] files: must be an absolute path",
        "punctual.toml:5: [actions.refs] files: must not lie in /proc",
        "punctual.toml:7: [actions.refs] env: must not name PUNCTUAL__",
        "punctual.toml:11: [actions.http] allow: must be a host, host:port",
    ];
    assert_eq!(lines.len(), want.len(), "{lines:#?}");
    for (line, start) in lines.iter().zip(want) {
        assert!(line.starts_with(start), "{line}");
    }
    let lines = refused("[actions]\nrefs = { file = [] }\n");
    assert!(
        lines[0].contains("[actions.refs] file: unknown key; did you mean `files`?"),
        "{lines:?}"
    );

    let config = load("[actions]\nrefs = { env = [\"APP_*\"] }\n", &[], &[]).unwrap();
    assert!(config.actions.refs.names("APP_KEY"));
    let secrets = |secret: &str| {
        let environment =
            [("APP_SECRET", "0123456789abcdef"), ("PUNCTUAL__CLUSTER__SECRET", secret)];
        let config = load("[actions]\nrefs = { env = [\"APP_*\"] }\n", &environment, &[]).unwrap();
        config.actions.refs
    };
    let refs = secrets("${file:/etc/punctual/cluster-secret}");
    let files = ["/etc/punctual/cluster-secret", "punctual.toml"].map(PathBuf::from);
    assert_eq!(refs.secret_files, files);
    assert!(refs.names("APP_SECRET"));
    assert!(!secrets("${env:APP_SECRET}").names("APP_SECRET"));
}

#[test]
fn what_is_kept_of_an_output_is_more_than_what_is_held() {
    let file = "[actions.output]\nlive_bytes = 1048576\nkept_bytes = 2097151\n";
    let lines = refused(file);
    let start = "punctual.toml:3: [actions.output] kept_bytes: is 2097151, must be at least twice";
    assert!(lines.len() == 1 && lines[0].starts_with(start), "{lines:?}");
    let output = load("", &[], &[]).unwrap().actions.output;
    assert_eq!(output, OutputLimits::default());
}

#[test]
fn the_clusters_own_ports_are_those_of_members_and_of_this_nodes_listeners() {
    let file = "[[cluster.member]]\nid = 1\npeer = \"n1.example:7070\"\n\
                [[cluster.member]]\nid = 2\npeer = \"10.0.0.2:7070\"\n\
                http = \"http://[fd00::2]:8080/\"\n\
                [node]\nid = 1\n[peer]\nlisten = \"0.0.0.0:7070\"\ninsecure = true\n";
    let config = load(file, &[], &[]).unwrap();
    let own = config.listeners(Some(SocketAddr::from(([0, 0, 0, 0], 8080))));
    let own: Vec<String> = own.iter().map(|(host, port)| format!("{host} {port}")).collect();
    let want =
        ["n1.example 7070", "10.0.0.2 7070", "[fd00::2] 8080", "0.0.0.0 8080", "0.0.0.0 7070"];
    assert_eq!(own, want);
}
