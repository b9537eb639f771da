#![expect(clippy::float_cmp, reason = "halves are exact")]

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use proptest::prelude::*;

use super::*;

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

pub(crate) fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

pub(crate) fn at(s: i64) -> Timestamp {
    Timestamp::from_millis(1_767_225_600_000 + s * 1_000)
}

pub(crate) fn ban(text: &str, holes: &[&str], end_s: i64) -> Ban {
    Ban {
        net: net(text),
        holes: holes.iter().map(|hole| net(hole)).collect(),
        begin: at(0),
        end: at(end_s),
        by: BannedBy::Policy("hog".into()),
        kept_out: 0,
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_strike_fades_by_half_a_day_by_day() {
    let mut strikes = Strikes::new(DAY);
    let who = net("198.51.100.7/32");
    strikes.strike(who, Face::Real, at(0));
    let level = |strikes: &Strikes, after: Duration| strikes.level(&who, Face::Real, at(0) + after);
    assert_eq!(level(&strikes, Duration::ZERO), 1.0);
    assert_eq!(level(&strikes, DAY), 0.5);
    assert_eq!(level(&strikes, DAY + HOUR), 0.0, "less than a half is none");
    strikes.strike(who, Face::Real, at(0) + DAY);
    assert_eq!(level(&strikes, DAY), 1.5);
    assert_eq!(level(&strikes, DAY + DAY), 0.75);
}

#[test]
fn a_clock_that_goes_back_fades_nothing() {
    let mut strikes = Strikes::new(DAY);
    let who = net("198.51.100.7/32");
    strikes.strike(who, Face::Real, at(1_000));
    assert_eq!(strikes.level(&who, Face::Real, at(0)), 1.0);
}

#[test]
fn what_is_rehearsed_is_not_real_and_what_is_real_is_rehearsed() {
    let mut strikes = Strikes::new(DAY);
    let [dry, done] = [net("198.51.100.7/32"), net("198.51.100.8/32")];
    strikes.strike(dry, Face::Rehearsed, at(0));
    strikes.strike(done, Face::Real, at(0));
    let level = |who, face| strikes.level(&who, face, at(0));
    assert_eq!(level(dry, Face::Real), 0.0);
    assert_eq!(level(dry, Face::Rehearsed), 1.0);
    assert_eq!(level(done, Face::Real), 1.0);
    assert_eq!(level(done, Face::Rehearsed), 1.0);
}

#[test]
fn what_came_to_nothing_is_taken_back() {
    let mut strikes = Strikes::new(DAY);
    let who = net("198.51.100.7/32");
    strikes.strike(who, Face::Real, at(0));
    strikes.begin();
    strikes.strike(who, Face::Real, at(10));
    strikes.take_back(&who);
    assert_eq!(strikes.last(&who, Face::Real).unwrap().at, at(0));
    strikes.begin();
    strikes.take_back(&who);
    assert_eq!(
        strikes.level(&who, Face::Real, at(10)).round(),
        1.0,
        "an earlier poll's stay"
    );
}

#[test]
fn many_who_did_it_once_wash_nobody_out_who_did_it_often() {
    let mut strikes = Strikes::new(DAY).with_max(100);
    let often = net("198.51.100.7/32");
    for s in 0..5 {
        strikes.strike(often, Face::Real, at(s));
    }
    for n in 0..10_000_u32 {
        let once = IpAddr::from((0x0909_0000 + n).to_be_bytes());
        strikes.strike(once.into(), Face::Real, at(10));
    }
    assert!(strikes.all().len() <= 100);
    assert!(strikes.level(&often, Face::Real, at(10)) > 4.9);
    let changed = strikes.take_changed();
    let forgotten = changed.iter().filter(|(_, offender)| offender.is_none());
    assert!(
        forgotten.count() > 9_000,
        "the journal hears of those who are forgotten"
    );
}

#[test]
fn a_pardon_forgets_and_a_neighbour_is_remembered_for_a_day() {
    let mut strikes = Strikes::new(DAY);
    let who = net("198.51.100.7/32");
    strikes.strike(who, Face::Real, at(0));
    strikes.share(&who, at(0));
    assert!(strikes.is_shared(&who, at(0) + DAY - HOUR));
    assert!(!strikes.is_shared(&who, at(0) + DAY));
    assert!(strikes.pardon(&who));
    assert!(!strikes.pardon(&who));
    assert_eq!(strikes.level(&who, Face::Real, at(0)), 0.0);
    assert!(!strikes.is_shared(&who, at(0)));
}

#[test]
fn unsound_strikes_are_not_taken_up() {
    let offender = |net, level| Offender {
        net,
        real: Some(Strike { level, at: at(0) }),
        rehearsed: None,
        shared_at: None,
    };
    let mut strikes = Strikes::new(DAY);
    strikes.restore(vec![
        offender(net("198.51.100.7/32"), f64::NAN),
        offender(net("198.51.100.8/32"), -1.0),
        offender(net("198.51.100.9/24"), 1.0),
        offender(net("198.51.100.10/32"), 2.0),
    ]);
    let all: Vec<IpNet> = strikes.all().iter().map(|it| it.net).collect();
    assert_eq!(all, [net("198.51.100.10/32")]);
}

#[test]
fn who_is_banned_is_found_by_address_in_any_width() {
    let mut bans = Bans::new(100);
    bans.add(ban("198.51.100.7/32", &[], 10));
    bans.add(ban(
        "203.0.113.0/24",
        &["203.0.113.9/32", "203.0.113.128/25"],
        20,
    ));
    bans.add(ban("2001:db8:1::/48", &[], 20));
    bans.add(ban("2001:db8:1:2::/64", &[], 30));
    let end = |address| bans.of(ip(address)).map(|ban| ban.end);
    assert_eq!(end("198.51.100.7"), Some(at(10)));
    assert_eq!(end("198.51.100.8"), None);
    assert_eq!(end("203.0.113.8"), Some(at(20)));
    assert_eq!(end("203.0.113.9"), None, "a hole");
    assert_eq!(end("203.0.113.200"), None, "a hole");
    assert_eq!(end("2001:db8:1:2::5"), Some(at(30)), "the latest end");
    assert_eq!(end("2001:db8:1:3::5"), Some(at(20)));
    assert_eq!(end("2001:db8:2::5"), None);
}

#[test]
fn a_ban_ends_on_time_and_a_shorter_one_shortens_nothing() {
    let mut bans = Bans::new(100);
    bans.add(ban("198.51.100.7/32", &[], 20));
    bans.add(ban("198.51.100.7/32", &[], 10));
    bans.expire(at(19));
    assert_eq!(bans.len(), 1);
    bans.take_changed();
    bans.expire(at(20));
    assert!(bans.is_empty());
    assert_eq!(bans.of(ip("198.51.100.7")), None);
    assert_eq!(
        bans.take_changed().into_iter().collect::<Vec<_>>(),
        [net("198.51.100.7/32")]
    );
}

#[test]
fn beyond_the_bound_those_nearest_to_their_end_go() {
    let mut bans = Bans::new(2);
    bans.add(ban("198.51.100.1/32", &[], 30));
    bans.add(ban("198.51.100.2/32", &[], 10));
    bans.add(ban("198.51.100.3/32", &[], 20));
    let left: Vec<IpNet> = bans.all().iter().map(|ban| ban.net).collect();
    assert_eq!(left, [net("198.51.100.1/32"), net("198.51.100.3/32")]);
    assert_eq!(bans.evicted(), 1);
}

#[test]
fn of_too_many_saved_ones_the_longest_are_taken_up() {
    let mut bans = Bans::new(1);
    let saved = vec![
        ban("198.51.100.1/32", &[], 30),
        ban("198.51.100.2/32", &[], 10),
    ];
    bans.restore(saved);
    assert_eq!(bans.all(), [ban("198.51.100.1/32", &[], 30)]);
    let gone: Vec<IpNet> = bans.take_changed().into_iter().collect();
    assert_eq!(
        gone,
        [net("198.51.100.2/32")],
        "the journal knows the others"
    );
}

#[test]
fn pieces_leave_out_the_holes() {
    let all = pieces(net("203.0.113.0/30"), &[net("203.0.113.1/32")]);
    assert_eq!(all, [net("203.0.113.0/32"), net("203.0.113.2/31")]);
    assert_eq!(pieces(net("203.0.113.0/24"), &[]), [net("203.0.113.0/24")]);
    assert_eq!(pieces(net("203.0.113.0/24"), &[net("203.0.0.0/16")]), []);
    assert_eq!(
        pieces(net("203.0.113.0/24"), &[net("2001:db8::/32")]),
        [net("203.0.113.0/24")]
    );
}

fn any_v4(lengths: std::ops::RangeInclusive<u8>) -> impl Strategy<Value = IpNet> {
    // Few addresses, so that they meet.
    (0..=255_u8, lengths).prop_map(|(last, length)| {
        IpNet::new(IpAddr::from([203, 0, 113, last]), length)
            .unwrap()
            .trunc()
    })
}

proptest! {
    #[test]
    fn pieces_cover_what_the_holes_do_not(
        net in any_v4(22..=32),
        holes in proptest::collection::vec(any_v4(24..=32), 0..6),
        last in 0..=255_u8,
    ) {
        let pieces = pieces(net, &holes);
        let address = IpAddr::from([203, 0, 113, last]);
        let wanted = net.contains(&address) && !holes.iter().any(|hole| hole.contains(&address));
        let covering = pieces.iter().filter(|piece| piece.contains(&address)).count();
        prop_assert_eq!(covering, usize::from(wanted), "each address in one piece at the most");
        prop_assert!(pieces.is_sorted());
    }

    #[test]
    fn strikes_never_rise_by_themselves(
        times in proptest::collection::vec(0..500_000_i64, 1..30),
        later in 0..500_000_i64,
    ) {
        let mut strikes = Strikes::new(DAY);
        let who = net("198.51.100.7/32");
        let mut times = times;
        times.sort_unstable();
        for &s in &times {
            strikes.strike(who, Face::Real, at(s));
        }
        let last = *times.last().unwrap();
        let now = strikes.level(&who, Face::Real, at(last));
        prop_assert!(now >= 1.0 && now <= times.len() as f64 + 1e-9);
        prop_assert!(strikes.level(&who, Face::Real, at(last + later)) <= now);
    }

    #[test]
    fn the_book_is_bounded_and_agrees_with_a_list(
        acts in proptest::collection::vec((any_v4(24..=32), 1..100_i64, any::<bool>()), 0..60),
        last in 0..=255_u8,
        now in 0..100_i64,
    ) {
        let mut bans = Bans::new(BANS_MAX);
        let mut small = Bans::new(5);
        let mut list: Vec<Ban> = Vec::new();
        for (net, end, is_lifted) in acts {
            if is_lifted {
                bans.remove(&net);
                small.remove(&net);
                list.retain(|ban| ban.net != net);
            } else {
                let ban = Ban { net, ..ban("0.0.0.0/0", &[], end) };
                bans.add(ban.clone());
                small.add(ban.clone());
                if !list.iter().any(|old| old.net == net && old.end >= ban.end) {
                    list.retain(|old| old.net != net);
                    list.push(ban);
                }
            }
            prop_assert!(small.len() <= 5);
        }
        bans.expire(at(now));
        list.retain(|ban| ban.end > at(now));
        let address = IpAddr::from([203, 0, 113, last]);
        let wanted = list.iter().filter(|ban| ban.covers(address)).map(|ban| ban.end).max();
        prop_assert_eq!(bans.of(address).map(|ban| ban.end), wanted);
        prop_assert_eq!(bans.len(), list.len());
    }
}

fn acts() -> impl Strategy<Value = Vec<ManualAct>> {
    let nets = prop::sample::select(vec![
        "198.51.100.7/32",
        "198.51.100.8/32",
        "198.51.100.0/24",
        "198.51.0.0/16",
    ]);
    let act = (0..5_u8, nets, 1..100_i64).prop_map(|(kind, text, end)| match kind {
        0 | 1 => ManualAct::Ban(ban(text, &[], end)),
        2 => ManualAct::Unban(net(text)),
        3 => ManualAct::UnbanPolicy("hog".into()),
        _ => ManualAct::Pardon(net(text)),
    });
    prop::collection::vec(act, 0..12)
}

proptest! {
    /// A segment of a recording may begin with what its first poll has once more.
    #[test]
    fn what_is_changed_by_hand_twice_is_changed_once(acts in acts(), max in 1..4_usize) {
        let mut penalties = Penalties::new(PenaltySettings {
            bans_max: max,
            ..PenaltySettings::default()
        });
        for text in ["198.51.100.7/32", "198.51.100.0/24"] {
            penalties.strikes.strike(net(text), Face::Real, at(0));
        }
        for act in &acts {
            penalties.change_by_hand(act);
        }
        let once = penalties.save();
        for act in &acts {
            penalties.change_by_hand(act);
        }
        prop_assert_eq!(penalties.save(), once);
    }
}

#[test]
fn a_pardon_of_a_network_forgets_all_in_it_but_not_who_shares_an_address() {
    let mut strikes = Strikes::new(DAY);
    for text in ["198.51.100.7/32", "198.51.100.0/24", "198.51.101.7/32"] {
        strikes.strike(net(text), Face::Real, at(0));
    }
    strikes.share(&net("198.51.100.7/32"), at(0));
    strikes.take_changed();
    assert_eq!(
        strikes.within(&net("198.51.100.0/24"), Face::Real, at(0)),
        (2, 2.0)
    );
    strikes.pardon_within(&net("198.51.100.0/24"));
    assert_eq!(
        strikes.within(&net("198.51.0.0/16"), Face::Real, at(0)),
        (1, 1.0)
    );
    assert!(strikes.is_shared(&net("198.51.100.7/32"), at(1)));
    assert_eq!(strikes.take_changed().len(), 2);
}

#[test]
fn the_newest_bans_come_page_by_page() {
    let mut bans = Bans::new(1_000);
    for host in 0..100_u8 {
        bans.set(Ban {
            begin: at(i64::from(host / 10)),
            ..ban(&format!("198.51.100.{host}/32"), &[], 1_000)
        });
    }
    let mut all = bans.all();
    all.sort_by_key(|ban| (std::cmp::Reverse(ban.begin), ban.net));
    for limit in [1, 7, 100, 1_000] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = bans.newest(after, limit);
            let Some(last) = page.last() else { break };
            after = Some((last.begin, last.net));
            seen.extend(page.into_iter().cloned());
        }
        assert_eq!(seen, all, "{limit}");
    }
}
