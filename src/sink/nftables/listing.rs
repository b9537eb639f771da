//! The table as `nft -j` lists it.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::set::Set;
use super::transaction::TABLE;

/// Everything in the table except elements and counts: sets, chains and rules in order, and any foreign object.
///
/// Releases of nft write the same rule in different ways. So a shape is compared with an earlier one, never with what
/// was sent.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Shape(Vec<Value>);

impl Shape {
    /// From a list of all tables of the family, without elements.
    pub(super) fn read(json: &[u8]) -> serde_json::Result<Self> {
        let listing: Listing<OwnObjects> = serde_json::from_slice(json)?;
        Ok(Self(listing.nftables.0))
    }

    /// Whether there is no table.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A network in the table and the time left to it; `None` if it has no timeout.
///
/// A network with bits set behind its prefix was added by another program.
pub(super) type ListedNetwork = (IpNet, Option<Duration>);

/// The elements in a list of the table.
pub(super) fn elements(json: &[u8]) -> serde_json::Result<Vec<ListedNetwork>> {
    let listing: Listing<Vec<Item>> = serde_json::from_slice(json)?;
    let sets = listing.nftables.into_iter().filter_map(|item| item.set);
    let mut elements = Vec::new();
    for ListedSet { name, elem } in sets {
        let foreign = || serde_json::Error::custom("an element does not fit its set");
        let set: Set = name.parse().map_err(|()| foreign())?;
        elements.reserve(elem.len());
        for Member { address, expires } in elem {
            elements.push((set.network(address).ok_or_else(foreign)?, expires));
        }
    }
    Ok(elements)
}

#[derive(Deserialize)]
struct Listing<T> {
    nftables: T,
}

/// The objects that belong to the table. Objects of other tables are dropped as they are read.
struct OwnObjects(Vec<Value>);

impl<'de> Deserialize<'de> for OwnObjects {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectsVisitor;
        impl<'de> Visitor<'de> for ObjectsVisitor {
            type Value = OwnObjects;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of objects")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut objects: A) -> Result<OwnObjects, A::Error> {
                let mut ours = Vec::new();
                while let Some(mut object) = objects.next_element()? {
                    if is_ours(&object) {
                        strip(&mut object);
                        ours.push(object);
                    }
                }
                Ok(OwnObjects(ours))
            }
        }
        deserializer.deserialize_seq(ObjectsVisitor)
    }
}

/// Whether an object, `{"rule": {…}}`, is the table or in it.
fn is_ours(object: &Value) -> bool {
    let Some((kind, body)) = object.as_object().and_then(|object| object.iter().next()) else {
        return false;
    };
    let table = if kind == "table" { "name" } else { "table" };
    body.get(table).is_some_and(|name| name == TABLE)
}

/// Removes what changes although nobody changed the table.
fn strip(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, _| !matches!(key.as_str(), "handle" | "packets" | "bytes"));
            map.values_mut().for_each(strip);
        }
        Value::Array(values) => values.iter_mut().for_each(strip),
        _ => {}
    }
}

#[derive(Deserialize)]
struct Item {
    set: Option<ListedSet>,
}

#[derive(Deserialize)]
struct ListedSet {
    name: String,
    #[serde(default)]
    elem: Vec<Member>,
}

/// `"192.0.2.1"`, or `{"elem": {"val": "192.0.2.1", "expires": 7}}`. An untagged enum would take three times as long.
struct Member {
    address: IpAddr,
    expires: Option<Duration>,
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MemberVisitor;
        impl<'de> Visitor<'de> for MemberVisitor {
            type Value = Member;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address, with or without an end")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Member, E> {
                let address = text.parse().map_err(E::custom)?;
                Ok(Member {
                    address,
                    expires: None,
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Member, A::Error> {
                let mut member = None;
                while let Some(key) = map.next_key::<String>()? {
                    if key == "elem" {
                        member = Some(map.next_value::<Timed>()?);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                let Timed { val, expires } =
                    member.ok_or_else(|| A::Error::missing_field("elem"))?;
                let expires = expires.map(Duration::from_secs);
                Ok(Member {
                    address: val,
                    expires,
                })
            }
        }
        deserializer.deserialize_any(MemberVisitor)
    }
}

#[derive(Deserialize)]
struct Timed {
    val: IpAddr,
    /// In seconds, rounded down.
    expires: Option<u64>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn list(objects: &Value) -> Vec<u8> {
        json!({"nftables": objects}).to_string().into_bytes()
    }

    fn set(name: &str, elem: &Value) -> Value {
        json!({"set": {"family": "inet", "table": TABLE, "name": name, "elem": elem}})
    }

    #[test]
    fn elements_are_read_with_their_ends() {
        let json = list(&json!([
            {"metainfo": {"version": "1.0.6"}},
            {"table": {"family": "inet", "name": TABLE}},
            set("v4_24", &json!([
                {"elem": {"val": "192.0.2.0", "timeout": 60, "expires": 59}},
                {"elem": {"comment": "by hand", "val": "198.51.100.7"}},
                "203.0.113.0",
            ])),
            set("v6_64", &json!([{"elem": {"val": "2001:db8::", "expires": 0}}])),
            {"set": {"family": "inet", "table": TABLE, "name": "v4_32"}},
            {"chain": {"family": "inet", "table": TABLE, "name": "sources"}},
        ]));
        let expected = [
            ("192.0.2.0/24", Some(59)),
            ("198.51.100.7/24", None),
            ("203.0.113.0/24", None),
            ("2001:db8::/64", Some(0)),
        ];
        let expected = expected.map(|(network, seconds): (&str, Option<u64>)| {
            (network.parse().unwrap(), seconds.map(Duration::from_secs))
        });
        assert_eq!(elements(&json).unwrap(), expected);
    }

    #[test]
    fn what_is_no_list_of_elements_is_refused() {
        let refused = [
            b"".to_vec(),
            b"nft: warning".to_vec(),
            b"{}".to_vec(),
            list(&json!([set(
                "v4_24",
                &json!([{"prefix": {"addr": "10.0.0.0", "len": 8}}])
            )])),
            list(&json!([set("v4_24", &json!(["2001:db8::"]))])),
            list(&json!([set("v4_24", &json!(["somebody"]))])),
            list(&json!([set("others", &json!(["10.0.0.1"]))])),
        ];
        for json in refused {
            let shown = String::from_utf8_lossy(&json).into_owned();
            assert!(elements(&json).is_err(), "{shown}");
        }
    }

    fn shape(objects: &Value) -> Shape {
        Shape::read(&list(objects)).unwrap()
    }

    fn rule(handle: u32, packets: u32, table: &str, verdict: &str) -> Value {
        json!({"rule": {"table": table, "handle": handle,
            "expr": [{"counter": {"packets": packets, "bytes": packets}}, {verdict: null}]}})
    }

    #[test]
    fn a_shape_is_the_same_whatever_handles_counts_and_other_tables_are() {
        let before = shape(&json!([
            rule(3, 0, TABLE, "drop"),
            rule(1, 0, "filter", "drop")
        ]));
        let after = shape(&json!([
            {"metainfo": {"version": "1.0.6"}},
            {"table": {"name": "filter", "handle": 9}},
            rule(1, 0, "filter", "accept"),
            rule(5, 77, TABLE, "drop"),
        ]));
        assert_eq!(before, after);
        assert!(!after.is_empty());
    }

    #[test]
    fn another_rule_a_missing_one_and_a_foreign_object_make_another_shape() {
        let shape_of = |objects| shape(&objects);
        let ours = shape_of(json!([{"table": {"name": TABLE}}, rule(3, 0, TABLE, "drop")]));
        for other in [
            json!([{"table": {"name": TABLE}}]),
            json!([{"table": {"name": TABLE}}, rule(3, 0, TABLE, "accept")]),
            json!([{"table": {"name": TABLE, "flags": "dormant"}}, rule(3, 0, TABLE, "drop")]),
            json!([{"table": {"name": TABLE}}, rule(3, 0, TABLE, "drop"), {"map": {"table": TABLE}}]),
        ] {
            assert_ne!(shape(&other), ours, "{other}");
        }
        assert!(shape_of(json!([rule(1, 0, "filter", "drop")])).is_empty());
    }
}
