//! What the agent did before the test begins: strikes and bans.

use std::time::Duration;

use ipnet::IpNet;

use super::value::blame;
use crate::config::reading::{Read, count, seconds, time};
use crate::policy::Diagnostic;
use crate::policy::bounds::BAN_FOR;
use crate::policy::reading::{Findings, Node, Table, canonical, parse_net, word};
use crate::trial::braces::expand;
use crate::trial::script::{PriorBan, PriorStrikes};

/// Who was there at the first poll had come by then: an hour is the default of `age`.
const AGO_DEFAULT: Duration = Duration::from_hours(2);

const DAY: u64 = 24 * 60 * 60;
const TARGET: &str = "write an address or a subnet: `target = \"203.0.113.7\"`";
const LEFT: &str = "write how much of it is left at the first poll: `left = \"10m\"`";

pub(super) fn strikes(node: Node<'_>, findings: &mut Findings) -> Option<Vec<PriorStrikes>> {
    let mut table = findings.accept(Table::of(node, "strike", "a strike"))?;
    let target = table.require("target", TARGET);
    let number = table.take("count");
    let ago = table.take("ago");
    table.finish(&[("address", "target"), ("subnet", "target")], findings);
    let number = match number {
        None => Some(1),
        Some(entry) => findings.accept(count(1..=100)(entry.node, "count")),
    };
    let ago = match ago {
        None => Some(AGO_DEFAULT),
        Some(entry) => findings.accept(time(seconds(0, 30 * DAY))(entry.node, "ago")),
    };
    let nets = findings.accept(networks(target?.node))?;
    let (level, ago) = (number? as f64, ago?);
    let strikes = nets.into_iter();
    Some(
        strikes
            .map(|net| PriorStrikes { net, level, ago })
            .collect(),
    )
}

pub(super) fn bans(node: Node<'_>, findings: &mut Findings) -> Option<Vec<PriorBan>> {
    let mut table = findings.accept(Table::of(node, "ban", "a ban"))?;
    let target = table.require("target", TARGET);
    let left = table.require("left", LEFT);
    table.finish(
        &[("address", "target"), ("subnet", "target"), ("for", "left")],
        findings,
    );
    let nets = findings.accept(networks(target?.node));
    let left = findings.accept(time(seconds(1, BAN_FOR.end().as_secs()))(
        left?.node, "left",
    ))?;
    let bans = nets?.into_iter();
    Some(bans.map(|net| PriorBan { net, left }).collect())
}

/// Of an array of them, or one: addresses and subnets, with braces for several.
pub(super) fn networks(node: Node<'_>) -> Read<Vec<IpNet>> {
    let written = node.string("target", TARGET)?;
    let texts = expand(written.text).map_err(|mistake| blame(mistake, &written))?;
    let read = texts.iter().map(|text| {
        network(text).ok_or_else(|| {
            let complaint = format!("`{}` is no address or subnet", word(text));
            Diagnostic::complaint(complaint)
                .at(written.whole())
                .help(TARGET)
        })
    });
    read.collect()
}

/// A client's address, /32 or /64, or a subnet as written.
pub(super) fn network(text: &str) -> Option<IpNet> {
    let net = canonical(parse_net(text)?);
    let is_address = net.prefix_len() == net.max_prefix_len();
    Some(if is_address {
        crate::history::SubnetWidths::ADDRESS.network(net.addr())
    } else {
        net
    })
}
