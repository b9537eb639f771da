//! A ban as a decision of `CrowdSec`: the JSON of its local API.

use std::time::Duration;

use ipnet::IpNet;
use serde::Serialize;

use super::name::name_of;
use crate::penalty::BannedBy;

/// The origin of every decision of the agent's.
pub(super) const ORIGIN: &str = "electrumx-warden";

/// A decision as it is sent.
#[derive(Debug, Serialize)]
pub(super) struct SentDecision<'a> {
    /// As Go writes durations: `599.5s`; a negative one is over.
    pub(super) duration: String,
    pub(super) origin: &'static str,
    pub(super) scenario: &'a str,
    pub(super) scope: &'static str,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) value: String,
}

impl<'a> SentDecision<'a> {
    /// A ban for so long.
    pub(super) fn ban(net: IpNet, left: Duration, scenario: &'a str) -> Self {
        Self {
            duration: format!("{}.{:03}s", left.as_secs(), left.subsec_millis()),
            origin: ORIGIN,
            scenario,
            scope: scope(net),
            kind: "ban",
            value: value(net),
        }
    }

    /// The end of a ban.
    pub(super) fn end(net: IpNet, scenario: &'a str) -> Self {
        Self {
            duration: "-1s".to_owned(),
            ..Self::ban(net, Duration::ZERO, scenario)
        }
    }
}

/// `electrumx-warden/hog`. The names of people are nobody else's business.
pub(super) fn scenario(by: &BannedBy) -> String {
    match by {
        BannedBy::Policy(_) => format!("{ORIGIN}/{}", name_of(by)),
        BannedBy::Hand { .. } => format!("{ORIGIN}/by-hand"),
    }
}

fn is_address(net: IpNet) -> bool {
    net.prefix_len() == net.max_prefix_len()
}

fn scope(net: IpNet) -> &'static str {
    if is_address(net) { "Ip" } else { "Range" }
}

/// `198.51.100.7` or `203.0.113.0/24`.
pub(super) fn value(net: IpNet) -> String {
    if is_address(net) {
        net.addr().to_string()
    } else {
        net.trunc().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ban_is_written_as_the_api_reads_it() {
        let by = BannedBy::Policy("big hog".into());
        let scenario = scenario(&by);
        let ban = |net: &str| {
            let left = Duration::from_millis(599_050);
            serde_json::to_string(&SentDecision::ban(net.parse().unwrap(), left, &scenario))
                .unwrap()
        };
        insta::assert_snapshot!(ban("198.51.100.7/32"));
        insta::assert_snapshot!(ban("2001:db8:1:2::9/64"));
        let end = SentDecision::end("203.0.113.0/24".parse().unwrap(), &scenario);
        insta::assert_snapshot!(serde_json::to_string(&end).unwrap());
    }

    #[test]
    fn who_banned_by_hand_is_not_said() {
        let by = BannedBy::Hand {
            user: "dana (1000)".into(),
            reason: "scans".into(),
        };
        assert_eq!(scenario(&by), "electrumx-warden/by-hand");
    }
}
