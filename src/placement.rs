//! How the server is placed, as far as that matters to policies: whether its clients can be told apart by
//! address, and who can reach its RPC.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::history::{SubnetWidths, is_private};
use crate::snapshot::Snapshot;

/// Fewer clients may well be one household, or the operator's own.
const CLIENTS_MIN: usize = 20;

/// So many of a hundred are nearly all.
const PERCENT_MIN: usize = 90;

/// What is unusual about the server's clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crowding {
    /// Nearly all have one address.
    OneAddress {
        /// That address, or its /64.
        address: IpNet,
        /// Sessions from there.
        sessions: usize,
        /// Sessions in all whose address is known.
        of: usize,
    },
    /// Nearly all have private addresses.
    Private {
        /// Sessions from such addresses.
        sessions: usize,
        /// Sessions in all whose address is known.
        of: usize,
    },
}

impl Crowding {
    /// What a poll shows of it. Only clients count.
    pub fn of(snapshot: &Snapshot) -> Option<Self> {
        let addresses = || addresses(snapshot);
        let of = addresses().count();
        let is_most = |sessions: usize| sessions * 100 >= of * PERCENT_MIN;
        if of < CLIENTS_MIN {
            return None;
        }
        let address = candidate(addresses())?;
        let sessions = addresses().filter(|&it| network(it) == address).count();
        if is_most(sessions) {
            return Some(Self::OneAddress {
                address,
                sessions,
                of,
            });
        }
        let sessions = addresses().filter(|&it| is_private(it)).count();
        is_most(sessions).then_some(Self::Private { sessions, of })
    }
}

fn addresses(snapshot: &Snapshot) -> impl Iterator<Item = IpAddr> {
    let sessions = &snapshot.sessions;
    let clients = sessions.flags.iter().zip(&sessions.peer);
    clients
        .filter(|(flags, _)| flags.is_client())
        .filter_map(|(_, peer)| peer.0)
        .map(|peer| peer.ip().to_canonical())
}

fn network(address: IpAddr) -> IpNet {
    SubnetWidths::ADDRESS.network(address)
}

/// The address that more than half have, if any has: Boyer and Moore's vote, which remembers one.
fn candidate(addresses: impl Iterator<Item = IpAddr>) -> Option<IpNet> {
    let mut leader = None;
    let mut lead = 0_usize;
    for address in addresses {
        let address = network(address);
        if lead == 0 {
            leader = Some(address);
        }
        lead = if leader == Some(address) {
            lead + 1
        } else {
            lead - 1
        };
    }
    leader
}

impl fmt::Display for Crowding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneAddress {
                address,
                sessions,
                of,
            } => write!(f, "{sessions} of {of} clients have the address `{address}`")?,
            Self::Private { sessions, of } => {
                write!(f, "{sessions} of {of} clients have private addresses")?;
            }
        }
        f.write_str(
            ": they come through a proxy, a load balancer or Tor, and policies on addresses and subnets \
             cannot tell people apart; let ElectrumX see the clients' own addresses, or use policies on \
             sessions and client names",
        )
    }
}

/// An RPC that others than this machine's users may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenRpc(SocketAddr);

impl OpenRpc {
    /// If the RPC's address, as connected to, is such.
    pub fn of(server: SocketAddr) -> Option<Self> {
        (!server.ip().to_canonical().is_loopback()).then_some(Self(server))
    }
}

impl fmt::Display for OpenRpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the RPC at `{}` is not on the loopback interface: ElectrumX's LocalRPC has no \
             authentication, and whoever reaches it controls the server; let ElectrumX serve it on \
             `127.0.0.1`, or a firewall let nobody through but the agent",
            self.0
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::Scene;

    fn crowding(peers: impl IntoIterator<Item = String>) -> Option<Crowding> {
        let mut scene = Scene::new();
        for peer in peers {
            scene.connect(&peer, "x");
        }
        Crowding::of(&scene.poll())
    }

    fn same(count: usize, host: &str) -> Vec<String> {
        (0..count)
            .map(|port| format!("{host}:{}", port + 1))
            .collect()
    }

    fn different(count: usize) -> Vec<String> {
        (0..count).map(|i| format!("8.8.{i}.8:1")).collect()
    }

    #[test]
    fn a_crowd_behind_one_address_is_found() {
        let found = crowding([same(18, "8.8.8.8"), different(2)].concat()).unwrap();
        assert_eq!(
            found.to_string(),
            "18 of 20 clients have the address `8.8.8.8/32`: they come through a proxy, a load balancer \
             or Tor, and policies on addresses and subnets cannot tell people apart; let ElectrumX see \
             the clients' own addresses, or use policies on sessions and client names"
        );
        assert_eq!(crowding([same(17, "8.8.8.8"), different(3)].concat()), None);
        assert_eq!(crowding(same(19, "8.8.8.8")), None, "too few to tell");
        let one_customer = (0..20).map(|i| format!("[2a00:1:2:3::{i:x}]:1"));
        let found = crowding(one_customer).unwrap();
        assert!(found.to_string().contains("`2a00:1:2:3::/64`"), "{found}");
    }

    #[test]
    fn a_private_crowd_is_found() {
        let private = (0..30).map(|i| format!("10.0.0.{i}:1"));
        let found = crowding(private.chain(different(3)));
        let Some(Crowding::Private {
            sessions: 30,
            of: 33,
        }) = found
        else {
            panic!("{found:?}");
        };
        let private = (0..30).map(|i| format!("10.0.0.{i}:1"));
        assert_eq!(crowding(private.chain(different(4))), None);
        assert_eq!(crowding(different(100)), None);
    }

    #[test]
    fn an_rpc_off_loopback_is_open() {
        let open = |text: &str| OpenRpc::of(text.parse().unwrap()).is_some();
        assert!(!open("127.0.0.1:8000") && !open("127.1.2.3:8000") && !open("[::1]:8000"));
        assert!(!open("[::ffff:127.0.0.1]:8000"));
        assert!(open("192.168.1.2:8000") && open("0.0.0.0:8000") && open("[fe80::1]:8000"));
    }
}
