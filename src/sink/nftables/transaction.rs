//! Changes in the JSON of `nft`. One document is one transaction: the kernel commits all of it or nothing.
//!
//! No text comes from outside: addresses, prefix lengths and ports are numbers until they are written.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use serde::Serialize;
use serde_json::{Value, json};

use super::plan::Change;
use super::set::Set;
use super::settings::Ports;

/// The table's family: both IPv4 and IPv6.
pub(super) const FAMILY: &str = "inet";
/// The table's name. Nothing outside the table is ever changed.
pub(super) const TABLE: &str = "electrumx_warden";

/// The chain that sees every packet that comes in.
const ARRIVALS: &str = "arrivals";
/// The chain that looks up a packet's source.
const SOURCES: &str = "sources";

/// After fragments are reassembled (-400). Before connections are tracked (-200), so that banned clients take no room in
/// that table. Before destinations are translated (-100), so that it also covers a server in a container, at the ports
/// that clients use.
const PRIORITY: i32 = -250;

/// A transaction that is being put together.
#[derive(Debug, Serialize)]
pub(super) struct Transaction {
    #[serde(rename = "nftables")]
    commands: Vec<Command>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Command {
    Add(Object),
    Delete(Object),
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Object {
    Table(Value),
    Chain(Value),
    Set(Value),
    Rule(Value),
    Element {
        family: &'static str,
        table: &'static str,
        name: String,
        elem: Vec<Element>,
    },
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(untagged)]
enum Element {
    Bare(IpAddr),
    Timed { elem: Timed },
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Timed {
    val: IpAddr,
    /// In seconds.
    timeout: u64,
}

impl Transaction {
    /// Replaces the table, whatever it was, by one with its chains and no set.
    pub(super) fn make(ports: &Ports) -> Self {
        let table = || Object::Table(json!({"family": FAMILY, "name": TABLE}));
        let arrivals = json!({
            "family": FAMILY, "table": TABLE, "name": ARRIVALS,
            "type": "filter", "hook": "prerouting", "prio": PRIORITY, "policy": "accept",
        });
        let for_this_machine = json!({"match": {
            "op": "==",
            "left": {"fib": {"result": "type", "flags": ["daddr"]}},
            "right": "local",
        }});
        let to_the_server = json!({"match": {
            "op": "==",
            "left": {"payload": {"protocol": "tcp", "field": "dport"}},
            "right": {"set": ports},
        }});
        let look_up = json!({"jump": {"target": SOURCES}});
        let commands = vec![
            // Deleting a table that does not exist fails.
            Command::Add(table()),
            Command::Delete(table()),
            Command::Add(table()),
            Command::Add(Object::Chain(
                json!({"family": FAMILY, "table": TABLE, "name": SOURCES}),
            )),
            Command::Add(Object::Chain(arrivals)),
            rule(ARRIVALS, &json!([for_this_machine, to_the_server, look_up])),
        ];
        Self { commands }
    }

    /// Without a command; for a table that exists.
    pub(super) fn change() -> Self {
        Self {
            commands: Vec::new(),
        }
    }

    /// Adds sets that do not exist yet, and the rules that match them.
    pub(super) fn add_sets(&mut self, sets: &BTreeSet<Set>) {
        for &set in sets {
            self.commands.push(Command::Add(Object::Set(json!({
                "family": FAMILY, "table": TABLE, "name": set.to_string(),
                "type": set.element_type(), "flags": ["timeout"],
            }))));
            let mut source = json!({"payload": {"protocol": set.protocol(), "field": "saddr"}});
            if let Some(mask) = set.mask() {
                source = json!({"&": [source, mask]});
            }
            let is_in_set =
                json!({"match": {"op": "==", "left": source, "right": format!("@{set}")}});
            let expression = json!([is_in_set, {"counter": null}, {"drop": null}]);
            self.commands.push(rule(SOURCES, &expression));
        }
    }

    /// Adds networks that are certainly not in the table.
    pub(super) fn add(&mut self, changes: &[(IpNet, Change)]) {
        for (set, members) in by_set(changes) {
            self.push_held(set, &members);
        }
    }

    /// Holds or lifts networks, whether or not they are in the table. Their sets exist.
    pub(super) fn replace(&mut self, changes: &[(IpNet, Change)]) {
        for (set, members) in by_set(changes) {
            let bare: Vec<_> = members
                .iter()
                .map(|&(address, _)| Element::Bare(address))
                .collect();
            // Deleting an element that does not exist, or has just expired, fails. So each is added first, which
            // changes nothing if it exists. `destroy` would do, but Debian 12 does not have it.
            self.commands
                .push(Command::Add(elements(set, bare.clone())));
            self.commands.push(Command::Delete(elements(set, bare)));
            self.push_held(set, &members);
        }
    }

    fn push_held(&mut self, set: Set, members: &[(IpAddr, Change)]) {
        let held = members.iter().filter_map(|&(val, change)| match change {
            Change::Hold(left) => Some(Element::Timed {
                elem: Timed {
                    val,
                    timeout: whole_seconds(left),
                },
            }),
            Change::Lift => None,
        });
        let held: Vec<_> = held.collect();
        if !held.is_empty() {
            self.commands.push(Command::Add(elements(set, held)));
        }
    }

    /// As `nft -j` reads it.
    pub(super) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers and fixed names are JSON")
    }
}

/// nft takes timeouts in whole seconds. Rounded up, because 0 means no timeout.
fn whole_seconds(left: Duration) -> u64 {
    let left = left.min(TIMEOUT_MAX);
    (left.as_secs() + u64::from(left.subsec_nanos() > 0)).max(1)
}

/// A hundred years. The kernel takes more, but no ban needs it.
const TIMEOUT_MAX: Duration = Duration::from_secs(36_500 * 86_400);

fn by_set(changes: &[(IpNet, Change)]) -> BTreeMap<Set, Vec<(IpAddr, Change)>> {
    let mut sets: BTreeMap<Set, Vec<_>> = BTreeMap::new();
    for (network, change) in changes {
        let members = sets.entry(Set::of(network)).or_default();
        members.push((network.addr(), *change));
    }
    sets
}

fn rule(chain: &str, expression: &Value) -> Command {
    Command::Add(Object::Rule(
        json!({"family": FAMILY, "table": TABLE, "chain": chain, "expr": expression}),
    ))
}

fn elements(set: Set, elem: Vec<Element>) -> Object {
    Object::Element {
        family: FAMILY,
        table: TABLE,
        name: set.to_string(),
        elem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(changes: &[(&str, Change)]) -> Vec<(IpNet, Change)> {
        let parsed = changes
            .iter()
            .map(|&(network, change)| (network.parse().unwrap(), change));
        parsed.collect()
    }

    fn hold(seconds: u64) -> Change {
        Change::Hold(Duration::from_secs(seconds))
    }

    fn shown(transaction: &Transaction) -> String {
        let value: Value = serde_json::from_slice(&transaction.to_json()).unwrap();
        let commands = value["nftables"].as_array().unwrap();
        let lines: Vec<_> = commands.iter().map(Value::to_string).collect();
        lines.join("\n")
    }

    #[test]
    fn a_table_is_made_with_its_first_networks() {
        let networks = changes(&[
            ("203.0.113.7/32", hold(600)),
            ("203.0.113.0/24", hold(7_200)),
            ("2001:db8:1:2::/64", hold(86_400)),
        ]);
        let mut transaction = Transaction::make(&Ports::new([50_002, 50_001]).unwrap());
        transaction.add_sets(
            &networks
                .iter()
                .map(|(network, _)| Set::of(network))
                .collect(),
        );
        transaction.add(&networks);
        insta::assert_snapshot!(shown(&transaction));
    }

    #[test]
    fn what_changes_is_added_deleted_and_added_with_its_end() {
        let mut transaction = Transaction::change();
        transaction.replace(&changes(&[
            ("203.0.113.7/32", hold(60)),
            ("203.0.113.8/32", Change::Lift),
            ("2001:db8::/48", Change::Lift),
        ]));
        insta::assert_snapshot!(shown(&transaction));
    }

    #[test]
    fn a_timeout_is_at_least_a_second_and_never_for_ever() {
        for (left, seconds) in [
            (Duration::ZERO, 1),
            (Duration::from_millis(1), 1),
            (Duration::from_millis(1_001), 2),
            (Duration::from_secs(600), 600),
            (Duration::MAX, 3_153_600_000),
        ] {
            assert_eq!(whole_seconds(left), seconds, "{left:?}");
        }
    }
}
