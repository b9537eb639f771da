//! A server in a container, whose port the host publishes.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use electrumx_warden::sink::nftables::Nftables;

use crate::support::netns::Netns;
use crate::support::nft::{Nft, executable};
use crate::support::python::run;
use crate::support::skipped;
use crate::world::{AT, connects, for_an_hour, runtime, settings};

const HOST: &str = "45.90.1.1";
const BANNED: &str = "45.90.1.10";
const NEIGHBOUR: &str = "45.90.1.11";
const PUBLISHED: u16 = 50_002;
/// The container's own address and port, by which nobody knows it.
const CONTAINER: &str = "172.17.0.2:443";

/// The packets are forwarded, so a chain at the hook `input` would not see them.
#[test]
fn a_server_in_a_container_is_covered_at_its_published_port() {
    if skipped() {
        return;
    }
    let script = Nft::Bookworm.script();
    let [host, clients, container] = std::array::from_fn(|_| Netns::with(&[]));
    host.connect("45.90.1.1/24", &clients, "45.90.1.10/24");
    host.connect("172.17.0.1/16", &container, "172.17.0.2/16");
    let ip = |args: &str| {
        run(Command::new("ip").args(args.split(' ')), "see what ip says");
    };
    clients.within(|| ip("address add 45.90.1.11/24 dev far0"));
    let _server = container.within(|| {
        ip("route add default via 172.17.0.1");
        TcpListener::bind(CONTAINER).unwrap()
    });
    let folder = tempfile::tempdir().unwrap();
    let nft = executable(folder.path(), "nft", &script);
    host.within(|| {
        fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        for args in [
            "add table ip nat",
            "add chain ip nat published { type nat hook prerouting priority -100; }",
            &format!("add rule ip nat published tcp dport {PUBLISHED} dnat to {CONTAINER}"),
        ] {
            run(
                Command::new(&nft).args(args.split(' ')),
                "see what nft says",
            );
        }
    });
    let answers = |source: &str| {
        let (source, server) = (source.parse().unwrap(), format!("{HOST}:{PUBLISHED}"));
        clients.within(|| runtime().block_on(connects(source, server.parse().unwrap())))
    };
    assert!(answers(BANNED));
    host.within(|| {
        let mut sink = Nftables::new(settings(&nft));
        let desired = for_an_hour(&[&format!("{BANNED}/32")]);
        runtime().block_on(sink.reconcile(&desired, AT)).unwrap();
    });
    assert!(!answers(BANNED));
    assert!(answers(NEIGHBOUR));
}
