//! Policies that are valid and yet not what anyone means, as warnings.

use super::diagnostic::{Diagnostic, Findings, Problem};
use super::implication::Logic;
use super::set::{Origin, PolicySet};
use super::source::{Place, word};
use super::{
    Action, AllOf, Comparison, DaemonTarget, Members, Mode, Policy, Predicate, Test, Threshold,
};
use crate::daemon::Address;
use crate::field::{Dimension, Field, Kind, Scope, Source};
use crate::units;

/// Tests of a table, and tables of a condition, that are compared with each other: enough for
/// any policy that a person wrote, and a bound on the time that others take.
const COMPARED_MAX: usize = 16;

/// Which fields a connected server gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Protocol versions, from 1.1 on.
    pub protocol: bool,
    /// Costs, from 1.10.1 on.
    pub cost: bool,
    /// `inspect_session`, from 2.0 on.
    pub inspection: bool,
}

impl Capabilities {
    /// Whether the server gives a field.
    pub const fn gives(self, field: Field) -> bool {
        match field.info().source {
            Source::Protocol => self.protocol,
            // The few releases from 1.10.1 to 1.11 have costs and no totals.
            Source::Cost | Source::Totals => self.cost,
            Source::Inspection => self.inspection,
            Source::Always
            | Source::Getinfo
            | Source::Agent
            | Source::Probes
            | Source::Slots
            | Source::Canary => true,
        }
    }
}

impl PolicySet {
    /// Warns of the fields that the connected server does not give.
    pub fn lint_for(&self, capabilities: Capabilities) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        let on = |policy: &&(&Policy, &Origin)| policy.0.mode != Mode::Off;
        for (policy, origin) in self.located().filter(|pair| on(&pair)) {
            let mut warn = |tests: Located<'_>, consequence: &str| {
                for (test, place) in tests.filter(|(test, _)| !capabilities.gives(test.field)) {
                    let since = test.field.info().source.doc();
                    let field = word(&test.field_written);
                    found.push(
                        Diagnostic::new(Problem::UnavailableField { field })
                            .at(place.clone())
                            .help(format!("servers give it {since}; {consequence}")),
                    );
                }
            };
            let tests = when(policy, origin).chain(at_once(policy, origin));
            warn(Box::new(tests), "on this one the test never holds");
            warn(
                unless(policy, origin),
                "on this one the exception applies to everybody",
            );
        }
        found
    }

    /// Warns of daemons that policies go to and that are none of these.
    pub fn lint_daemons(&self, known: &[Address]) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        for (policy, origin) in self.located() {
            let Action::DaemonUrl {
                to: DaemonTarget::List(daemons),
            } = &policy.action
            else {
                continue;
            };
            let unknown = daemons.iter().filter(|daemon| !known.contains(daemon));
            found.extend(unknown.map(|daemon| {
                let problem = Problem::UnknownDaemon {
                    policy: word(&policy.name),
                    daemon: word(daemon),
                };
                let known: Vec<_> = known.iter().map(|daemon| format!("`{daemon}`")).collect();
                Diagnostic::new(problem)
                    .at(origin.name.clone())
                    .help(format!(
                        "it knows {}; a decision that goes elsewhere fails",
                        known.join(", ")
                    ))
            }));
        }
        found
    }

    /// How many policies do nothing, ever, where nothing is known by this source: no daemons are probed, the
    /// slots are not configured, or the server is older than what tells it.
    pub fn count_idle_without(&self, source: Source) -> usize {
        let policies = self.policies.iter();
        let policies = policies.filter(|policy| policy.mode != Mode::Off);
        policies.filter(|policy| needs(policy, source)).count()
    }

    fn located(&self) -> impl Iterator<Item = (&Policy, &Origin)> {
        self.policies.iter().zip(&self.origins)
    }

    fn logic(&self, policy: &Policy) -> Logic<'_> {
        let leaves_out =
            matches!(policy.scope, Scope::Address | Scope::Subnet) && !policy.include_private;
        Logic {
            set: self,
            scope: policy.scope,
            private: leaves_out.then_some(false),
        }
    }
}

/// Whether it needs to know that for what it does, or else no test of it could ever be told: one that
/// cannot be told holds in `unless`, and nowhere else.
fn needs(policy: &Policy, source: Source) -> bool {
    let is_for_its_action = match (&policy.action, source) {
        (Action::DaemonUrl { to }, Source::Probes) => *to != DaemonTarget::Default,
        (Action::Evict { .. }, Source::Slots) => true,
        _ => false,
    };
    is_for_its_action || never_acts_without(policy, source)
}

/// Whether a policy does nothing where what it tests of `source` is unknown: its tests never hold then,
/// or its exception always does.
fn never_acts_without(policy: &Policy, source: Source) -> bool {
    let is_of_it = |test: &Test| test.field.info().source == source;
    let mut when = policy.when.any.iter();
    let mut unless = policy.unless.iter().flat_map(|unless| &unless.any);
    when.all(|table| table.tests.iter().any(is_of_it))
        || unless.any(|table| table.tests.iter().all(is_of_it))
}

type Located<'p> = Box<dyn Iterator<Item = (&'p Test, &'p Place)> + 'p>;

fn when<'p>(policy: &'p Policy, origin: &'p Origin) -> Located<'p> {
    located(&policy.when.any, &origin.when)
}

fn at_once<'p>(policy: &'p Policy, origin: &'p Origin) -> Located<'p> {
    let tables = policy
        .at_once
        .as_ref()
        .map_or(&[][..], |at_once| &at_once.any);
    located(tables, &origin.at_once)
}

fn unless<'p>(policy: &'p Policy, origin: &'p Origin) -> Located<'p> {
    let tables = policy.unless.as_ref().map_or(&[][..], |unless| &unless.any);
    located(tables, &origin.unless)
}

fn located<'p>(tables: &'p [AllOf], places: &'p [Vec<Place>]) -> Located<'p> {
    let tables = tables.iter().zip(places);
    Box::new(tables.flat_map(|(table, places)| table.tests.iter().zip(places)))
}

/// Warns of all that can be told without a server.
pub(super) fn all(set: &PolicySet, findings: &mut Findings) {
    for (policy, origin) in set.located() {
        let logic = set.logic(policy);
        let hopeless = conditions(logic, policy, origin, findings);
        if !hopeless {
            exceptions(logic, policy, origin, findings);
        }
        floors(policy, origin, findings);
        window(policy, origin, findings);
        waits(policy, origin, findings);
        members(policy, origin, findings);
        surroundings(logic, policy, origin, findings);
    }
    shadows(set, findings);
}

/// Warns of multiples of what is normal that stand alone: where that is 0, anything is more.
fn floors(policy: &Policy, origin: &Origin, findings: &mut Findings) {
    let sooner = policy.at_once.iter().flat_map(|at_once| &at_once.any);
    let tables = policy.when.any.iter().chain(sooner);
    let places = origin.when.iter().chain(&origin.at_once);
    for (table, places) in tables.zip(places) {
        let has_floor = |test: &Test| {
            let mut upward = table
                .tests
                .iter()
                .filter_map(|other| Some((other, upward(other)?)));
            upward.any(|(other, threshold)| {
                (other.scope, other.field) == (test.scope, test.field)
                    && matches!(threshold, Threshold::Fixed(value) if value > 0.0)
            })
        };
        for (test, place) in table.tests.iter().zip(places) {
            if matches!(upward(test), Some(Threshold::Population { .. })) && !has_floor(test) {
                let what = written(test);
                findings.push(Diagnostic::new(Problem::NoFloor { what }).at(place.clone()).help(
                    "where most targets have 0, any multiple of that is 0: add a fixed threshold, \
                     as in `[\"> 100\", \"> 20x median\"]`",
                ));
            }
        }
    }
}

/// What a test demands that a number exceeds.
const fn upward(test: &Test) -> Option<Threshold> {
    match test.predicate {
        Predicate::Compare(Comparison::Greater | Comparison::GreaterOrEqual, threshold) => {
            Some(threshold)
        }
        _ => None,
    }
}

/// Warns of tests that hold never or always; whether one of `when` never does.
fn conditions(logic: Logic<'_>, policy: &Policy, origin: &Origin, findings: &mut Findings) -> bool {
    let sooner = at_once(policy, origin);
    let tests = when(policy, origin)
        .chain(sooner)
        .chain(unless(policy, origin));
    for (test, place) in tests {
        let what = written(test);
        if logic.never(test) {
            let help = reason(logic, policy, test);
            let finding = Diagnostic::new(Problem::NeverHolds { what });
            findings.push(finding.at(place.clone()).help(help));
        } else if logic.always(test) {
            let help = reason(logic, policy, test);
            let finding = Diagnostic::new(Problem::AlwaysHolds { what });
            findings.push(finding.at(place.clone()).help(help));
        }
    }
    let tables = policy.conditions().flat_map(|condition| &condition.any);
    let places = origin
        .when
        .iter()
        .chain(&origin.at_once)
        .chain(&origin.unless);
    for (table, places) in tables.zip(places) {
        if let Some((first, second)) = within(logic, table) {
            let what = format!(
                "{} together with {}",
                written(&table.tests[second]),
                written(&table.tests[first])
            );
            findings.push(
                Diagnostic::new(Problem::NeverHolds { what })
                    .at(places[second].clone())
                    .also(places[first].clone(), "no value passes this one as well")
                    .help("for one or the other, write an array of tables: `[{ ... }, { ... }]`"),
            );
        }
    }
    policy.when.any.iter().all(|table| {
        within(logic, table).is_some() || table.tests.iter().any(|test| logic.never(test))
    })
}

fn written(test: &Test) -> String {
    let bare = match &test.predicate {
        Predicate::Is(_) => true,
        Predicate::Equals { negated, .. } => !negated && !test.written.starts_with("=="),
        _ => false,
    };
    let sign = if bare { " = " } else { " " };
    format!(
        "`{}{sign}{}`",
        word(&test.field_written),
        word(&test.written)
    )
}

/// Why a test holds never or always.
fn reason(logic: Logic<'_>, policy: &Policy, test: &Test) -> String {
    let field = word(&test.field_written);
    match test.field.info().kind {
        Kind::Number(Dimension::Share) => format!("`{field}` goes from 0% to 100%"),
        _ if test.field == Field::RpcDown && logic.is_around(test) => {
            "while the server does not answer nobody but the server is judged".to_owned()
        }
        Kind::Number(dimension) => {
            format!(
                "`{field}` never goes below {}",
                units::format(0.0, dimension)
            )
        }
        Kind::Flag if logic.is_around(test) => {
            "a private peer stands for many people, and has no surroundings".to_owned()
        }
        Kind::Flag => {
            let scope = policy.scope;
            format!("scope `{scope}` leaves private peers out; see `include_private`")
        }
        _ if test.field == Field::Transport && !logic.on_empty_list(test) => {
            "a transport is `tcp`, `ssl` or `websocket`".to_owned()
        }
        _ => "the list is empty".to_owned(),
    }
}

/// Two tests of a table that no value passes together, though one could pass either.
fn within(logic: Logic<'_>, table: &AllOf) -> Option<(usize, usize)> {
    let tests = &table.tests[..table.tests.len().min(COMPARED_MAX)];
    let pairs = (0..tests.len()).flat_map(|second| (0..second).map(move |first| (first, second)));
    pairs.into_iter().find(|&(first, second)| {
        let (first, second) = (&tests[first], &tests[second]);
        !logic.never(first) && !logic.never(second) && logic.exclude(first, second)
    })
}

/// Two tests, one of each side, that no value passes together.
fn contradiction(logic: Logic<'_>, left: &[Test], right: &[Test]) -> Option<(usize, usize)> {
    let left = left.iter().enumerate().take(COMPARED_MAX);
    left.flat_map(|(i, left)| {
        let right = right.iter().enumerate().take(COMPARED_MAX);
        right.map(move |(j, right)| (i, left, j, right))
    })
    .find(|(_, left, _, right)| logic.exclude(left, right))
    .map(|(i, _, j, _)| (i, j))
}

/// Warns of an `unless` that takes all, or nothing.
fn exceptions(logic: Logic<'_>, policy: &Policy, origin: &Origin, findings: &mut Findings) {
    let Some(unless) = &policy.unless else {
        return;
    };
    let exceptions = || unless.any.iter().take(COMPARED_MAX);
    let all_excepted = policy
        .when
        .any
        .iter()
        .all(|when| exceptions().any(|unless| logic.all_implied(&when.tests, &unless.tests)));
    if all_excepted && policy.when.any.len() <= COMPARED_MAX {
        let policy = policy.name.to_string();
        let place = origin.unless[0][0].clone();
        findings.push(
            Diagnostic::new(Problem::NeverActs { policy })
                .at(place)
                .also(origin.when[0][0].clone(), "this is what acts")
                .help("narrow the exception down"),
        );
        return;
    }
    for (table, places) in exceptions().zip(&origin.unless) {
        let conflicts: Option<Vec<_>> = policy
            .when
            .any
            .iter()
            .map(|when| contradiction(logic, &table.tests, &when.tests))
            .collect();
        if let Some((exception, condition)) = conflicts.as_ref().and_then(|found| found.first()) {
            findings.push(
                Diagnostic::new(Problem::IdleException)
                    .at(places[*exception].clone())
                    .also(
                        origin.when[0][*condition].clone(),
                        "no value passes this one as well",
                    )
                    .help("remove it, or widen `when`"),
            );
        }
    }
}

fn window(policy: &Policy, origin: &Origin, findings: &mut Findings) {
    let windowed = when(policy, origin)
        .chain(at_once(policy, origin))
        .chain(unless(policy, origin))
        .any(|(test, _)| test.field.info().windowed);
    if let Some(place) = origin.window.clone().filter(|_| !windowed) {
        findings.push(
            Diagnostic::new(Problem::UnusedWindow)
                .at(place)
                .help("no test is of a rate or another field taken over the window: remove it"),
        );
    }
}

/// Warns of policies that act on a whole whatever its members do, and of those that find something
/// wrong with a whole and never know with whom.
fn members(policy: &Policy, origin: &Origin, findings: &mut Findings) {
    let problem = || word(&policy.name);
    if let Some(place) = origin.members.clone()
        && policy.members == Members::All
    {
        let problem = Problem::ActsOnAll { policy: problem() };
        let finding = Diagnostic::new(problem).at(place);
        let guilty =
            "left out, it acts on those who did it, until the rest no longer meets the test";
        findings.push(if policy.bans() {
            finding.help(format!(
                "whoever is there when it holds again is banned, even those who did nothing; {guilty}"
            ))
        } else {
            finding.help(guilty)
        });
    }
    if !policy.asks_who() {
        return;
    }
    for (table, places) in policy.when.any.iter().zip(&origin.when) {
        let tests = table.tests.iter().zip(places);
        let own = tests.filter(|(test, _)| test.scope == policy.scope);
        let mut upward = own.filter(|(test, _)| test.is_upward());
        let Some((test, place)) = upward.clone().next() else {
            continue;
        };
        if upward.all(|(test, _)| !test.field.is_made_up_of_parts()) {
            let problem = Problem::NobodyGuilty {
                policy: problem(),
                field: word(&test.field_written),
            };
            findings.push(Diagnostic::new(problem).at(place.clone()).help(
                "add a test of what its sessions do, such as `cost_rate` or `sessions`; or write \
                 `action = \"alert\"`, or `members = \"all\"`",
            ));
        }
    }
}

/// Refuses a `when` that looks at nothing but what is around its targets: whoever is near an attacker
/// would meet it. Warns of one that asks of the target itself for nothing that it does. Who is evicted is
/// chosen by other means.
fn surroundings(logic: Logic<'_>, policy: &Policy, origin: &Origin, findings: &mut Findings) {
    let scope = policy.scope.name();
    for (table, places) in policy.when.any.iter().zip(&origin.when) {
        let tests = table.tests.iter().zip(places);
        let Some((around, place)) = tests.clone().find(|(test, _)| logic.is_around(test)) else {
            continue;
        };
        let mut own = policy.own_tests(table).filter(|test| !logic.always(test));
        if policy.keeps_free().is_some() {
            continue;
        }
        if own.clone().next().is_none() {
            let problem = Problem::NothingOfItsOwn { scope };
            let around = around.scope;
            findings.push(Diagnostic::new(problem).at(place.clone()).help(format!(
                "everybody around an attacker would be hit: add a test of what the {scope} itself \
                 does, as in `cost_rate = \"> 100/s\"`; or look at the {around} itself, with \
                 `scope = \"{around}\"`"
            )));
        } else if policy.action.kind().is_done_to_sessions()
            && own.all(|test| test.field.is_circumstance() || test.excludes())
        {
            let problem = Problem::HitsBystanders {
                policy: word(&policy.name),
                scope,
            };
            findings.push(Diagnostic::new(problem).at(place.clone()).help(
                "add a test of what it does, such as `cost_rate` or `sent_rate`, or of who it is, such \
                 as `client` or `address`",
            ));
        }
    }
}

/// Warns of an `at_once` where there is nothing to wait for.
fn waits(policy: &Policy, origin: &Origin, findings: &mut Findings) {
    let place = origin.at_once.first().and_then(|places| places.first());
    if let Some(place) = place.filter(|_| policy.hold.is_zero()) {
        findings.push(
            Diagnostic::new(Problem::UnusedAtOnce)
                .at(place.clone())
                .help("the policy acts as soon as `when` holds: add `for`, or remove it"),
        );
    }
}

/// Warns of policies that do nothing which another one would not do first.
fn shadows(set: &PolicySet, findings: &mut Findings) {
    let located: Vec<_> = set.located().collect();
    for (i, (policy, origin)) in located.iter().enumerate() {
        let by = located.iter().enumerate().find(|(j, (other, _))| {
            // Of two that are alike the later one is told of.
            *j != i && shadow(set, other, policy) && (*j < i || !shadow(set, policy, other))
        });
        if let Some((_, (other, other_origin))) = by {
            let problem = Problem::Shadowed {
                policy: policy.name.to_string(),
                by: other.name.to_string(),
            };
            findings.push(
                Diagnostic::new(problem)
                    .at(origin.name.clone())
                    .also(
                        other_origin.name.clone(),
                        format!("`{}` acts whenever `{}` would", other.name, policy.name),
                    )
                    .help(format!(
                        "remove one of them, or have `{}` act sooner: by a lower mark, or a \
                         shorter `for`",
                        policy.name
                    )),
            );
        }
    }
}

/// Whether `other` acts on every target that `policy` would act on, no later.
fn shadow(set: &PolicySet, other: &Policy, policy: &Policy) -> bool {
    let same_action = match (&other.action, &policy.action) {
        // Two alerts say different things.
        (Action::Alert, _) => false,
        (Action::Log { duration: longer }, Action::Log { duration }) => longer >= duration,
        (one, another) => one == another && other.further == policy.further,
    };
    let windowed = |policy: &Policy| {
        let tables = policy.when.any.iter();
        tables
            .flat_map(|table| &table.tests)
            .any(|test| test.field.info().windowed)
    };
    let small = |policy: &Policy| {
        let tables = &policy.when.any;
        tables.len() <= COMPARED_MAX && tables.iter().all(|t| t.tests.len() <= COMPARED_MAX)
    };
    other.scope == policy.scope
        && same_action
        && other.members == policy.members
        && other.mode == Mode::Enforce
        && policy.mode != Mode::Off
        && other.unless.is_none()
        && other.limit.is_none()
        && other.hold <= policy.hold
        && other.backoff.is_none()
        && (policy.at_once.is_none() || other.hold.is_zero())
        && other.cooldown <= policy.cooldown
        && (other.include_private || !policy.include_private)
        && (other.window == policy.window || !windowed(other))
        && small(other)
        && small(policy)
        && policy.when.any.iter().all(|given| {
            let logic = set.logic(policy);
            let mut tables = other.when.any.iter();
            tables.any(|table| logic.all_implied(&given.tests, &table.tests))
        })
}
