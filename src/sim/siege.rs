//! Worlds under attack: the honest crowd, who is in the way, and the adversaries.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::actor::{ActorId, Identity};
use super::attack::{Attack, MONITOR, SLEEP};
use super::chain::Stall;
use super::habit::{Flow, Habits, Kind, LIGHT, PINGS, SILENT};
use super::people::{ABUSIVE_OCTETS, ipv4};
use super::release::Release;
use super::score::Role;
use super::session::Method;
use super::tactic::Tactic;
use super::world::World;

/// Honest people, connected for up to [`ELDEST`].
const CROWD: [(Kind, u32); 6] = [
    (Kind::LightWallet, 50),
    (Kind::HeavyWallet, 6),
    (Kind::Merchant, 20),
    (Kind::TorUser, 14),
    (Kind::NatWallet, 10),
    (Kind::MobileWallet, 20),
];
/// Half of it, for attacks by many.
const SMALL_CROWD: [(Kind, u32); 5] = [
    (Kind::LightWallet, 28),
    (Kind::HeavyWallet, 2),
    (Kind::Merchant, 10),
    (Kind::TorUser, 10),
    (Kind::MobileWallet, 10),
];
const ELDEST: Duration = Duration::from_hours(20);
/// Who comes anew, in turn.
const NEWCOMERS: [Kind; 6] = [
    Kind::LightWallet,
    Kind::MobileWallet,
    Kind::TorUser,
    Kind::LightWallet,
    Kind::NatWallet,
    Kind::HeavyWallet,
];
/// From one newcomer to the next.
const NEWCOMER_EVERY: Duration = Duration::from_secs(6);

const MB: f64 = 1e6;

/// What is common to adversaries: there for good, abusive at once, back within two seconds.
const ADVERSARY: Habits = Habits {
    lead_s: 0.0,
    lead: SILENT,
    then: SILENT,
    subs_max: 0,
    sulk_s: (1.0, 2.0),
    ..LIGHT
};

/// Pulls so many bytes a second.
const fn pulling(bytes_per_second: f64) -> Habits {
    const REPLY: f64 = 50_000.0;
    Habits {
        then: Flow {
            requests: bytes_per_second / REPLY,
            reply_bytes: REPLY,
            method: Method::Block,
            pending: (1, 8),
            ..SILENT
        },
        ..ADVERSARY
    }
}

/// Makes so many errors a second.
const fn failing(errors_per_second: f64) -> Habits {
    Habits {
        then: Flow {
            errors: errors_per_second,
            requests: errors_per_second / 10.0,
            ..SILENT
        },
        ..ADVERSARY
    }
}

/// Subscribes to so many addresses.
const fn hoarding(subs: u64) -> Habits {
    Habits {
        then: Flow {
            subs: 1_500.0,
            pending: (160, 400),
            ..SILENT
        },
        subs_max: subs,
        ..ADVERSARY
    }
}

/// Stays just long enough for a poll to see it, once.
const BRIEF: Habits = Habits {
    stay_s: Some((13.5, 18.0)),
    visits: 1,
    ..ADVERSARY
};

/// Comes and goes before anything has held for long enough.
const fn reconnecting(habits: Habits) -> Habits {
    Habits {
        stay_s: Some((3.0, 7.0)),
        away_s: (0.3, 0.8),
        ..habits
    }
}

impl World {
    /// A world under attack: an honest crowd, newcomers at a usual rate, and the adversaries. The
    /// attack begins at [`Attack::begins`].
    pub fn under(attack: Attack, release: Release, seed: u64) -> Self {
        let mut world = Self::empty(release, seed);
        world.begin(attack);
        if attack.sticks_daemon() {
            world.stall(Stall::Daemon, attack.begins(), attack.length());
        }
        let crowd: &[(Kind, u32)] = match attack {
            Attack::Outnumbered => &SMALL_CROWD,
            _ => &CROWD,
        };
        let mut cast = Cast {
            begins: attack.begins(),
            here: Vec::new(),
            world: &mut world,
        };
        for &(kind, count) in crowd {
            for _ in 0..count {
                cast.here(kind, None, None);
            }
        }
        cast.newcomers(attack.length());
        cast.play(attack);
        let here = std::mem::take(&mut cast.here);
        world.backdate(&here, ELDEST);
        world
    }
}

/// Who takes part.
struct Cast<'w> {
    world: &'w mut World,
    begins: Duration,
    /// Connected for long when the world begins.
    here: Vec<ActorId>,
}

impl Cast<'_> {
    fn identity(&mut self, kind: Kind) -> Identity {
        let id = self.world.next_actor();
        Identity::draw(id, kind, self.world.rng())
    }

    /// Somebody honest who has been here for long; a victim if it has a given address.
    fn here(&mut self, kind: Kind, address: Option<IpAddr>, habits: Option<Habits>) {
        let mut identity = self.identity(kind);
        if let Some(address) = address {
            identity.peers = vec![address];
            identity.role = Role::Victim;
        }
        identity.habits = habits.unwrap_or(identity.habits);
        let id = self.world.admit(identity, Duration::ZERO);
        self.here.push(id);
    }

    fn victim(&mut self, kind: Kind, address: impl Into<IpAddr>) {
        self.here(kind, Some(address.into()), None);
    }

    fn newcomers(&mut self, until: Duration) {
        let mut at = Duration::from_secs(5);
        for kind in NEWCOMERS.into_iter().cycle() {
            if at >= until {
                return;
            }
            self.world.invite(kind, at);
            at += NEWCOMER_EVERY.mul_f64(0.5 + self.world.rng().f64());
        }
    }

    /// An adversary with a session for each address, who comes when the attack begins.
    fn adversary(&mut self, kind: Kind, peers: Vec<IpAddr>, habits: Habits) -> Identity {
        Identity {
            peers,
            habits,
            returns: u32::MAX,
            ..self.identity(kind)
        }
    }

    fn abuser(&mut self, kind: Kind, peer: impl Into<IpAddr>, habits: Habits) {
        let identity = self.adversary(kind, vec![peer.into()], habits);
        self.come(identity);
    }

    fn come(&mut self, identity: Identity) {
        // Within three seconds, not in one instant.
        let at = self.begins + Duration::from_secs(3).mul_f64(self.world.rng().f64());
        self.world.admit(identity, at);
    }

    /// An address of the abusive, with the first three octets to itself.
    fn address(&mut self) -> IpAddr {
        ipv4(&ABUSIVE_OCTETS, self.world.rng())
    }

    /// A /24: gives the address of a host in it.
    fn subnet(&mut self) -> impl Fn(u8) -> IpAddr + use<> {
        let [a, b, c, _] = match self.address() {
            IpAddr::V4(address) => address.octets(),
            IpAddr::V6(_) => [0; 4],
        };
        move |host| Ipv4Addr::new(a, b, c, host).into()
    }

    fn play(&mut self, attack: Attack) {
        match attack {
            Attack::BriefNeighbour => {
                let host = self.subnet();
                (100..130).for_each(|i| self.victim(Kind::LightWallet, host(i)));
                self.brief_once(host(7));
            }
            Attack::BriefNeighbourV6 => {
                let site = self.world.rng().u16(1..);
                let host = |i: u16| Ipv6Addr::new(0x2a0b, site, 1, i, 0, 0, 0, 1);
                (100..130).for_each(|i| self.victim(Kind::LightWallet, host(i)));
                self.brief_once(host(7).into());
            }
            Attack::Household => self.household(),
            Attack::Housemate => {
                let address = self.address();
                self.victim(Kind::LightWallet, address);
                let mut scraper = self.adversary(Kind::OddName, vec![address], pulling(20_000.0));
                "all_seeing_eye".clone_into(&mut scraper.client);
                self.come(scraper);
            }
            Attack::LoadBalancer => _ = self.balancer(),
            Attack::BalancerHog => {
                let address = self.balancer();
                self.abuser(Kind::BandwidthHog, address, pulling(3.0 * MB));
            }
            Attack::Monitor => self.monitor(),
            Attack::HogNeighbours => {
                let host = self.subnet();
                (100..130).for_each(|i| self.victim(Kind::LightWallet, host(i)));
                self.abuser(Kind::BandwidthHog, host(7), pulling(3.0 * MB));
            }
            Attack::CarrierHog => self.carrier(attack.length()),
            Attack::TorHog => self.tor_hogs(1, 3.0 * MB),
            Attack::TorHogs => self.tor_hogs(20, 1.5 * MB),
            Attack::TagsOnce => {
                self.tags(52, 0);
                self.hog_and_flooder();
            }
            Attack::TagsForever => {
                self.tags(58, u32::MAX);
                self.hog_and_flooder();
            }
            Attack::BudgetDrain => {
                self.tags(150, u32::MAX);
                let address = self.address();
                self.abuser(Kind::BandwidthHog, address, pulling(3.0 * MB));
            }
            Attack::Outnumbered => self.outnumber(),
            Attack::PollDodgers => self.dodgers(),
            Attack::ThirtySubnets => {
                for _ in 0..30 {
                    let address = self.address();
                    self.abuser(Kind::BandwidthHog, address, pulling(1.5 * MB));
                }
            }
            Attack::HogDecoys => self.hog_decoys(),
            Attack::ErrorsBelow => self.below(Kind::ErrorFlood, failing(4.2)),
            Attack::AllBelow => self.below(Kind::SubscriptionHoarder, ALL_BELOW),
            Attack::ReconnectingHogs => self.hogs(Tactic::Plain),
            Attack::RenamingHogs => self.hogs(Tactic::Renames),
            Attack::ErrorDecoys => self.error_decoys(),
            Attack::SlotFlood => self.slot_flood(),
            Attack::Sleepers => self.sleepers(),
        }
    }

    /// 17 brief sessions, once.
    fn brief_once(&mut self, address: IpAddr) {
        let peers = vec![address; 17];
        let identity = Identity {
            returns: 0,
            ..self.adversary(Kind::QuickReconnector, peers, BRIEF)
        };
        self.come(identity);
    }

    /// Two sessions for hours, and a telephone that loses its connection four times.
    fn household(&mut self) {
        let address = self.address();
        self.victim(Kind::LightWallet, address);
        self.victim(Kind::Merchant, address);
        let telephone = Habits {
            stay_s: Some((13.5, 18.0)),
            away_s: (3.0, 10.0),
            visits: 4,
            ..LIGHT
        };
        let identity = Identity {
            peers: vec![address],
            habits: telephone,
            role: Role::Victim,
            ..self.identity(Kind::MobileWallet)
        };
        self.come(identity);
    }

    /// Gives the address.
    fn balancer(&mut self) -> IpAddr {
        let address = self.address();
        let wallet = Habits {
            then: Flow {
                requests: 10.0,
                reply_bytes: 2_000.0,
                ..PINGS
            },
            ..LIGHT
        };
        for _ in 0..300 {
            self.here(Kind::NatWallet, Some(address), Some(wallet));
        }
        address
    }

    fn monitor(&mut self) {
        let [a, b, c, _] = MONITOR.octets();
        self.here(
            Kind::Merchant,
            Some(MONITOR.into()),
            Some(pulling(3.0 * MB)),
        );
        for host in 100..105 {
            self.victim(Kind::LightWallet, Ipv4Addr::new(a, b, c, host));
        }
    }

    /// Five have been there for long; the others come one after the other while a hog is cut and back.
    fn carrier(&mut self, until: Duration) {
        let address = self.address();
        for _ in 0..5 {
            self.victim(Kind::MobileWallet, address);
        }
        let hog = self.adversary(Kind::BandwidthHog, vec![address], pulling(3.0 * MB));
        let client = hog.client.clone();
        self.come(hog);
        let mut at = self.begins;
        while at < until {
            let identity = Identity {
                peers: vec![address],
                client: client.clone(),
                role: Role::Victim,
                ..self.identity(Kind::LightWallet)
            };
            self.world.admit(identity, at);
            at += NEWCOMER_EVERY.mul_f64(0.5 + self.world.rng().f64());
        }
    }

    fn tor_hogs(&mut self, hogs: usize, bytes_per_second: f64) {
        for _ in 0..40 {
            self.victim(Kind::TorUser, Ipv4Addr::LOCALHOST);
        }
        for _ in 0..hogs {
            let habits = pulling(bytes_per_second);
            self.abuser(Kind::BandwidthHog, Ipv4Addr::LOCALHOST, habits);
        }
    }

    /// Sessions whose name is what the policies look for. They do no harm themselves.
    fn tags(&mut self, count: usize, returns: u32) {
        for _ in 0..count {
            let tag = self.tag(ADVERSARY, Tactic::Plain);
            self.come(Identity { returns, ..tag });
        }
    }

    fn tag(&mut self, habits: Habits, tactic: Tactic) -> Identity {
        Identity {
            client: "<".to_owned(),
            role: Role::Decoy,
            tactic,
            ..self.adversary(Kind::OddName, vec![Ipv4Addr::LOCALHOST.into()], habits)
        }
    }

    fn hog_and_flooder(&mut self) {
        let (hog, flooder) = (self.address(), self.address());
        self.abuser(Kind::BandwidthHog, hog, pulling(3.0 * MB));
        self.abuser(Kind::ErrorFlood, flooder, failing(25.0));
    }

    fn outnumber(&mut self) {
        for i in 0..300 {
            let address = self.address();
            match i % 6 {
                0..3 => self.abuser(Kind::ErrorFlood, address, failing(10.0)),
                3 | 4 => self.abuser(Kind::SubscriptionHoarder, address, hoarding(25_000)),
                _ => {
                    let tag = self.tag(ADVERSARY, Tactic::Plain);
                    self.come(Identity {
                        peers: vec![address],
                        ..tag
                    });
                }
            }
        }
    }

    fn dodgers(&mut self) {
        let scout = self.tag(
            Habits {
                sulk_s: (4.0, 5.0),
                ..ADVERSARY
            },
            Tactic::Scouts,
        );
        self.come(scout);
        for _ in 0..6 {
            let address = self.address();
            let identity = Identity {
                tactic: Tactic::Dodges,
                ..self.adversary(Kind::BandwidthHog, vec![address], pulling(1.5 * MB))
            };
            self.come(identity);
        }
    }

    /// More decoys than there are others, so that a median of all would be theirs.
    fn hog_decoys(&mut self) {
        for i in 0..230 {
            let address = self.address();
            let (role, rate) = if i < 30 {
                (Role::Abuser, 3.0 * MB)
            } else {
                (Role::Decoy, 0.1 * MB)
            };
            let hog = self.adversary(Kind::BandwidthHog, vec![address], pulling(rate));
            self.come(Identity { role, ..hog });
        }
    }

    /// A hundred sessions of one address.
    fn below(&mut self, kind: Kind, habits: Habits) {
        let address = self.address();
        for _ in 0..100 {
            self.abuser(kind, address, habits);
        }
    }

    fn hogs(&mut self, tactic: Tactic) {
        for _ in 0..12 {
            let address = self.address();
            let habits = reconnecting(pulling(1.5 * MB));
            let identity = Identity {
                tactic,
                ..self.adversary(Kind::BandwidthHog, vec![address], habits)
            };
            self.come(identity);
        }
    }

    fn error_decoys(&mut self) {
        for _ in 0..22 {
            let address = self.address();
            let habits = Habits {
                stay_s: Some((20.0, 30.0)),
                away_s: (0.5, 1.0),
                ..failing(0.12)
            };
            let identity = Identity {
                role: Role::Decoy,
                ..self.adversary(Kind::ErrorFlood, vec![address], habits)
            };
            self.come(identity);
        }
        let address = self.address();
        self.abuser(Kind::ErrorFlood, address, failing(4.0));
    }

    /// Twenty-four subnets with ten sessions each, and sixty with one.
    fn slot_flood(&mut self) {
        for subnet in 0..84 {
            let host = self.subnet();
            let sessions = if subnet < 24 { 10 } else { 1 };
            for i in 0..sessions {
                let mut idle = self.adversary(Kind::OddName, vec![host(10 + i)], ADVERSARY);
                "electrum/4.5.8".clone_into(&mut idle.client);
                self.come(idle);
            }
        }
    }

    fn sleepers(&mut self) {
        for i in 0..60 {
            let (kind, then) = match i % 3 {
                0 => (Kind::BandwidthHog, pulling(1.5 * MB)),
                1 => (Kind::ErrorFlood, failing(10.0)),
                _ => (Kind::SubscriptionHoarder, hoarding(25_000)),
            };
            let habits = Habits {
                lead_s: SLEEP.as_secs_f64(),
                lead: PINGS,
                ..then
            };
            let address = self.address();
            let identity = Identity {
                tactic: Tactic::WakesOnce,
                ..self.adversary(kind, vec![address], habits)
            };
            self.come(identity);
        }
    }
}

/// Just below each threshold of a session, by whatever an actor's scale makes of it.
const ALL_BELOW: Habits = Habits {
    then: Flow {
        subs: 500.0,
        errors: 3.5,
        pending: (110, 140),
        ..SILENT
    },
    subs_max: 14_500,
    ..ADVERSARY
};
