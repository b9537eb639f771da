//! What became of everyone: the world's own record, which no client and no agent can see.

use std::time::Duration;

use super::abuse::Abuse;
use super::habit::Kind;

/// What someone is to the agent, known to the world alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Honest, and connected for long when the world began.
    Regular,
    /// Honest, and in an attack's way: a neighbour, a housemate, a member of a crowd behind NAT.
    Victim,
    /// Honest, and first connected after the world began.
    Newcomer,
    /// Does harm.
    Abuser,
    /// Plays a part in an attack and does no harm itself.
    Decoy,
}

impl Role {
    /// True for those whom nobody should disconnect.
    pub const fn is_honest(self) -> bool {
        matches!(self, Self::Regular | Self::Victim | Self::Newcomer)
    }

    pub(super) const fn is_abusive(self) -> bool {
        matches!(self, Self::Abuser)
    }

    /// In plain words, singular.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Regular => "regular",
            Self::Victim => "neighbour",
            Self::Newcomer => "newcomer",
            Self::Abuser => "abuser",
            Self::Decoy => "decoy",
        }
    }
}

/// What the world remembers of one actor. Times since the world's beginning.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Record {
    /// What kind of client it is.
    pub kind: Kind,
    /// What it is to the agent.
    pub role: Role,
    /// When it first connected; nothing if it has not come yet.
    pub met_at: Option<Duration>,
    /// When the server's listeners were first closed to it.
    pub turned_away_at: Option<Duration>,
    /// When its abuse began.
    pub abuse_from: Option<Duration>,
    /// Its sessions that RPC disconnected.
    pub disconnects: u64,
    /// When RPC first disconnected one of its sessions.
    pub first_disconnect_at: Option<Duration>,
    /// When RPC had disconnected so many of its sessions that at most half were left. For one that
    /// leaves by itself every few seconds, the first disconnect.
    pub caught_at: Option<Duration>,
    /// The harm it did.
    pub abuse: Abuse,
}

impl Record {
    pub(super) fn new(kind: Kind, role: Role) -> Self {
        Self {
            kind,
            role,
            abuse: Abuse::default(),
            met_at: None,
            turned_away_at: None,
            abuse_from: None,
            disconnects: 0,
            first_disconnect_at: None,
            caught_at: None,
        }
    }

    /// For how long, until `now`, it tried to get in at first; nothing if it has not tried yet.
    pub fn waited(&self, now: Duration) -> Option<Duration> {
        let tried_at = self.turned_away_at.or(self.met_at)?;
        let got_in_at = self.met_at.unwrap_or(now);
        Some(got_in_at.saturating_sub(tried_at))
    }

    /// From the start of its abuse until it was caught; zero if it was caught before that.
    pub fn time_to_disconnect(&self) -> Option<Duration> {
        let caught = self.caught_at?;
        Some(caught.saturating_sub(self.abuse_from.unwrap_or(caught)))
    }
}

/// Median and worst of some durations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// The median; of an even number, the lower of the two in the middle.
    pub p50: Duration,
    /// The longest.
    pub max: Duration,
}

impl Spread {
    fn of(mut times: Vec<Duration>) -> Option<Self> {
        times.sort_unstable();
        let max = *times.last()?;
        Some(Self {
            p50: times[(times.len() - 1) / 2],
            max,
        })
    }
}

/// What became of one kind of client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KindScore {
    /// The kind.
    pub kind: Kind,
    /// Actors that connected at least once.
    pub met: usize,
    /// Of the abusive, those caught; of the honest, those disconnected even once.
    pub disconnected: usize,
    /// Of the abusive that were caught, how long it took.
    pub time_to_disconnect: Option<Spread>,
}

/// What became of everyone so far. An actor counts once, however many sessions it had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Score {
    /// Abusive actors that connected.
    pub abusers: usize,
    /// Of those, the ones caught.
    pub abusers_disconnected: usize,
    /// Honest actors that connected.
    pub honest: usize,
    /// Of those, the ones that RPC disconnected by mistake.
    pub honest_disconnected: usize,
    /// How long catching took, from the start of the abuse.
    pub time_to_disconnect: Option<Spread>,
    /// The same by kind, in the order of [`Kind::ALL`], without kinds that nobody met.
    pub kinds: Vec<KindScore>,
}

impl Score {
    pub(super) fn of<'a>(records: impl Iterator<Item = &'a Record>) -> Self {
        let met: Vec<&Record> = records.filter(|record| record.met_at.is_some()).collect();
        let kinds: Vec<KindScore> = Kind::ALL
            .into_iter()
            .map(|kind| kind_score(kind, &met))
            .filter(|score| score.met > 0)
            .collect();
        let sum = |honest: bool, count: fn(&KindScore) -> usize| {
            kinds
                .iter()
                .filter(|score| score.kind.is_honest() == honest)
                .map(count)
                .sum()
        };
        Self {
            abusers: sum(false, |score| score.met),
            abusers_disconnected: sum(false, |score| score.disconnected),
            honest: sum(true, |score| score.met),
            honest_disconnected: sum(true, |score| score.disconnected),
            time_to_disconnect: spread(&met, |kind| !kind.is_honest()),
            kinds,
        }
    }
}

fn kind_score(kind: Kind, met: &[&Record]) -> KindScore {
    let of_kind = met.iter().filter(|record| record.kind == kind);
    let disconnected = |record: &&&Record| {
        if kind.is_honest() {
            record.disconnects > 0
        } else {
            record.caught_at.is_some()
        }
    };
    KindScore {
        kind,
        met: of_kind.clone().count(),
        disconnected: of_kind.filter(disconnected).count(),
        time_to_disconnect: spread(met, |other| other == kind && !kind.is_honest()),
    }
}

fn spread(met: &[&Record], wanted: impl Fn(Kind) -> bool) -> Option<Spread> {
    let of_kind = met.iter().filter(|record| wanted(record.kind));
    Spread::of(
        of_kind
            .filter_map(|record| record.time_to_disconnect())
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(kind: Kind) -> Record {
        let role = if kind.is_honest() {
            Role::Regular
        } else {
            Role::Abuser
        };
        Record::new(kind, role)
    }

    fn record(kind: Kind, abuse_s: Option<u64>, caught_s: Option<u64>) -> Record {
        Record {
            met_at: Some(Duration::ZERO),
            abuse_from: abuse_s.map(Duration::from_secs),
            disconnects: u64::from(caught_s.is_some()),
            first_disconnect_at: caught_s.map(Duration::from_secs),
            caught_at: caught_s.map(Duration::from_secs),
            ..plain(kind)
        }
    }

    #[test]
    fn score_counts_actors_and_takes_the_time_from_the_abuse() {
        let records = [
            record(Kind::LightWallet, None, None),
            record(Kind::Merchant, None, Some(5)),
            plain(Kind::HeavyWallet),
            record(Kind::ErrorFlood, Some(10), Some(70)),
            record(Kind::ErrorFlood, Some(10), Some(30)),
            record(Kind::ErrorFlood, Some(10), None),
            record(Kind::OddName, Some(50), Some(40)),
        ];
        let score = Score::of(records.iter());
        assert_eq!((score.abusers, score.abusers_disconnected), (4, 3));
        assert_eq!((score.honest, score.honest_disconnected), (2, 1));
        let spread = score.time_to_disconnect.unwrap();
        assert_eq!(
            spread,
            Spread {
                p50: Duration::from_secs(20),
                max: Duration::from_mins(1)
            }
        );
        let flood = score
            .kinds
            .iter()
            .find(|kind| kind.kind == Kind::ErrorFlood)
            .unwrap();
        assert_eq!((flood.met, flood.disconnected), (3, 2));
        assert!(
            score
                .kinds
                .iter()
                .all(|kind| kind.kind != Kind::HeavyWallet),
            "never came"
        );
        let merchant = score
            .kinds
            .iter()
            .find(|kind| kind.kind == Kind::Merchant)
            .unwrap();
        assert_eq!(
            merchant.time_to_disconnect, None,
            "a mistake has no time to be proud of"
        );
    }

    #[test]
    fn nobody_caught_means_no_times() {
        let records = [record(Kind::ErrorFlood, Some(1), None)];
        assert_eq!(Score::of(records.iter()).time_to_disconnect, None);
    }
}
