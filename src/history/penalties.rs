//! Strikes and bans of those who are there.

use std::net::IpAddr;
use std::time::Duration;

use hashbrown::HashMap;
use ipnet::IpNet;

use super::History;
use super::private::SubnetWidths;
use crate::decision::SessionRef;
use crate::penalty::{Ban, Face, ManualAct};
use crate::policy::Mode;
use crate::time::Timestamp;

impl History {
    /// The address or /64 of a session, if it does not stand for many people.
    pub(crate) fn public_address(&self, session: u32) -> Option<&IpNet> {
        let slot = self.sessions.get(session);
        let address =
            Some(slot.address).filter(|&it| it != super::keys::NONE && !slot.is_private)?;
        self.addresses.keys.key(address as usize)
    }

    /// The ban that a session is under.
    pub(crate) fn ban(&self, session: u32) -> Option<&Ban> {
        self.ban_as(session, self.face)
    }

    fn ban_as(&self, session: u32, face: Face) -> Option<&Ban> {
        if !self.penalties.is_anybody_out(face) {
            return None;
        }
        let address = self.session(session).peer.0?.ip();
        self.public_address(session)?;
        self.penalties.ban_of(address, face)
    }

    /// The ban that a network is under as a whole.
    pub(super) fn ban_of_net(&self, net: &IpNet) -> Option<&Ban> {
        let ban = self.penalties.ban_of(net.addr(), self.face);
        ban.filter(|ban| ban.net.contains(net))
    }

    /// The strikes of a network, as far as they have not faded.
    pub(super) fn strikes(&self, net: &IpNet, at: Timestamp) -> f64 {
        self.penalties.strikes.level(net, self.face, at)
    }

    /// The sessions of those who are banned, in the order of their slots. In dry-run nobody goes, so each
    /// is among them once.
    pub(crate) fn banned(&self, face: Face) -> Vec<u32> {
        if !self.penalties.is_anybody_out(face) {
            return Vec::new();
        }
        let is_news =
            |&session: &u32| face == Face::Real || !self.sessions.get(session).is_expelled();
        let connected = self.connected().filter(is_news);
        connected
            .filter(|&session| self.ban_as(session, face).is_some())
            .collect()
    }

    /// Of a session that is there, whether the agent asked to disconnect it, or would have.
    pub(crate) fn was_to_go(&self, session: &SessionRef) -> Option<bool> {
        let slot = self.find_session(session.id)?;
        Some(self.sessions.get(slot).is_expelled())
    }

    /// Whether decisions of a policy of this mode are done, or would be.
    pub(crate) fn face_of(&self, mode: Mode) -> Face {
        match self.face {
            Face::Real => mode.into(),
            Face::Rehearsed => Face::Rehearsed,
        }
    }

    /// Whether a session was asked to go so lately that it may still be on its way; to the other face, or would
    /// have been.
    pub(crate) fn is_going(&self, session: u32, face: Face, at: Timestamp) -> bool {
        const GOING_FOR: Duration = Duration::from_secs(60);
        let asked = self.sessions.get(session).asked_to_go_at(face);
        asked.is_some_and(|asked| at.since(asked) < GOING_FOR)
    }

    /// The ban that a session of the present snapshot is under.
    pub(crate) fn ban_on(&self, session: &SessionRef, face: Face) -> Option<&Ban> {
        self.ban_as(self.find_session(session.id)?, face)
    }

    /// The sessions of each of these networks, private ones left out.
    pub(crate) fn sessions_within(&self, nets: &[IpNet]) -> HashMap<IpNet, Vec<u32>> {
        let mut within: HashMap<IpNet, Vec<u32>> =
            nets.iter().map(|&net| (net, Vec::new())).collect();
        for session in self.connected() {
            let Some(address) = self.public_address(session) else {
                continue;
            };
            for net in [*address, self.widths.network(address.addr())] {
                if let Some(sessions) = within.get_mut(&net) {
                    sessions.push(session);
                }
            }
        }
        within
    }

    /// Whether a session would make its client a regular by its own age, whatever its address did.
    pub(crate) fn has_good_name(&self, session: u32) -> bool {
        let slot = self.sessions.get(session);
        !slot.is_expelled() && self.seniority.is_regular_at(slot.age_ms())
    }

    /// Whether the client of an address is a regular, connected or not.
    pub(crate) fn is_regular_address(&self, address: &IpNet) -> bool {
        self.seniority.is_regular_net(address)
    }

    /// The regulars of a subnet, connected or not: their addresses, in ascending order.
    pub(crate) fn regulars_of(&self, subnet: &IpNet) -> Vec<IpNet> {
        let mut regulars: Vec<IpNet> = self.seniority.regulars_within(subnet).collect();
        regulars.sort_unstable();
        regulars
    }

    /// The sessions of a network, private ones left out.
    pub(crate) fn sessions_in(&self, net: &IpNet) -> Vec<u32> {
        let is_within = |&session: &u32| {
            let address = self.public_address(session);
            address.is_some_and(|address| net.contains(address))
        };
        self.connected().filter(is_within).collect()
    }

    /// What a person changed; how many clients had been acted on, if they are pardoned.
    pub(crate) fn change_by_hand(&mut self, act: &ManualAct) -> usize {
        self.penalties.change_by_hand(act);
        match act {
            ManualAct::Pardon(net) => self.seniority.pardon(net),
            _ => 0,
        }
    }

    /// Whether a poll has succeeded: before that nobody is known as a regular.
    pub(crate) fn has_seen_server(&self) -> bool {
        self.last.is_some()
    }

    /// The client's network of an address.
    pub(crate) fn client_net(address: IpAddr) -> IpNet {
        SubnetWidths::ADDRESS.network(address)
    }
}
