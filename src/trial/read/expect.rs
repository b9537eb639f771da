//! The decisions that a test expects.

use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::IpNet;

use super::SYNONYMS;
use super::case::Case;
use super::prior;
use super::session::peer;
use super::target::{target, target_form};
use super::value::{blame, tables, too_many};
use crate::config::reading::{Read, count, each, seconds, time};
use crate::decision::Suppression;
use crate::field::Scope;
use crate::policy::bounds::BAN_FOR;
use crate::policy::reading::{
    Node, Table, canonical, closest, duration, listed, parse_net, unknown_word, word,
};
use crate::policy::{Diagnostic, Policy, PolicySet, Problem};
use crate::trial::braces::{TEXTS_MAX, expand};
use crate::trial::script::Script;
use crate::trial::series::SAMPLES_MAX;
use crate::trial::{Expected, Wanted};
use crate::units::format_duration;

const EXPECTED_MAX: usize = 10_000;

impl Case<'_, '_> {
    /// Without a script, which has mistakes of its own, times and peers are not looked for in it.
    pub(super) fn expected(
        &mut self,
        node: Node<'_>,
        set: &PolicySet,
        script: Option<&Script>,
    ) -> Vec<Expected> {
        let nodes = tables(node, "expect", self.findings);
        let mut expected = Vec::new();
        for node in nodes {
            expected.extend(self.one_expected(node, set, script).unwrap_or_default());
            if expected.len() > EXPECTED_MAX {
                let finding = too_many("expected decisions", EXPECTED_MAX, node.place());
                self.findings.push(finding);
                break;
            }
        }
        expected
    }

    fn one_expected(
        &mut self,
        node: Node<'_>,
        set: &PolicySet,
        script: Option<&Script>,
    ) -> Option<Vec<Expected>> {
        const TIMES: RangeInclusive<Duration> = seconds(0, 600 * SAMPLES_MAX as u64);
        let table = Table::of(node, "expect", "an expected decision");
        let mut table = self.findings.accept(table)?;
        let policy = table.require(
            "policy",
            "name the policy that decides: `policy = \"slow-clients\"`",
        );
        let at = table.require("at", "write how long after the first poll: `at = \"50s\"`");
        let target = table.take("target");
        let held_back = table.take("held_back");
        let sessions = table.take("sessions");
        let acts_on = table.take("acts_on");
        let bans = table.take("bans");
        let ban_for = table.take("ban_for");
        table.finish(SYNONYMS, self.findings);
        let written = policy.map(|entry| entry.node.string("policy", "write its name in quotes"));
        let written = written.and_then(|written| self.findings.accept(written));
        let policy = written.and_then(|written| self.policy_named(set, &written));
        let at = at.and_then(|entry| {
            let at = self.findings.accept(time(TIMES)(entry.node, "at"))?;
            let Some(script) = script else {
                return Some(at);
            };
            let is_poll = at.as_millis().is_multiple_of(script.interval.as_millis());
            if !is_poll || at >= script.interval * u32::try_from(script.polls).ok()? {
                let complaint = format!("no poll is at {}", format_duration(at));
                let last = script.interval * u32::try_from(script.polls - 1).ok()?;
                let help = format!(
                    "there is one every {} until {}; `polls` makes the test longer",
                    format_duration(script.interval),
                    format_duration(last)
                );
                let finding = Diagnostic::complaint(complaint).at(entry.node.place());
                self.findings.push(finding.help(help));
                return None;
            }
            Some(at)
        });
        let held_back = match held_back {
            None => Some(None),
            Some(entry) => self.findings.accept(suppression(entry.node)).map(Some),
        };
        let sessions = match sessions {
            None => Some(None),
            Some(entry) => {
                let read = count(0..=TEXTS_MAX as u64)(entry.node, "sessions");
                self.findings.accept(read).map(Some)
            }
        };
        let acts_on = acts_on.map(|entry| self.acts_on(entry.node));
        let bans = bans.map(|entry| self.networks(entry.node));
        let ban_for = match ban_for {
            None => Some(None),
            Some(entry) => {
                let read = duration(entry.node, "ban_for", &BAN_FOR);
                self.findings.accept(read).map(Some)
            }
        };
        let policy = policy?;
        let targets = match target {
            None if policy.decides_on() == Scope::Server => vec![Wanted::Server],
            None => {
                let finding = Diagnostic::new(Problem::MissingKey {
                    key: "target",
                    place: "an expected decision",
                });
                let help = target_form(policy.decides_on());
                self.findings.push(finding.at(node.place()).help(help));
                return None;
            }
            Some(entry) => self.targets(entry.node, policy, script)?,
        };
        let (at, held_back, sessions, ban_for) = (at?, held_back?, sessions?, ban_for?);
        let expected = targets.into_iter().map(|target| Expected {
            policy: policy.name.clone(),
            target,
            at,
            held_back,
            sessions: sessions.map(|sessions| usize::try_from(sessions).unwrap_or(usize::MAX)),
            acts_on: acts_on.clone(),
            bans: bans.clone(),
            ban_for,
        });
        Some(expected.collect())
    }

    /// Peers, addresses and networks.
    fn acts_on(&mut self, node: Node<'_>) -> Vec<Wanted> {
        let read = each(
            node,
            "acts_on",
            "\"203.0.113.7\"",
            self.findings,
            |written, _, _| {
                let texts = expand(written.text).map_err(|mistake| blame(mistake, &written))?;
                let who = texts.iter().map(|text| {
                    members(text).ok_or_else(|| {
                        let complaint = format!("`{}` is no peer, address or subnet", word(text));
                        Diagnostic::complaint(complaint).at(written.whole()).help(
                            "write whose sessions are acted on: `\"203.0.113.7\"`, \
                             `\"203.0.113.7:50001\"` or `\"203.0.113.0/24\"`",
                        )
                    })
                });
                who.collect::<Read<Vec<Wanted>>>()
            },
        );
        read.into_iter().flatten().collect()
    }

    /// Addresses and subnets.
    fn networks(&mut self, node: Node<'_>) -> Vec<IpNet> {
        let read = each(
            node,
            "bans",
            "\"203.0.113.7\"",
            self.findings,
            |_, node, _| prior::networks(node),
        );
        read.into_iter().flatten().collect()
    }

    fn targets(
        &mut self,
        node: Node<'_>,
        policy: &Policy,
        script: Option<&Script>,
    ) -> Option<Vec<Wanted>> {
        let written = node.string("target", &target_form(policy.decides_on()));
        let written = self.findings.accept(written)?;
        let is_text = matches!(policy.decides_on(), Scope::Group | Scope::Client);
        let texts = if is_text {
            // A client may call itself anything.
            vec![written.text.to_owned()]
        } else {
            let texts = expand(written.text).map_err(|mistake| blame(mistake, &written));
            self.findings.accept(texts)?
        };
        let widths = self.common.settings.widths;
        let read = texts
            .iter()
            .map(|text| target(text, policy.decides_on(), script, widths));
        let read: Read<Vec<Wanted>> = read
            .map(|target| {
                target.map_err(|(complaint, help)| {
                    Diagnostic::complaint(complaint)
                        .at(written.whole())
                        .help(help)
                })
            })
            .collect();
        self.findings.accept(read)
    }
}

/// Those of a peer, or of all peers of an address or a network.
fn members(text: &str) -> Option<Wanted> {
    match peer(text) {
        Some(peer) if peer.0.is_none_or(|peer| peer.port() > 0) => Some(Wanted::Session(peer)),
        _ => parse_net(text).map(|net| Wanted::Net(canonical(net))),
    }
}

fn suppression(node: Node<'_>) -> Read<&'static str> {
    let all = format!("it is one of {}", listed(&Suppression::NAMES));
    let written = node.string("held_back", &all)?;
    let found = Suppression::NAMES
        .into_iter()
        .find(|name| *name == written.text);
    found.ok_or_else(|| {
        let close = closest(written.text, Suppression::NAMES);
        let help = close.map_or(all, |close| format!("did you mean `{close}`?"));
        unknown_word("held_back", written.text, written.whole()).help(help)
    })
}
