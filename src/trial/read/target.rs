//! Targets as tests name them: sessions by their peers.

use ipnet::IpNet;

use super::session::peer;
use crate::decision::Peer;
use crate::field::Scope;
use crate::history::SubnetWidths;
use crate::policy::reading::{canonical, parse_net, word};
use crate::trial::Wanted;
use crate::trial::script::Script;

/// How a target is written.
pub(super) fn target_form(scope: Scope) -> String {
    match scope {
        Scope::Server => "there is one server: leave it out".to_owned(),
        Scope::Session => {
            "write the session's peer: `\"203.0.113.7\"` or `\"203.0.113.7:50001\"`".to_owned()
        }
        Scope::Address => "write the address: `\"203.0.113.7\"`".to_owned(),
        Scope::Subnet => "write the subnet: `\"203.0.113.0/24\"`".to_owned(),
        Scope::Group => "write the group's name: `\"203.0.113.0/24\"`".to_owned(),
        Scope::Client => "write the client's name: `\"electrum/4.5.5\"`".to_owned(),
    }
}

/// The target of a policy of this scope; or what is wrong with it, and what to do.
pub(super) fn target(
    text: &str,
    scope: Scope,
    script: Option<&Script>,
    widths: SubnetWidths,
) -> Result<Wanted, (String, String)> {
    let not = |what: &str| Err((format!("`{}` is no {what}", word(text)), target_form(scope)));
    match scope {
        Scope::Server if text == "server" => Ok(Wanted::Server),
        Scope::Server => not("target of a policy for the server"),
        Scope::Group | Scope::Client => Ok(Wanted::Text(text.into())),
        Scope::Session => match peer(text) {
            Some(peer) => script.map_or(Ok(Wanted::Session(peer)), |it| session(peer, it)),
            None => not("peer"),
        },
        Scope::Address => match parse_net(text) {
            Some(net) if is_one_address(net) => {
                Ok(Wanted::Net(SubnetWidths::ADDRESS.network(net.addr())))
            }
            _ => not("address"),
        },
        Scope::Subnet => match parse_net(text).map(canonical) {
            Some(net) if net == widths.network(net.addr()) => Ok(Wanted::Net(net)),
            Some(net) => {
                let near = widths.network(net.addr());
                let complaint = format!("`{}` is not as wide as a subnet is here", word(text));
                Err((complaint, format!("did you mean `{near}`?")))
            }
            None => not("subnet"),
        },
    }
}

fn is_one_address(net: IpNet) -> bool {
    let width = SubnetWidths::ADDRESS;
    let wanted = if matches!(net, IpNet::V4(_)) {
        width.v4
    } else {
        width.v6
    };
    net.prefix_len() == net.max_prefix_len() || net.prefix_len() == wanted
}

/// The one session that is meant.
fn session(wanted: Peer, script: &Script) -> Result<Wanted, (String, String)> {
    let peers = script.sessions.iter().flat_map(|sessions| &sessions.peers);
    let is_meant = |peer: &&Peer| match (wanted.0, peer.0) {
        (Some(wanted), Some(peer)) => {
            wanted == peer || wanted.port() == 0 && wanted.ip() == peer.ip()
        }
        (None, None) => true,
        _ => false,
    };
    let mut meant = peers.filter(is_meant);
    let shown = match wanted.0 {
        Some(wanted) if wanted.port() == 0 => wanted.ip().to_string(),
        _ => wanted.to_string(),
    };
    let first = meant.next();
    // The same peer again is the same client, at another time.
    match (first, meant.find(|&peer| Some(peer) != first)) {
        (None, _) => Err((
            format!("no session of this test is at `{shown}`"),
            "write the peer of one: `[[test.session]]` says them".to_owned(),
        )),
        (Some(first), Some(_)) if wanted.0.is_some() => Err((
            format!("several sessions of this test are at `{shown}`"),
            format!("write the port too; the first is `{first}`"),
        )),
        (Some(&only), _) => Ok(Wanted::Session(only)),
    }
}
