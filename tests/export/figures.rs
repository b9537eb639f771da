//! The answers to the questions of docs/export.md, reckoned in another way.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use chrono::DateTime;
use electrumx_warden::daemon::Round;
use electrumx_warden::decision::Outcome;
use serde_json::{Value, json};

use crate::heard::{Life, Poll, Session, grown, lives};
use crate::recorded::DAEMONS;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

/// The rows that the question of this title has for an answer.
pub(crate) fn answer(title: &str, polls: &[Poll]) -> Vec<Value> {
    let lives = lives(polls);
    match title {
        "Which subnets take most of the traffic?" => subnets(&lives),
        "Who reconnects over and over?" => reconnections(polls, &lives),
        "When were there bursts of errors?" => errors(polls),
        "Which sessions made them?" => erring_sessions(polls, &lives),
        "Which clients are in use, and how does that change?" => clients(polls),
        "In which nights did the daemon stand still?" => stalls(polls),
        "When did the server have no time for its RPC?" => missed(polls),
        "How well do the daemons do?" => daemons(polls),
        "Which sessions only hold a place?" => idle(polls, &lives),
        "What do two servers have in common?" => in_common(&lives),
        "How do two servers compare?" => servers(polls),
        "What would policies do?" => deeds(polls, &lives),
        "What had the decisions of one policy in common?" => scrapers(polls),
        "How far beyond its thresholds were they?" => excesses(polls),
        _ => panic!("nobody has reckoned `{title}`"),
    }
}

fn time(millis: i64) -> String {
    let time = DateTime::from_timestamp_millis(millis).unwrap();
    let fraction = match millis.rem_euclid(1_000) {
        0 => String::new(),
        fraction => format!(".{fraction:03}").trim_end_matches('0').to_owned(),
    };
    format!("{}{fraction}+00", time.format("%Y-%m-%d %H:%M:%S"))
}

fn subnet(ip: IpAddr) -> String {
    let width = if ip.is_ipv4() { 24 } else { 48 };
    ipnet::IpNet::new(ip, width).unwrap().trunc().to_string()
}

fn round(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.len().checked_sub(1)? / 2, values.len() / 2);
    Some(f64::midpoint(values[low], values[high]))
}

fn last_client<'a>(life: &Life<'a>) -> &'a str {
    &life.last().unwrap().1.client
}

fn connected_at(life: &Life<'_>) -> i64 {
    life.iter().map(|(at, row)| at - row.age_ms).min().unwrap()
}

/// Rows in the order of their keys, without them.
fn in_order<K: Ord>(mut rows: Vec<(K, Value)>) -> Vec<Value> {
    rows.sort_by(|(a, _), (b, _)| a.cmp(b));
    rows.into_iter().map(|(_, row)| row).collect()
}

fn subnets(lives: &BTreeMap<Session, Life<'_>>) -> Vec<Value> {
    let mut subnets: BTreeMap<String, (u64, BTreeSet<IpAddr>, u64)> = BTreeMap::new();
    for ((_, _, peer), life) in lives {
        let ip = peer.unwrap().ip();
        let (sessions, addresses, sent) = subnets.entry(subnet(ip)).or_default();
        *sessions += 1;
        addresses.insert(ip);
        *sent += grown(life, |row| row.sent);
    }
    let all: u64 = subnets.values().map(|(_, _, sent)| sent).sum();
    let rows = subnets.into_iter().map(|(subnet, (sessions, ips, sent))| {
        let percent = round(100.0 * sent as f64 / all as f64, 1);
        let row = json!({"subnet": subnet, "sessions": sessions, "addresses": ips.len(), "sent": sent,
                         "percent": percent});
        ((Reverse(sent), subnet), row)
    });
    in_order(rows.collect()).into_iter().take(20).collect()
}

fn reconnections(polls: &[Poll], lives: &BTreeMap<Session, Life<'_>>) -> Vec<Value> {
    let mut began: BTreeMap<(&str, String, i64), Vec<&str>> = BTreeMap::new();
    for ((server, _, peer), life) in lives {
        let first = polls.iter().find(|poll| poll.server == *server).unwrap();
        let at = connected_at(life);
        if at >= first.at {
            let bucket = at.div_euclid(5 * MINUTE) * 5 * MINUTE;
            let ip = peer.unwrap().ip().to_string();
            let clients = began.entry((server, ip, bucket)).or_default();
            clients.push(last_client(life));
        }
    }
    began.retain(|_, clients| clients.len() >= 5);
    let rows = began.into_iter().map(|((server, ip, at), clients)| {
        // Which client is any of them.
        let row = json!({"server": server, "ip": ip, "began": time(at), "sessions": clients.len(),
                         "client": clients});
        ((Reverse(clients.len()), server, ip, at), row)
    });
    in_order(rows.collect()).into_iter().take(20).collect()
}

fn errors(polls: &[Poll]) -> Vec<Value> {
    let heard: Vec<_> = polls.iter().filter(|poll| poll.failure.is_none()).collect();
    let mut hours: BTreeMap<(&str, i64), (u64, u64)> = BTreeMap::new();
    for pair in heard.windows(2) {
        let [before, after] = [pair[0], pair[1]];
        if before.server != after.server || after.told.errors <= before.told.errors {
            continue;
        }
        let rise = after.told.errors - before.told.errors;
        let hour = after.at.div_euclid(HOUR) * HOUR;
        let (sum, worst) = hours.entry((after.server, hour)).or_default();
        *sum += rise;
        *worst = rise.max(*worst);
    }
    let rows = hours.into_iter().map(|((server, hour), (sum, worst))| {
        let row = json!({"server": server, "hour": time(hour), "errors": sum, "worst": worst});
        ((Reverse(sum), server, hour), row)
    });
    in_order(rows.collect())
}

fn erring_sessions(polls: &[Poll], lives: &BTreeMap<Session, Life<'_>>) -> Vec<Value> {
    let mut worst: BTreeMap<(&str, u64, String, &str), (u64, u64)> = BTreeMap::new();
    for poll in polls {
        for (id, inspection) in &poll.inspections {
            for ((server, of, peer), life) in lives {
                let (first, last) = (life[0].0, life.last().unwrap().0);
                if (server, of) == (&poll.server, id) && (first..=last).contains(&poll.at) {
                    let ip = peer.unwrap().ip().to_string();
                    let key = (*server, *id, ip, last_client(life));
                    let (errors, requests) = worst.entry(key).or_default();
                    *errors = inspection.errors.max(*errors);
                    *requests = inspection.requests.max(*requests);
                }
            }
        }
    }
    worst.retain(|_, (errors, _)| *errors > 0);
    let rows = worst.into_iter().map(|((server, id, ip, client), (errors, requests))| {
        let row = json!({"server": server, "id": id, "ip": ip, "client": client, "errors": errors,
                         "requests": requests});
        ((Reverse(errors), server, id), row)
    });
    in_order(rows.collect()).into_iter().take(20).collect()
}

fn clients(polls: &[Poll]) -> Vec<Value> {
    let mut clients: BTreeMap<(String, &str), BTreeSet<Session>> = BTreeMap::new();
    for poll in polls {
        let day = time(poll.at)[..10].to_owned();
        for row in poll.clients() {
            let sessions = clients.entry((day.clone(), &row.client)).or_default();
            sessions.insert((poll.server, row.id, row.peer));
        }
    }
    let rows = clients.into_iter().map(|((day, client), sessions)| {
        let ips: BTreeSet<_> = sessions.iter().map(|it| it.2.unwrap().ip()).collect();
        let row = json!({"day": day, "client": client, "sessions": sessions.len(),
                         "addresses": ips.len()});
        ((day, Reverse(sessions.len()), client), row)
    });
    in_order(rows.collect()).into_iter().take(100).collect()
}

fn stalls(polls: &[Poll]) -> Vec<Value> {
    let mut heights: BTreeMap<(&str, &str, u64), (i64, i64)> = BTreeMap::new();
    for poll in polls.iter().filter(|poll| poll.failure.is_none()) {
        let daemon = poll.told.daemon.as_deref().unwrap();
        let key = (poll.server, daemon, poll.told.daemon_height.unwrap());
        heights.entry(key).or_insert((poll.at, poll.at)).1 = poll.at;
    }
    heights.retain(|_, (first, last)| *last - *first > HOUR);
    let rows = heights.into_iter().map(|((server, daemon, height), (first, last))| {
        let stood = (last - first) / 1_000;
        let stood = format!("{:02}:{:02}:{:02}", stood / 3_600, stood / 60 % 60, stood % 60);
        let row = json!({"server": server, "daemon": daemon, "height": height, "since": time(first),
                         "stood_still": stood});
        ((first, server), row)
    });
    in_order(rows.collect())
}

fn missed(polls: &[Poll]) -> Vec<Value> {
    let mut hours: BTreeMap<(i64, &str), Vec<&Poll>> = BTreeMap::new();
    for poll in polls {
        let hour = poll.at.div_euclid(HOUR) * HOUR;
        hours.entry((hour, poll.server)).or_default().push(poll);
    }
    let mut rows = Vec::new();
    for ((hour, server), polls) in hours {
        let failures: Vec<_> = polls
            .iter()
            .filter_map(|it| it.failure.as_deref())
            .collect();
        let heard = polls.iter().filter(|it| it.failure.is_none());
        let slowest = heard.map(|it| it.took_ms).max();
        if !failures.is_empty() || slowest > Some(1_000) {
            rows.push(
                json!({"server": server, "hour": time(hour), "polls": polls.len(),
                             "missed": failures.len(), "slowest_ms": slowest,
                             "why": failures.first()}),
            );
        }
    }
    rows
}

fn daemons(polls: &[Poll]) -> Vec<Value> {
    let rounds: Vec<_> = polls.iter().flat_map(|poll| &poll.rounds).collect();
    let height = |round: &Round, daemon: usize| {
        let chain = round.reports[daemon].heard.as_ref().ok();
        chain.map(|chain| chain.height)
    };
    let rows = DAEMONS.into_iter().enumerate().map(|(daemon, name)| {
        let heard = rounds.iter().filter_map(|round| {
            let best = (0..DAEMONS.len()).filter_map(|other| height(round, other));
            Some(best.max()? - height(round, daemon)?)
        });
        let behind: Vec<u64> = heard.collect();
        let took = rounds.iter().map(|round| round.reports[daemon].took);
        let took: Vec<f64> = took.map(|took| took.as_millis() as f64).collect();
        let failures = rounds.len() - behind.len();
        let why = if failures > 0 {
            json!("busy")
        } else {
            Value::Null
        };
        json!({"server": polls[0].server, "daemon": name, "probes": rounds.len(),
               "failures": failures, "why": why, "took_ms": median(took),
               "behind": behind.iter().filter(|&&behind| behind > 0).count(),
               "furthest": behind.iter().max()})
    });
    rows.collect()
}

fn idle(polls: &[Poll], lives: &BTreeMap<Session, Life<'_>>) -> Vec<Value> {
    let mut idle: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for ((server, _, _), life) in lives {
        let of_server = polls.iter().filter(|poll| poll.server == *server);
        let until = of_server.map(|poll| poll.at).max().unwrap();
        let life: Life<'_> = life
            .iter()
            .filter(|(at, _)| *at >= until - HOUR)
            .copied()
            .collect();
        let Some(((first, _), (last, row))) = life.first().zip(life.last()) else {
            continue;
        };
        let holds_a_place =
            life.iter().all(|(_, row)| row.subs == 0) && grown(&life, |row| row.requests) <= 60;
        if holds_a_place && last - first >= 50 * MINUTE {
            *idle.entry((server, &row.client)).or_default() += 1;
        }
    }
    let rows = idle.into_iter().map(|((server, client), sessions)| {
        let row = json!({"server": server, "client": client, "sessions": sessions});
        ((Reverse(sessions), server, client), row)
    });
    in_order(rows.collect())
}

fn in_common(lives: &BTreeMap<Session, Life<'_>>) -> Vec<Value> {
    let mut servers: BTreeMap<&str, BTreeMap<IpAddr, u64>> = BTreeMap::new();
    for ((server, _, peer), life) in lives {
        let addresses = servers.entry(server).or_default();
        *addresses.entry(peer.unwrap().ip()).or_default() += grown(life, |row| row.sent);
    }
    let is_on_both = |ip: &IpAddr| servers.values().all(|addresses| addresses.contains_key(ip));
    let rows = servers.iter().map(|(server, addresses)| {
        let both: Vec<u64> = addresses
            .iter()
            .filter(|(ip, _)| is_on_both(ip))
            .map(|(_, sent)| *sent)
            .collect();
        json!({"server": server, "addresses": addresses.len(), "on_both": both.len(),
               "sent": addresses.values().sum::<u64>(), "sent_to_both": both.iter().sum::<u64>()})
    });
    rows.collect()
}

fn servers(polls: &[Poll]) -> Vec<Value> {
    let mut servers: BTreeMap<&str, Vec<&Poll>> = BTreeMap::new();
    for poll in polls {
        servers.entry(poll.server).or_default().push(poll);
    }
    let row = |(server, polls): (&str, Vec<&Poll>)| {
        let heard: Vec<_> = polls.iter().filter(|it| it.failure.is_none()).collect();
        let of =
            |figure: &dyn Fn(&Poll) -> f64| median(heard.iter().map(|it| figure(it)).collect());
        let behind = heard
            .iter()
            .map(|it| it.told.daemon_height.unwrap() - it.told.db_height.unwrap());
        json!({"server": server, "version": heard[0].told.version, "polls": polls.len(),
               "missed": polls.len() - heard.len(), "sessions": of(&|it| it.told.sessions as f64),
               "most": heard.iter().map(|it| it.told.sessions).max(),
               "pending": of(&|it| it.told.pending_requests as f64),
               "rpc_ms": of(&|it| it.took_ms as f64), "behind": behind.max()})
    };
    servers.into_iter().map(row).collect()
}

fn deeds(polls: &[Poll], lives: &BTreeMap<Session, Life<'_>>) -> Vec<Value> {
    let mut concerned: BTreeMap<&str, BTreeSet<Session>> = BTreeMap::new();
    for poll in polls {
        for carried in &poll.decisions {
            let decision = &carried.decision;
            let is_held_back = matches!(carried.outcome, Outcome::Suppressed(_));
            if decision.action.kind().blames() && !is_held_back {
                let sessions = decision.sessions.iter();
                let sessions = sessions.map(|it| (poll.server, it.id, poll.client(it.id).peer));
                concerned
                    .entry(&decision.policy)
                    .or_default()
                    .extend(sessions);
            }
        }
    }
    let sent = |session: &Session| grown(&lives[session], |row| row.sent);
    let all: u64 = lives.keys().map(sent).sum();
    let rows = concerned.into_iter().map(|(policy, sessions)| {
        let sent: u64 = sessions.iter().map(sent).sum();
        let percent = round(100.0 * sent as f64 / all as f64, 2);
        let row = json!({"policy": policy, "sessions": sessions.len(), "sent": sent,
                         "percent": percent});
        ((Reverse(sessions.len()), policy), row)
    });
    in_order(rows.collect())
}

fn scrapers(polls: &[Poll]) -> Vec<Value> {
    type Client<'a> = (&'a str, &'static str, Option<&'a str>);
    type Targets = BTreeSet<(&'static str, String)>;
    let mut clients: BTreeMap<Client<'_>, (Targets, Vec<f64>)> = BTreeMap::new();
    for poll in polls {
        for carried in &poll.decisions {
            let decision = &carried.decision;
            for session in decision
                .sessions
                .iter()
                .filter(|_| &*decision.policy == "scraper")
            {
                let row = poll.client(session.id);
                let key = (&*row.client, row.transport(), row.protocol.as_deref());
                let (targets, ages) = clients.entry(key).or_default();
                targets.insert((poll.server, decision.target.to_string()));
                ages.push(row.age_ms as f64);
            }
        }
    }
    let rows = clients.into_iter().map(|(key, (targets, ages))| {
        let (client, transport, protocol) = key;
        let row = json!({"client": client, "transport": transport, "protocol": protocol,
                         "targets": targets.len(), "sessions": ages.len(),
                         "age_s": median(ages).unwrap() / 1_000.0});
        ((Reverse(targets.len()), key), row)
    });
    in_order(rows.collect())
}

fn excesses(polls: &[Poll]) -> Vec<Value> {
    let mut tests: BTreeMap<(&str, &str, &str), Vec<f64>> = BTreeMap::new();
    for carried in polls.iter().flat_map(|poll| &poll.decisions) {
        for evidence in &carried.decision.evidence {
            if let (Some(_), electrumx_warden::decision::Seen::Number(seen)) =
                (evidence.threshold, &evidence.seen)
            {
                let key = (&*carried.decision.policy, &*evidence.field, &*evidence.test);
                tests.entry(key).or_default().push(*seen);
            }
        }
    }
    let rows = tests.into_iter().map(|((policy, field, test), seen)| {
        let worst = seen.iter().copied().fold(f64::MIN, f64::max);
        json!({"policy": policy, "field": field, "test": test, "decisions": seen.len(),
               "median": round(median(seen).unwrap(), 1), "worst": round(worst, 1)})
    });
    rows.collect()
}
