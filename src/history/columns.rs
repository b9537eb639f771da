//! The columns that policies read: a number a target, NaN where it cannot be told.

use std::time::Duration;

use super::History;
use super::keys::{NONE, slot_id};
use super::numbers::{self, Numbers};
use super::plan::{Column, ColumnId, WindowId};
use super::requests::Quantity;
use super::sessions::GONE;
use super::tally::{Counter, Tallies};
use crate::field::{Field, Scope, Source};
use crate::room::stretch;
use crate::snapshot::{Generation, Sessions, Snapshot, Transport};
use crate::time::Timestamp;
use crate::watch::Watched;

/// How a windowed field comes out of a counter.
#[derive(Clone, Copy)]
enum Windowed {
    Count(Counter),
    Rate(Counter),
    Share(Counter),
}

impl Windowed {
    const fn of(scope: Scope, field: Field) -> Option<Self> {
        Some(match field {
            Field::NewSessions => Self::Count(Counter::New),
            Field::GoneSessions => Self::Count(Counter::Gone),
            Field::BriefSessions => Self::Count(Counter::Brief),
            Field::RecvRate => Self::Rate(Counter::RecvSize),
            Field::SentRate => Self::Rate(Counter::SentSize),
            Field::RequestRate => Self::Rate(Counter::RecvCount),
            Field::TxRate => Self::Rate(Counter::TxsSent),
            Field::CostRate => Self::Rate(Counter::Cost),
            Field::ErrorRate if matches!(scope, Scope::Session) => Self::Rate(Counter::Errors),
            Field::ServerErrorRate => Self::Rate(Counter::Errors),
            Field::RecvShare => Self::Share(Counter::RecvSize),
            Field::SentShare => Self::Share(Counter::SentSize),
            Field::RequestShare => Self::Share(Counter::RecvCount),
            Field::CostShare => Self::Share(Counter::Cost),
            _ => return None,
        })
    }

    const fn counter(self) -> Counter {
        match self {
            Self::Count(counter) | Self::Rate(counter) | Self::Share(counter) => counter,
        }
    }
}

/// The number in a session's row that a field sums up.
fn summed(field: Field) -> Option<fn(&Sessions, usize) -> f64> {
    Some(match field {
        Field::PendingRequests => |s, row| s.pending_requests[row] as f64,
        Field::Subs => |s, row| s.subs[row] as f64,
        Field::TxsSent => |s, row| s.txs_sent[row] as f64,
        Field::Requests => |s, row| s.recv_count[row] as f64,
        Field::RecvSize => |s, row| s.recv_size[row] as f64,
        Field::SentSize => |s, row| s.sent_size[row] as f64,
        Field::Cost => |s, row| s.cost[row],
        Field::ExtraCost => |s, row| s.extra_cost[row],
        _ => return None,
    })
}

/// A rate is taken over this part of the window at the least.
const PRESENCE_MIN: f64 = 0.2;

fn flag(value: bool) -> f64 {
    f64::from(u8::from(value))
}

impl History {
    /// Sees to it that every counter is summed that some column takes.
    pub(super) fn want_tallies(&mut self) {
        // For loads, whatever policies look at.
        for counter in [Counter::RecvSize, Counter::SentSize] {
            self.session_deltas.want(counter);
        }
        for column in self.plan.columns.clone() {
            if let Some(window) = column.window
                && self.quantity(&column).is_some()
            {
                self.requests.want(window);
                self.server_deltas.want(Counter::RecvCount);
            }
            let Some((windowed, window)) =
                Windowed::of(column.scope, column.field).zip(column.window)
            else {
                continue;
            };
            self.want(column.scope, windowed.counter(), window);
            if let Windowed::Share(counter) = windowed {
                self.want(Scope::Server, counter, window);
            }
        }
        if self.plan.needs_inspection() {
            self.session_deltas.want(Counter::Cost);
        }
    }

    fn want(&mut self, scope: Scope, counter: Counter, window: WindowId) {
        match scope {
            Scope::Server => {
                self.server_deltas.want(counter);
                self.server_tallies.want(counter, window);
            }
            Scope::Session => {
                self.session_deltas.want(counter);
                self.session_tallies.want(counter, window);
            }
            Scope::Address => self.addresses.want(counter, window),
            Scope::Subnet => self.subnets.want(counter, window),
            Scope::Client => self.clients.want(counter, window),
            Scope::Group => {
                // Who the members are is found after the sessions have been added up.
                self.session_deltas.want(counter);
                self.groups.want(counter, window);
            }
        }
    }

    fn tallies(&self, scope: Scope) -> &Tallies {
        match scope {
            Scope::Server => &self.server_tallies,
            Scope::Session => &self.session_tallies,
            Scope::Address => &self.addresses.tallies,
            Scope::Subnet => &self.subnets.tallies,
            Scope::Client => &self.clients.tallies,
            Scope::Group => &self.groups.tallies,
        }
    }

    /// How many slots a scope has, free ones included.
    fn slots(&self, scope: Scope) -> usize {
        match scope {
            Scope::Server => 1,
            Scope::Session => self.sessions.len(),
            Scope::Address => self.addresses.keys.len(),
            Scope::Subnet => self.subnets.keys.len(),
            Scope::Client => self.clients.keys.len(),
            Scope::Group => self.groups.keys.len(),
        }
    }

    pub(super) fn fill_columns(&mut self, snapshot: &Snapshot) {
        let mut columns = std::mem::take(&mut self.columns);
        for (filled, column) in columns.iter_mut().zip(&self.plan.columns) {
            if !self.is_told(column, snapshot) {
                *filled = numbers::Column::Untold;
                continue;
            }
            if let Some(elsewhere) = self.tallied(column).or_else(|| self.counted(column)) {
                *filled = elsewhere;
                continue;
            }
            // What fills a column writes every slot: what is left of the last poll is not cleared.
            let values = filled.here();
            stretch(values, self.slots(column.scope), f64::NAN);
            match (Windowed::of(column.scope, column.field), column.window) {
                (Some(windowed), Some(window)) => {
                    self.fill_windowed(values, column, windowed, window, snapshot);
                }
                (None, Some(window)) if column.scope == Scope::Server => {
                    let rate = |quantity| {
                        let timeline = &self.timelines[window.0];
                        self.requests.rate(quantity, window, timeline)
                    };
                    values.fill(self.quantity(column).map_or(f64::NAN, rate));
                }
                _ => match column.scope {
                    Scope::Server => values[0] = self.server_value(column.field, snapshot),
                    Scope::Session => self.fill_session(values, column, snapshot),
                    _ => self.fill_sums(values, column, snapshot),
                },
            }
        }
        self.columns = columns;
    }

    /// Whether the server reckons what the column is about, and was asked for long enough. Before
    /// that only young sessions have a rate.
    fn is_told(&self, column: &Column, snapshot: &Snapshot) -> bool {
        let is_asked = match column.field.info().source {
            Source::Cost => {
                let generation = snapshot.sessions.generation;
                generation.is_none_or(|generation| generation == Generation::Cost)
            }
            Source::Inspection => self.sessions.has_inspected(),
            _ => true,
        };
        let of_young = match Windowed::of(column.scope, column.field) {
            Some(Windowed::Rate(_)) => column.scope == Scope::Session,
            _ => false,
        };
        let is_covered = |window: WindowId| self.timelines[window.0].is_covered();
        is_asked && (of_young || column.window.is_none_or(is_covered))
    }

    /// What a column takes of the server's totals of requests, if it takes anything.
    fn quantity(&self, column: &Column) -> Option<Quantity> {
        Some(match column.field {
            Field::RequestTotalRate => Quantity::All,
            Field::UnseenRequestRate => Quantity::Unseen,
            Field::MethodRate => {
                let method = column.method.as_ref();
                let mut methods = self.methods.iter();
                Quantity::Method(methods.position(|known| Some(known) == method)?)
            }
            _ => return None,
        })
    }

    /// A column that is nothing but sums over a covered window, for every target.
    fn tallied(&self, column: &Column) -> Option<numbers::Column> {
        let (scope, window) = (column.scope, column.window?);
        let windowed = Windowed::of(scope, column.field)?;
        let is_for_all = scope != Scope::Group
            && !(scope == Scope::Session && self.sessions.has_heirs())
            && column.field.info().source != Source::Inspection;
        let factor = self.factor(windowed, window).filter(|_| is_for_all)?;
        Some(numbers::Column::Tallied {
            scope,
            counter: windowed.counter(),
            window,
            factor,
        })
    }

    /// A column that is nothing but the sessions of each target.
    fn counted(&self, column: &Column) -> Option<numbers::Column> {
        let factor = match column.field {
            Field::Sessions => 1.0,
            Field::SessionsShare => 1.0 / (self.present.max(1) as f64),
            _ => return None,
        };
        let scope = column.scope;
        self.sessions_of(scope)
            .map(|_| numbers::Column::Present { scope, factor })
    }

    /// By slot how many sessions each target has, of a scope whose sessions the history counts.
    fn sessions_of(&self, scope: Scope) -> Option<&[u32]> {
        match scope {
            Scope::Address => Some(self.addresses.keys.present()),
            Scope::Subnet => Some(self.subnets.keys.present()),
            Scope::Client => Some(self.clients.keys.present()),
            Scope::Server | Scope::Session | Scope::Group => None,
        }
    }

    /// What takes a sum to the field's unit; `None` while the window is not covered.
    fn factor(&self, windowed: Windowed, window: WindowId) -> Option<f64> {
        let timeline = &self.timelines[window.0];
        let span_s = timeline.span().as_secs_f64();
        if !timeline.is_covered() || span_s <= 0.0 {
            return None;
        }
        let counter = windowed.counter();
        Some(match windowed {
            Windowed::Count(_) => 1.0,
            Windowed::Rate(_) => counter.unit() / span_s,
            Windowed::Share(_) => {
                let total = self.server_tallies.sums(counter, window);
                match total.and_then(|sums| sums.first()).copied().unwrap_or(0) {
                    // Nothing at all went by: nobody had a part of it.
                    0 => 0.0,
                    total => 1.0 / total as f64,
                }
            }
        })
    }

    /// A number or flag by target; NaN where it cannot be told.
    pub(crate) fn column(&self, column: ColumnId) -> Numbers<'_> {
        match &self.columns[column.0] {
            numbers::Column::Untold => Numbers::Untold,
            numbers::Column::Here(values) => Numbers::Each(values),
            &numbers::Column::Tallied {
                scope,
                counter,
                window,
                factor,
            } => {
                let sums = self.tallies(scope).sums(counter, window);
                Numbers::Scaled(sums.unwrap_or_default(), factor)
            }
            &numbers::Column::Present { scope, factor } => {
                Numbers::Counted(self.sessions_of(scope).unwrap_or_default(), factor)
            }
        }
    }

    /// Of a windowed column whose window is not covered yet: since when it is watched, and when it
    /// will be covered.
    pub(crate) fn uncovered(&self, column: ColumnId) -> Option<(Timestamp, Timestamp)> {
        let window = self.plan.columns[column.0].window?;
        let timeline = &self.timelines[window.0];
        (!timeline.is_covered()).then(|| (timeline.start(), timeline.covered_from()))
    }

    fn fill_windowed(
        &self,
        values: &mut [f64],
        column: &Column,
        windowed: Windowed,
        window: WindowId,
        snapshot: &Snapshot,
    ) {
        let counter = windowed.counter();
        let timeline = &self.timelines[window.0];
        let sums = self.tallies(column.scope).sums(counter, window);
        if let Some((factor, sums)) = self.factor(windowed, window).zip(sums) {
            for (value, &sum) in values.iter_mut().zip(sums) {
                *value = sum as f64 * factor;
            }
            if column.scope == Scope::Session {
                for heir in self.sessions.heirs() {
                    let value = &mut values[heir as usize];
                    *value = self.tempered(*value, heir, windowed, window);
                }
            }
        } else {
            values.fill(f64::NAN);
            if column.scope == Scope::Session && matches!(windowed, Windowed::Rate(_)) {
                self.fill_young(values, counter, timeline.window(), &snapshot.sessions);
            }
        }
        if column.scope == Scope::Group {
            for (value, &unsure_at) in values.iter_mut().zip(&self.group_unsure_at) {
                if unsure_at > timeline.start() {
                    *value = f64::NAN;
                }
            }
        }
        if column.field.info().source == Source::Inspection {
            for (slot, value) in values.iter_mut().enumerate() {
                let slot = self.sessions.get(slot_id(slot));
                if slot.inspected().is_none() {
                    *value = f64::NAN;
                }
            }
        }
    }

    /// What somebody is judged by who took up what another did.
    ///
    /// Where that one was away because the agent disconnected it, by the time that it was there: being
    /// cut makes nobody look quiet. And at its own pace at the most: it may be that one's neighbour,
    /// and do nothing of the kind.
    fn tempered(&self, value: f64, heir: u32, windowed: Windowed, window: WindowId) -> f64 {
        let timeline = &self.timelines[window.0];
        let session = self.sessions.get(heir);
        if session.session.since <= timeline.start() {
            return value;
        }
        let span_s = timeline.span().as_secs_f64();
        let away = session.away_since(timeline.start());
        let mut value = value;
        if matches!(windowed, Windowed::Rate(_)) {
            // Of a moment nothing can be told.
            let there_s = (span_s - away.as_secs_f64()).max(span_s * PRESENCE_MIN);
            value *= span_s / there_s;
        }
        value.min(self.at_its_pace(heir, windowed, window))
    }

    /// As [`Self::at_own_pace`].
    fn at_its_pace(&self, session: u32, windowed: Windowed, window: WindowId) -> f64 {
        let span_s = self.timelines[window.0].span().as_secs_f64();
        let amount = self
            .sessions
            .get(session)
            .at_its_pace(windowed.counter(), span_s);
        let factor = self.factor(windowed, window);
        factor.map_or(f64::INFINITY, |factor| amount * factor)
    }

    /// What a session's number in a windowed column would be if it had always done as since it
    /// connected; infinite where that cannot be told.
    pub(crate) fn at_own_pace(&self, column: ColumnId, session: u32) -> f64 {
        let Column {
            scope,
            field,
            window,
            ..
        } = self.plan.columns[column.0];
        let windowed = Windowed::of(scope, field).zip(window);
        windowed.map_or(f64::INFINITY, |(windowed, window)| {
            self.at_its_pace(session, windowed, window)
        })
    }

    /// While the agent has not watched for a whole window: a session younger than the window did
    /// in it all that it ever did.
    fn fill_young(
        &self,
        values: &mut [f64],
        counter: Counter,
        window: Duration,
        sessions: &Sessions,
    ) {
        let window_s = window.as_secs_f64();
        let errors = |slot: u32| self.sessions.get(slot).inspected().map(|i| i.errors);
        for (slot, row) in self.sessions.connected() {
            // An unknown age is not below anything.
            if sessions.age_s[row] <= window_s {
                let total = match counter {
                    Counter::RecvCount => sessions.recv_count[row] as f64,
                    Counter::RecvSize => sessions.recv_size[row] as f64,
                    Counter::SentSize => sessions.sent_size[row] as f64,
                    Counter::TxsSent => sessions.txs_sent[row] as f64,
                    Counter::Cost => sessions.cost[row],
                    Counter::Errors => errors(slot_id(slot)).map_or(f64::NAN, |n| n as f64),
                    Counter::New | Counter::Gone | Counter::Brief => f64::NAN,
                };
                values[slot] = total / window_s;
            }
        }
    }

    fn fill_session(&self, values: &mut [f64], column: &Column, snapshot: &Snapshot) {
        let sessions = &snapshot.sessions;
        if let Some(value) = summed(column.field) {
            return self.fill_connected(values, |_, row| value(sessions, row));
        }
        let slot = |slot: usize| self.sessions.get(slot_id(slot));
        let inspected = |index: usize| slot(index).inspected();
        match column.field {
            Field::Private => self.fill_connected(values, |index, _| flag(slot(index).is_private)),
            Field::Logged => {
                self.fill_connected(values, |_, row| flag(sessions.flags[row].logged));
            }
            Field::Age => self.fill_connected(values, |_, row| sessions.age_s[row]),
            Field::Seniority => self.fill_connected(values, |index, _| {
                self.seniority(slot_id(index)).as_secs_f64()
            }),
            Field::Regular => {
                self.fill_connected(values, |index, _| flag(self.is_regular(slot_id(index))));
            }
            Field::Strikes => self.fill_connected(values, |index, _| {
                let net = self.public_address(slot_id(index));
                net.map_or(0.0, |net| self.strikes(net, snapshot.at()))
            }),
            Field::Banned => {
                self.fill_connected(values, |index, _| flag(self.ban(slot_id(index)).is_some()));
            }
            Field::Errors => self.fill_connected(values, |index, _| {
                inspected(index).map_or(f64::NAN, |i| i.errors as f64)
            }),
            Field::ErrorShare => self.fill_connected(values, |index, _| {
                inspected(index)
                    .filter(|i| i.requests > 0)
                    .map_or(f64::NAN, |i| i.errors as f64 / i.requests as f64)
            }),
            Field::MethodRequests => {
                let method = column.method.as_ref();
                let method = self.methods.iter().position(|known| Some(known) == method);
                self.fill_connected(values, |index, _| {
                    let requests = inspected(index).zip(method);
                    requests.map_or(f64::NAN, |(i, method)| i.methods[method] as f64)
                });
            }
            _ => values.fill(f64::NAN),
        }
    }

    /// Fills in what `value` makes of the slot and the row of each connected session.
    fn fill_connected(&self, values: &mut [f64], value: impl Fn(usize, usize) -> f64) {
        for (slot, (seen, row)) in values.iter_mut().zip(self.sessions.rows()).enumerate() {
            *seen = row.map_or(f64::NAN, |row| value(slot, row));
        }
    }

    fn fill_sums(&self, values: &mut [f64], column: &Column, snapshot: &Snapshot) {
        match (column.scope, column.field) {
            (Scope::Group, _) => self.fill_group(values, column.field, snapshot),
            (scope, Field::Private) => {
                for (slot, value) in values.iter_mut().enumerate() {
                    let table = if scope == Scope::Address {
                        &self.addresses
                    } else {
                        &self.subnets
                    };
                    let net = table.keys.key(slot);
                    *value = net.map_or(f64::NAN, |net| flag(super::is_private(net.addr())));
                }
            }
            (Scope::Address, Field::Seniority | Field::Regular) => {
                self.fill_address(values, column.field);
            }
            (Scope::Address | Scope::Subnet, Field::Strikes | Field::Banned) => {
                self.fill_penalties(values, column, snapshot.at());
            }
            (scope, Field::Regulars) => self.fill_regulars(values, scope),
            (_, Field::NewAddresses | Field::BriefAddresses) => {
                self.fill_addresses(values, column.field, column.window);
            }
            (_, Field::Addresses) => {
                values.fill(0.0);
                for (value, &addresses) in values.iter_mut().zip(&self.subnet_addresses) {
                    *value = f64::from(addresses);
                }
            }
            (scope, field) => {
                let Some(value) = summed(field) else {
                    return values.fill(f64::NAN);
                };
                values.fill(0.0);
                for (index, row) in self.sessions.connected() {
                    let index = slot_id(index);
                    let key = match scope {
                        Scope::Address => self.sessions.get(index).address,
                        Scope::Subnet => self.sessions.get(index).subnet,
                        _ => self.sessions.client(index),
                    };
                    if key != NONE {
                        values[key as usize] += value(&snapshot.sessions, row);
                    }
                }
            }
        }
    }

    /// Of a private address nothing is known: each of its sessions is a client of its own.
    fn fill_address(&self, values: &mut [f64], field: Field) {
        values.fill(f64::NAN);
        for (slot, value) in values.iter_mut().enumerate() {
            let net = self.addresses.keys.key(slot);
            if self.addresses.keys.is_present(slot)
                && net.is_some_and(|net| !super::is_private(net.addr()))
            {
                let address = slot_id(slot);
                *value = match field {
                    Field::Regular => flag(self.seniority.is_regular(address)),
                    _ => self
                        .seniority
                        .of(address)
                        .map_or(f64::NAN, |known| known.as_secs_f64()),
                };
            }
        }
    }

    fn fill_penalties(&self, values: &mut [f64], column: &Column, at: Timestamp) {
        values.fill(f64::NAN);
        for (slot, value) in values.iter_mut().enumerate() {
            let Some(net) = self.network(column.scope, slot_id(slot)) else {
                continue;
            };
            *value = match column.field {
                _ if super::is_private(net.addr()) => 0.0,
                Field::Strikes => self.strikes(net, at),
                _ => flag(self.ban_of_net(net).is_some()),
            };
        }
    }

    fn fill_regulars(&self, values: &mut [f64], scope: Scope) {
        let mut pairs = Vec::new();
        for (index, _) in self.sessions.connected() {
            let session = slot_id(index);
            if self.is_regular(session) {
                let client = self.client_of(session);
                let targets = self.targets_of(scope, session).into_iter().flatten();
                pairs.extend(targets.map(|target| (target, client)));
            }
        }
        pairs.sort_unstable();
        pairs.dedup();
        values.fill(0.0);
        for (target, _) in pairs {
            values[target as usize] += 1.0;
        }
    }

    /// How many addresses of each subnet count.
    fn fill_addresses(&self, values: &mut [f64], field: Field, window: Option<WindowId>) {
        values.fill(f64::NAN);
        let counted = field
            .of_address()
            .and_then(|field| Windowed::of(Scope::Address, field))
            .zip(window);
        let Some((windowed, window)) = counted else {
            return;
        };
        let Some(sums) = self.addresses.tallies.sums(windowed.counter(), window) else {
            return;
        };
        values.fill(0.0);
        for (slot, _) in sums.iter().enumerate().filter(|&(_, &sum)| sum > 0) {
            let net = self.addresses.keys.key(slot);
            if let Some(subnet) = net.and_then(|net| self.subnet_of(net)) {
                values[subnet as usize] += 1.0;
            }
        }
    }

    fn fill_group(&self, values: &mut [f64], field: Field, snapshot: &Snapshot) {
        values.fill(f64::NAN);
        let rows = self
            .group_rows
            .iter()
            .enumerate()
            .filter(|&(_, &row)| row != GONE);
        let groups = &snapshot.groups;
        match field {
            Field::Regulars => self.fill_regulars(values, Scope::Group),
            Field::Sessions | Field::SessionsShare => {
                let all = snapshot.sessions.len().max(1) as f64;
                let scale = if field == Field::Sessions {
                    1.0
                } else {
                    1.0 / all
                };
                for (slot, &row) in rows {
                    values[slot] = groups.sessions[row as usize] as f64 * scale;
                }
            }
            Field::Cost => rows.for_each(|(slot, &row)| values[slot] = groups.cost[row as usize]),
            Field::RetainedCost => {
                rows.for_each(|(slot, &row)| values[slot] = groups.retained_cost[row as usize]);
            }
            _ => {
                let Some(value) = summed(field) else { return };
                for (slot, &row) in rows {
                    if self.members.is_certain(row as usize) {
                        values[slot] = 0.0;
                    }
                }
                for (index, row) in self.sessions.connected() {
                    let slot = self.sessions.get(slot_id(index));
                    for &group in slot.groups.iter().filter(|&&group| group != NONE) {
                        values[group as usize] += value(&snapshot.sessions, row);
                    }
                }
            }
        }
    }

    fn server_value(&self, field: Field, snapshot: &Snapshot) -> f64 {
        let server = &snapshot.server;
        let number = |value: Option<f64>| value.unwrap_or(f64::NAN);
        let known = |value: Option<u64>| value.map_or(f64::NAN, |value| value as f64);
        let known_flag = |value: Option<bool>| value.map_or(f64::NAN, flag);
        let seconds = |value: Option<Duration>| value.map_or(f64::NAN, |value| value.as_secs_f64());
        match field {
            Field::Regulars => self.regulars().count() as f64,
            Field::Sessions => server.sessions as f64,
            Field::PendingRequests => server.pending_requests as f64,
            Field::Subs => server.subs as f64,
            Field::TxsSent => server.txs_sent as f64,
            Field::ServerErrors => server.errors as f64,
            Field::SlotsLeft => number(self.slots.and_then(|slots| slots.left(server.sessions))),
            Field::Uptime => seconds(server.uptime.map(|uptime| uptime.at_least)),
            Field::LoggedSessions => server.logged as f64,
            Field::Groups => server.groups as f64,
            Field::DaemonHeight => known(server.daemon_height),
            Field::DbHeight => known(server.db_height),
            Field::HeightLag => server
                .daemon_height
                .zip(server.db_height)
                .map_or(f64::NAN, |(daemon, db)| daemon.saturating_sub(db) as f64),
            Field::DaemonStalled => seconds(self.daemon_stalled(snapshot)),
            Field::DbStalled => seconds(self.heights.db.duration(snapshot.at())),
            Field::DaemonStallOdds => {
                let stalled = self.daemon_stalled(snapshot);
                number(stalled.and_then(|stalled| self.daemons.stall_odds(stalled)))
            }
            Field::OnPrimary => known_flag(self.daemons.on_primary()),
            Field::DaemonHealthy => known_flag(self.daemons.current_health()),
            Field::DaemonHeightGap => number(self.height_gap(self.daemons.current())),
            Field::RpcLatency => snapshot.sessions_read.took().as_secs_f64(),
            // A snapshot is there, so the RPC is up.
            Field::RpcDown => 0.0,
            Field::FeltHeightLag => {
                let felt = self.felt.felt().map(|felt| felt.height as f64);
                number(
                    server
                        .db_height
                        .zip(felt)
                        .map(|(db, felt)| db as f64 - felt),
                )
            }
            _ => self.probed_value(field, snapshot.at()),
        }
    }

    /// What the probes of the primary and the canary alone tell at `at`.
    fn probed_value(&self, field: Field, at: Timestamp) -> f64 {
        let seconds = |value: Option<Duration>| value.map_or(f64::NAN, |value| value.as_secs_f64());
        let primary = self.daemons.primary();
        match field {
            Field::PrimaryHealthy => {
                let is_up = primary.and_then(|primary| primary.health.up());
                is_up.map_or(f64::NAN, flag)
            }
            Field::PrimaryHealthyFor => {
                let up_since = primary.map(|primary| primary.health.up_since());
                let healthy_for =
                    up_since.map(|since| since.map_or(Duration::ZERO, |s| at.since(s)));
                healthy_for.map_or(f64::NAN, |time| time.as_secs_f64())
            }
            Field::PrimaryHeightGap => self.height_gap(primary).unwrap_or(f64::NAN),
            Field::Preempt => flag(self.daemons.settings().preempt),
            Field::FeltDown => seconds(self.felt.down(at)),
            Field::FeltLatency => seconds(self.felt.felt().map(|felt| felt.latency)),
            Field::FeltHeight => {
                let felt = self.felt.felt();
                felt.map_or(f64::NAN, |felt| felt.height as f64)
            }
            Field::CertificateLeft => {
                let ends = self.felt.felt().and_then(|felt| felt.certificate_ends);
                seconds(ends.map(|ends| ends.since(at)))
            }
            _ => f64::NAN,
        }
    }

    /// The columns of the server after a poll that failed at `at`, when none had succeeded for `down`.
    pub(super) fn fill_missed(&mut self, at: Timestamp, down: Duration) {
        let mut columns = std::mem::take(&mut self.columns);
        let filled = columns.iter_mut().zip(&self.plan.columns);
        for (filled, column) in filled.filter(|(_, column)| column.scope == Scope::Server) {
            let values = filled.here();
            values.resize(1, f64::NAN);
            values[0] = match column.field {
                Field::RpcDown => down.as_secs_f64(),
                field if field.is_known_while_down() => self.probed_value(field, at),
                _ => f64::NAN,
            };
        }
        self.columns = columns;
    }
}

impl History {
    fn height_gap(&self, daemon: Option<&Watched>) -> Option<f64> {
        Some(self.daemons.height_gap(daemon?)? as f64)
    }
}

/// The text fields of a session that are not interned by the history.
pub(crate) const fn transport_name(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => "tcp",
        Transport::Ssl => "ssl",
        Transport::Websocket => "websocket",
        Transport::Rpc => "rpc",
        Transport::Canary => "canary",
        Transport::Other => "other",
    }
}
