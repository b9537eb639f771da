//! Pseudonyms for clients' addresses, so that a recording can be kept or shared without them.
//!
//! They keep prefixes and what is private, so policies find in a recording with pseudonyms what they
//! find in the raw one: the same subnets, the same groups, the same shares. What they cannot keep is
//! the meaning of an address that a policy names. They hide addresses from who has not got the key;
//! they hide neither names nor what a client did and when, and who connected from an address can find
//! its own row, and with it how the subnets around it are called.

mod key;
mod reply;
mod text;
mod tree;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use hashbrown::HashSet;
use ipnet::IpNet;

use crate::decision::{Decision, Evidence, Peer, Seen, SessionRef, Target};

pub use key::{Key, KeyError};
pub use reply::{Reply, Unreadable};
use tree::Tree;

/// The pseudonyms of one key.
#[derive(Clone, Debug)]
pub struct Pseudonyms {
    peers: Tree,
    in_texts: Tree,
    /// The peers in the last reply to `sessions` whose addresses read like versions.
    short_peers: HashSet<Ipv4Addr>,
    edits: reply::Edits,
}

impl Pseudonyms {
    /// The pseudonyms that `key` gives.
    pub fn new(key: &Key) -> Self {
        Self {
            peers: Tree::new(key.function("peers")),
            in_texts: Tree::new(key.function("texts")),
            short_peers: HashSet::new(),
            edits: reply::Edits::default(),
        }
    }

    /// The pseudonym of an address: as private as it, and of the same family. Loopback and
    /// unspecified addresses are their own.
    pub fn address(&self, address: IpAddr) -> IpAddr {
        self.peers.hide(address)
    }

    /// The address behind a pseudonym.
    pub fn reveal(&self, pseudonym: IpAddr) -> IpAddr {
        self.peers.reveal(pseudonym)
    }

    /// The network in which the pseudonyms of all addresses of `net` are.
    pub fn net(&self, net: IpNet) -> IpNet {
        let address = self.address(net.trunc().addr());
        IpNet::new_assert(address, net.prefix_len()).trunc()
    }

    /// The peer by its pseudonym; its port stays.
    pub fn peer(&self, peer: Peer) -> Peer {
        let hidden = |peer: SocketAddr| SocketAddr::new(self.address(peer.ip()), peer.port());
        Peer(peer.0.map(hidden))
    }

    /// The session by its peer's pseudonym.
    pub fn session(&self, session: SessionRef) -> SessionRef {
        SessionRef {
            peer: self.peer(session.peer),
            ..session
        }
    }

    /// The target by pseudonyms.
    pub fn target(&self, target: &Target) -> Target {
        match target {
            Target::Server => Target::Server,
            Target::Session(session) => Target::Session(self.session(*session)),
            Target::Address(net) => Target::Address(self.net(*net)),
            Target::Subnet(net) => Target::Subnet(self.net(*net)),
            Target::Group(name) => Target::Group(self.group(name).into()),
            Target::Client(name) => Target::Client(self.text(name).into()),
        }
    }

    /// The decision by pseudonyms. Of the policy nothing is changed, nor what its tests ask for.
    pub fn decision(&self, decision: &Decision) -> Decision {
        let mut hidden = decision.clone();
        hidden.target = self.target(&decision.target);
        for session in &mut hidden.sessions {
            *session = self.session(*session);
        }
        for evidence in &mut hidden.evidence {
            self.hide_seen(evidence);
        }
        for ban in &mut hidden.bans {
            ban.net = self.net(ban.net);
            for hole in &mut ban.holes {
                *hole = self.net(*hole);
            }
        }
        for refusal in &mut hidden.refused {
            refusal.net = self.net(refusal.net);
        }
        hidden
    }

    fn hide_seen(&self, evidence: &mut Evidence) {
        let Seen::Text(seen) = &mut evidence.seen else {
            return;
        };
        let hidden: Arc<str> = match &*evidence.field {
            // An address or a network.
            "address" | "group" => self.group(seen).into(),
            "client" => self.text(seen).into(),
            _ => return,
        };
        *seen = hidden;
    }
}
