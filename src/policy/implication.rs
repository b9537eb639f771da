//! What one test says of another: that both cannot hold, or that one holds whenever the other does.
//!
//! Answers are certain or absent: lists that are read from files may change, and are not judged.

use std::cmp::Ordering;
use std::collections::HashSet;

use super::list::{AddressSet, List};
use super::set::PolicySet;
use super::{Comparison, ListId, Predicate, Test, Threshold};
use crate::field::{Dimension, Field, Kind, Scope};
use crate::version::Version;

type Texts = HashSet<Box<str>>;

/// Every transport that there is.
const TRANSPORTS: [&str; 3] = ["tcp", "ssl", "websocket"];

/// Tests in the light of their set's lists.
#[derive(Clone, Copy)]
pub(super) struct Logic<'s> {
    pub(super) set: &'s PolicySet,
    /// What the policy looks at.
    pub(super) scope: Scope,
    /// What the field `private` is for every target, if the scope leaves private peers out.
    pub(super) private: Option<bool>,
}

impl<'s> Logic<'s> {
    /// Whether no value passes.
    pub(super) fn never(self, test: &Test) -> bool {
        match &test.predicate {
            Predicate::Compare(comparison, Threshold::Fixed(value)) => {
                Interval::of(*comparison, *value)
                    .is_some_and(|interval| !interval.meets(self.domain(test)))
            }
            Predicate::Is(flag) => self.known_flag(test).is_some_and(|known| known != *flag),
            Predicate::In {
                list,
                negated: false,
            } if self.is_empty(*list) => true,
            predicate if test.field == Field::Transport => TRANSPORTS
                .iter()
                .all(|transport| self.text_passes(predicate, transport) == Some(false)),
            _ => false,
        }
    }

    /// Whether every value passes.
    pub(super) fn always(self, test: &Test) -> bool {
        match &test.predicate {
            Predicate::Compare(comparison, Threshold::Fixed(value)) => {
                match Interval::of(*comparison, *value) {
                    Some(interval) => self.domain(test).within(interval),
                    None => !self.domain(test).contains(*value),
                }
            }
            Predicate::Is(flag) => self.known_flag(test) == Some(*flag),
            Predicate::In {
                list,
                negated: true,
            } if self.is_empty(*list) => true,
            predicate if test.field == Field::Transport => TRANSPORTS
                .iter()
                .all(|transport| self.text_passes(predicate, transport) == Some(true)),
            _ => false,
        }
    }

    /// Whether no value passes both.
    pub(super) fn exclude(self, left: &Test, right: &Test) -> bool {
        if !same_field(left, right) {
            return false;
        }
        self.excludes(left, right) || self.excludes(right, left)
    }

    fn excludes(self, left: &Test, right: &Test) -> bool {
        use Predicate::*;
        let kind = left.field.info().kind;
        match (&left.predicate, &right.predicate) {
            (Compare(c, Threshold::Fixed(v)), Compare(d, Threshold::Fixed(w))) => {
                numbers_exclude((*c, *v), (*d, *w))
            }
            (Version(c, v), Version(d, w)) => {
                let (v, w) = in_order(*v, *w);
                numbers_exclude((*c, v), (*d, w))
            }
            (Is(left), Is(right)) => left != right,
            (
                Matches {
                    regex: a,
                    negated: false,
                },
                Matches {
                    regex: b,
                    negated: true,
                },
            ) => a.as_str() == b.as_str(),
            (
                In {
                    list: a,
                    negated: false,
                },
                In { list: b, negated },
            ) => {
                if *negated {
                    a == b || self.lists(kind, *a, *b, is_within)
                } else {
                    self.lists(kind, *a, *b, shares_nothing)
                }
            }
            (left, right) => self
                .texts(left)
                .is_some_and(|texts| self.all_pass(&texts, right, false)),
        }
    }

    /// Whether every value that passes `given` passes `test`.
    pub(super) fn implies(self, given: &Test, test: &Test) -> bool {
        use Predicate::*;
        if !same_field(given, test) {
            return false;
        }
        let kind = given.field.info().kind;
        match (&given.predicate, &test.predicate) {
            (Compare(c, Threshold::Fixed(v)), Compare(d, Threshold::Fixed(w))) => {
                numbers_imply((*c, *v), (*d, *w))
            }
            (
                Compare(c, Threshold::Population { times, quantile }),
                Compare(
                    d,
                    Threshold::Population {
                        times: t,
                        quantile: q,
                    },
                ),
            ) => {
                use Comparison::*;
                let strict_enough =
                    c == d || matches!((c, d), (Greater, GreaterOrEqual) | (Less, LessOrEqual));
                let upwards = matches!(c, Greater | GreaterOrEqual);
                let beyond = if upwards {
                    times >= t && quantile >= q
                } else {
                    times <= t && quantile <= q
                };
                strict_enough && beyond
            }
            (Version(c, v), Version(d, w)) => {
                let (v, w) = in_order(*v, *w);
                numbers_imply((*c, v), (*d, w))
            }
            (Is(given), Is(test)) => given == test,
            (
                Equals {
                    text: a,
                    negated: true,
                },
                Equals {
                    text: b,
                    negated: true,
                },
            ) => a == b,
            (
                Matches {
                    regex: a,
                    negated: m,
                },
                Matches {
                    regex: b,
                    negated: n,
                },
            ) => m == n && a.as_str() == b.as_str(),
            (
                In {
                    list: a,
                    negated: m,
                },
                In {
                    list: b,
                    negated: n,
                },
            ) => match (m, n) {
                (false, false) => a == b || self.lists(kind, *a, *b, is_within),
                (true, true) => a == b || self.lists(kind, *b, *a, is_within),
                (false, true) => self.lists(kind, *a, *b, shares_nothing),
                (true, false) => false,
            },
            (given, test) => self
                .texts(given)
                .is_some_and(|texts| self.all_pass(&texts, test, true)),
        }
    }

    /// Whether all tests of `tests` hold whenever all of `given` do.
    pub(super) fn all_implied(self, given: &[Test], tests: &[Test]) -> bool {
        tests
            .iter()
            .all(|test| self.always(test) || given.iter().any(|given| self.implies(given, test)))
    }

    /// Whether a test searches an empty list.
    pub(super) fn on_empty_list(self, test: &Test) -> bool {
        matches!(test.predicate, Predicate::In { list, .. } if self.is_empty(list))
    }

    fn known_flag(self, test: &Test) -> Option<bool> {
        match test.field {
            // A private peer has no surroundings.
            Field::Private if self.is_around(test) => Some(false),
            Field::Private => self.private,
            _ => None,
        }
    }

    /// Whether a test is of what is around the policy's targets.
    pub(super) fn is_around(self, test: &Test) -> bool {
        test.scope != self.scope
    }

    /// The values that the field of a test can have.
    fn domain(self, test: &Test) -> Interval {
        let last = match test.field.info().kind {
            Kind::Number(Dimension::Share) => 1.0,
            // While the server does not answer nobody but the server is judged.
            _ if test.field == Field::RpcDown && self.is_around(test) => 0.0,
            _ => f64::INFINITY,
        };
        Interval {
            first: 0.0,
            first_open: false,
            last,
            last_open: false,
        }
    }

    fn fixed(self, id: ListId) -> Option<&'s List> {
        let from_file = self.set.files.iter().any(|file| file.id == id);
        (!from_file).then(|| self.set.list(id))
    }

    fn is_empty(self, id: ListId) -> bool {
        self.fixed(id).is_some_and(|list| list.entries == 0)
    }

    fn lists(
        self,
        kind: Kind,
        a: ListId,
        b: ListId,
        judge: fn(Kind, &List, &List) -> bool,
    ) -> bool {
        match (self.fixed(a), self.fixed(b)) {
            (Some(a), Some(b)) => judge(kind, a, b),
            _ => false,
        }
    }

    /// The only texts that pass, if they are few and certain.
    fn texts(self, predicate: &'s Predicate) -> Option<Vec<&'s str>> {
        match predicate {
            Predicate::Equals {
                text,
                negated: false,
            } => Some(vec![text]),
            Predicate::In {
                list,
                negated: false,
            } => {
                let texts = self.fixed(*list)?.texts.as_ref()?;
                let few = (1..=1_000).contains(&texts.len());
                few.then(|| texts.iter().map(AsRef::as_ref).collect())
            }
            _ => None,
        }
    }

    fn all_pass(self, texts: &[&str], predicate: &Predicate, wanted: bool) -> bool {
        texts
            .iter()
            .all(|text| self.text_passes(predicate, text) == Some(wanted))
    }

    fn text_passes(self, predicate: &Predicate, text: &str) -> Option<bool> {
        Some(match predicate {
            Predicate::Equals {
                text: other,
                negated,
            } => (**other == *text) != *negated,
            Predicate::Matches { regex, negated } => regex.is_match(text) != *negated,
            Predicate::In { list, negated } => {
                let list = self.fixed(*list).filter(|list| list.texts.is_some())?;
                list.contains_text(text) != *negated
            }
            _ => return None,
        })
    }
}

/// Compares the faces that a field of this kind uses.
fn faces(
    kind: Kind,
    a: &List,
    b: &List,
    addresses: fn(&AddressSet, &AddressSet) -> bool,
    texts: fn(&Texts, &Texts) -> bool,
) -> bool {
    match kind {
        Kind::Address => both(a.addresses.as_ref(), b.addresses.as_ref(), addresses),
        _ => both(a.texts.as_ref(), b.texts.as_ref(), texts),
    }
}

fn is_within(kind: Kind, a: &List, b: &List) -> bool {
    faces(kind, a, b, AddressSet::is_subset, Texts::is_subset)
}

fn shares_nothing(kind: Kind, a: &List, b: &List) -> bool {
    faces(kind, a, b, AddressSet::is_disjoint, Texts::is_disjoint)
}

fn both<T>(left: Option<&T>, right: Option<&T>, judge: fn(&T, &T) -> bool) -> bool {
    matches!((left, right), (Some(left), Some(right)) if judge(left, right))
}

/// A comparison, and what with.
type Compared = (Comparison, f64);

fn numbers_exclude((c, v): Compared, (d, w): Compared) -> bool {
    match (Interval::of(c, v), Interval::of(d, w)) {
        (Some(left), Some(right)) => !left.meets(right),
        (Some(left), None) => left.is_point(w),
        _ => false,
    }
}

fn numbers_imply((c, v): Compared, (d, w): Compared) -> bool {
    match (Interval::of(c, v), Interval::of(d, w)) {
        (Some(given), Some(test)) => given.within(test),
        (Some(given), None) => !given.contains(w),
        (None, None) => v.total_cmp(&w).is_eq(),
        (None, Some(_)) => false,
    }
}

/// Two versions as numbers whose order is theirs: of versions, too, there are always more between two.
fn in_order(left: Version, right: Version) -> (f64, f64) {
    match left.cmp(&right) {
        Ordering::Less => (1.0, 2.0),
        Ordering::Equal => (1.0, 1.0),
        Ordering::Greater => (2.0, 1.0),
    }
}

fn same_field(left: &Test, right: &Test) -> bool {
    left.scope == right.scope && left.field == right.field && left.method == right.method
}

#[derive(Clone, Copy)]
struct Interval {
    first: f64,
    first_open: bool,
    last: f64,
    last_open: bool,
}

impl Interval {
    /// What passes a comparison; none for `!=`, which leaves two intervals.
    fn of(comparison: Comparison, value: f64) -> Option<Self> {
        let (first, first_open, last, last_open) = match comparison {
            Comparison::Greater => (value, true, f64::INFINITY, false),
            Comparison::GreaterOrEqual => (value, false, f64::INFINITY, false),
            Comparison::Less => (0.0, false, value, true),
            Comparison::LessOrEqual => (0.0, false, value, false),
            Comparison::Equal => (value, false, value, false),
            Comparison::NotEqual => return None,
        };
        Some(Self {
            first,
            first_open,
            last,
            last_open,
        })
    }

    fn contains(self, value: f64) -> bool {
        let after = value > self.first || (value >= self.first && !self.first_open);
        let before = value < self.last || (value <= self.last && !self.last_open);
        after && before
    }

    fn is_point(self, value: f64) -> bool {
        let (first, last) = (self.first, self.last);
        first >= value && last <= value && self.contains(value)
    }

    fn is_empty(self) -> bool {
        self.first > self.last || (self.first >= self.last && (self.first_open || self.last_open))
    }

    fn meets(self, other: Self) -> bool {
        let (first, first_open) = later(
            (self.first, self.first_open),
            (other.first, other.first_open),
        );
        let (last, last_open) = earlier((self.last, self.last_open), (other.last, other.last_open));
        let both = Self {
            first,
            first_open,
            last,
            last_open,
        };
        !both.is_empty()
    }

    fn within(self, other: Self) -> bool {
        let starts = self.first > other.first
            || (self.first >= other.first && (self.first_open || !other.first_open));
        let ends = self.last < other.last
            || (self.last <= other.last && (self.last_open || !other.last_open));
        starts && ends
    }
}

fn later(left: (f64, bool), right: (f64, bool)) -> (f64, bool) {
    match left.0.total_cmp(&right.0) {
        Ordering::Less => right,
        Ordering::Greater => left,
        Ordering::Equal => (left.0, left.1 || right.1),
    }
}

fn earlier(left: (f64, bool), right: (f64, bool)) -> (f64, bool) {
    match left.0.total_cmp(&right.0) {
        Ordering::Less => left,
        Ordering::Greater => right,
        Ordering::Equal => (left.0, left.1 || right.1),
    }
}
