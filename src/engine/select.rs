//! Which targets a table of tests holds for.

use super::compile::{How, Probe, Table};
use super::population::Population;
use super::verdicts::{Subject, VerdictId, Verdicts};
use crate::field::{Field, Scope};
use crate::history::{History, Numbers, SERVER, transport_name};
use crate::policy::{Comparison, PolicySet, Threshold};
use crate::snapshot::Snapshot;
use crate::version::Version;
use crate::watch::Watched;

/// Numbers that are tested in one go.
const RUN: usize = 32;

/// What a test that cannot be told counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    /// In `when`: as failed. Nobody is judged by what is not known.
    Fails,
    /// In `unless`: as held. Who may be exempt is.
    Holds,
}

/// Everything that a test can look at.
pub(super) struct Facts<'a> {
    pub(super) set: &'a PolicySet,
    pub(super) history: &'a History,
    pub(super) snapshot: &'a Snapshot,
    pub(super) scope: Scope,
    pub(super) include_private: bool,
}

impl Facts<'_> {
    /// Leaves in `slots` those for which all tests of the table hold.
    pub(super) fn narrow(
        &self,
        table: &Table,
        unknown: Unknown,
        slots: &mut Vec<u32>,
        verdicts: &mut Verdicts,
        population: &mut Population,
    ) {
        for probe in &table.probes {
            if slots.is_empty() {
                return;
            }
            self.narrow_by(probe, unknown, slots, verdicts, population);
        }
    }

    /// Leaves in `slots` those for which one test holds.
    pub(super) fn narrow_by(
        &self,
        probe: &Probe,
        unknown: Unknown,
        slots: &mut Vec<u32>,
        verdicts: &mut Verdicts,
        population: &mut Population,
    ) {
        if probe.scope != self.scope {
            return self.narrow_by_surroundings(probe, unknown, slots, verdicts, population);
        }
        let if_unknown = unknown == Unknown::Holds;
        match probe.how {
            How::Compare {
                column,
                comparison,
                threshold,
            } => {
                let threshold = self.threshold(column, threshold, population);
                if threshold.is_nan() {
                    if !if_unknown {
                        slots.clear();
                    }
                    return;
                }
                let values = self.history.column(column);
                keep_compared(slots, values, comparison, threshold, if_unknown);
            }
            How::Is { column, wanted } => {
                let values = self.history.column(column);
                let wanted = f64::from(u8::from(wanted));
                keep_compared(slots, values, Comparison::Equal, wanted, if_unknown);
            }
            How::Verdict {
                field,
                verdict,
                negated,
            } => {
                let holds = |answer: Option<bool>| answer.map_or(if_unknown, |yes| yes != negated);
                // One loop a field, as with numbers: most of the time goes here.
                match field {
                    Field::Client | Field::ClientVersion => keep(slots, |slot| {
                        holds(self.client_verdict(verdict, slot, verdicts))
                    }),
                    Field::Group => keep(slots, |slot| {
                        holds(self.group_verdict(verdict, slot, verdicts))
                    }),
                    _ => keep(slots, |slot| {
                        holds(self.address_verdict(verdict, slot, verdicts))
                    }),
                }
            }
            How::Direct { .. } => keep(slots, |slot| {
                let holds = self.holds_for(probe, slot, verdicts, population);
                holds.unwrap_or(if_unknown)
            }),
        }
    }

    /// As [`Facts::narrow_by`], by what is around the targets.
    fn narrow_by_surroundings(
        &self,
        probe: &Probe,
        unknown: Unknown,
        slots: &mut Vec<u32>,
        verdicts: &mut Verdicts,
        population: &mut Population,
    ) {
        let if_unknown = unknown == Unknown::Holds;
        let around = self.around(probe.scope);
        if probe.scope == Scope::Server {
            // The same for all of them.
            let holds = around.holds_for(probe, SERVER, verdicts, population);
            if !holds.unwrap_or(if_unknown) {
                slots.clear();
            }
            return;
        }
        keep(slots, |slot| {
            let surrounding = self.history.surrounding(self.scope, slot, probe.scope);
            surrounding
                .and_then(|it| around.holds_for(probe, it, verdicts, population))
                .unwrap_or(if_unknown)
        });
    }

    /// What a test looks at, of a target of these facts' scope: that, or what is around it.
    pub(super) fn subject(&self, probe: &Probe, slot: u32) -> (Facts<'_>, Option<u32>) {
        if probe.scope == self.scope {
            return (Facts { ..*self }, Some(slot));
        }
        let surrounding = self.history.surrounding(self.scope, slot, probe.scope);
        (self.around(probe.scope), surrounding)
    }

    /// The same facts, about the targets of another scope. Private peers are none of them.
    pub(super) fn around(&self, scope: Scope) -> Facts<'_> {
        Facts {
            scope,
            include_private: false,
            ..*self
        }
    }

    /// Whether a test of these facts' scope holds for one target; `None` if it cannot be told.
    fn holds_for(
        &self,
        probe: &Probe,
        slot: u32,
        verdicts: &mut Verdicts,
        population: &mut Population,
    ) -> Option<bool> {
        match probe.how {
            How::Compare {
                column,
                comparison,
                threshold,
            } => {
                let value = self.history.column(column).of(slot);
                let threshold = self.threshold(column, threshold, population);
                let is_known = !value.is_nan() && !threshold.is_nan();
                is_known.then(|| comparison.function()(value, threshold))
            }
            How::Is { column, wanted } => {
                let value = self.history.column(column).of(slot);
                (!value.is_nan()).then_some((value > 0.0) == wanted)
            }
            How::Verdict {
                field,
                verdict,
                negated,
            } => {
                let answer = match field {
                    Field::Client | Field::ClientVersion => {
                        self.client_verdict(verdict, slot, verdicts)
                    }
                    Field::Group => self.group_verdict(verdict, slot, verdicts),
                    _ => self.address_verdict(verdict, slot, verdicts),
                };
                Some(answer? != negated)
            }
            How::Direct {
                field,
                question,
                negated,
            } => Some(verdicts.ask(question, self.set, self.text(field, slot)?)? != negated),
        }
    }

    /// The number that a test compares with; NaN if too few targets say what is normal.
    pub(super) fn threshold(
        &self,
        column: crate::history::ColumnId,
        threshold: Threshold,
        population: &mut Population,
    ) -> f64 {
        match threshold {
            Threshold::Fixed(value) => value,
            Threshold::Population { times, quantile } => {
                times * population.quantile(self, column, quantile)
            }
        }
    }

    /// Of a client's name; `None` if it cannot be told.
    fn client_verdict(
        &self,
        verdict: VerdictId,
        slot: u32,
        verdicts: &mut Verdicts,
    ) -> Option<bool> {
        let history = self.history;
        let client = history.client(self.scope, slot)?;
        let generation = history.generation(Scope::Client, client.0);
        let text = || Some(Subject::Text(history.client_name(client)));
        verdicts.get(verdict, self.set, client.0, generation, text)
    }

    fn group_verdict(
        &self,
        verdict: VerdictId,
        slot: u32,
        verdicts: &mut Verdicts,
    ) -> Option<bool> {
        let history = self.history;
        let generation = history.generation(Scope::Group, slot);
        let text = || Some(Subject::Text(history.group_name(slot)));
        verdicts.get(verdict, self.set, slot, generation, text)
    }

    fn address_verdict(
        &self,
        verdict: VerdictId,
        slot: u32,
        verdicts: &mut Verdicts,
    ) -> Option<bool> {
        let history = self.history;
        let generation = history.generation(self.scope, slot);
        let address = || match self.scope {
            Scope::Session => Some(Subject::Address(history.session(slot).peer.0?.ip())),
            scope => history.network(scope, slot).map(Subject::Net),
        };
        verdicts.get(verdict, self.set, slot, generation, address)
    }

    /// The text of a field; `None` if the server does not tell.
    pub(super) fn text(&self, field: Field, slot: u32) -> Option<&str> {
        let (history, snapshot) = (self.history, self.snapshot);
        match field {
            Field::Client => Some(history.client_name(history.client(self.scope, slot)?)),
            Field::ClientVersion => {
                let name = history.client_name(history.client(self.scope, slot)?);
                Some(&name[Version::in_name(name)?.1])
            }
            Field::Group => Some(history.group_name(slot)),
            Field::Protocol => {
                let sessions = &snapshot.sessions;
                let text = sessions.names.get(sessions.protocol[history.row(slot)]);
                (!text.is_empty()).then_some(text)
            }
            Field::Transport => Some(transport_name(
                snapshot.sessions.flags[history.row(slot)].transport,
            )),
            Field::Coin => snapshot.server.coin.as_deref(),
            Field::Version => snapshot.server.version.as_deref(),
            Field::Daemon => snapshot.server.daemon.as_deref(),
            Field::DaemonState => state_name(history.daemon_in_use()),
            Field::PrimaryState => state_name(history.daemons().primary()),
            Field::Stall => Some(history.stall(snapshot)?.name()),
            _ => None,
        }
    }
}

fn state_name(daemon: Option<&Watched>) -> Option<&str> {
    Some(daemon?.state.as_ref()?.name())
}

fn keep_compared(
    slots: &mut Vec<u32>,
    values: Numbers<'_>,
    comparison: Comparison,
    threshold: f64,
    if_unknown: bool,
) {
    // One loop a comparison, so that each is tight.
    match comparison {
        Comparison::Greater => keep_numbers(slots, values, if_unknown, |value| value > threshold),
        Comparison::GreaterOrEqual => {
            keep_numbers(slots, values, if_unknown, |value| value >= threshold);
        }
        Comparison::Less => keep_numbers(slots, values, if_unknown, |value| value < threshold),
        Comparison::LessOrEqual => {
            keep_numbers(slots, values, if_unknown, |value| value <= threshold);
        }
        Comparison::Equal => keep_numbers(slots, values, if_unknown, |value| {
            value.total_cmp(&threshold).is_eq()
        }),
        Comparison::NotEqual => keep_numbers(slots, values, if_unknown, |value| {
            value.total_cmp(&threshold).is_ne()
        }),
    }
}

fn keep_numbers(
    slots: &mut Vec<u32>,
    values: Numbers<'_>,
    if_unknown: bool,
    holds: impl Fn(f64) -> bool,
) {
    // No branches here, so that several are tested at once.
    let holds = |value: f64| (holds(value) & !value.is_nan()) | (value.is_nan() & if_unknown);
    match values {
        Numbers::Untold if if_unknown => {}
        Numbers::Untold => slots.clear(),
        Numbers::Each(values) => keep_valued(slots, values, |&value| holds(value)),
        Numbers::Counted(counts, factor) => {
            keep_valued(slots, counts, |&count| holds(f64::from(count) * factor));
        }
        Numbers::Scaled(sums, factor) => {
            keep_valued(slots, sums, |&sum| holds(sum as f64 * factor));
        }
    }
}

/// Leaves in `slots`, which ascend, those whose value `holds` holds for.
fn keep_valued<T>(slots: &mut Vec<u32>, values: &[T], holds: impl Fn(&T) -> bool) {
    let mut kept = 0;
    for start in (0..slots.len()).step_by(RUN) {
        let end = slots.len().min(start + RUN);
        let (first, last) = (slots[start] as usize, slots[end - 1] as usize);
        // Most slots are in use, so that they lie side by side; and of a run mostly all hold or none.
        if last - first == end - 1 - start {
            let run = &values[first..=last];
            let holding = run.iter().filter(|value| holds(value)).count();
            if holding == 0 || holding == run.len() {
                slots.copy_within(start..start + holding, kept);
                kept += holding;
                continue;
            }
        }
        for index in start..end {
            let slot = slots[index];
            slots[kept] = slot;
            kept += usize::from(holds(&values[slot as usize]));
        }
    }
    slots.truncate(kept);
}

/// Leaves in `slots` those that `holds` holds for. Whether it does is hard to foresee for the
/// processor, so nothing branches on it.
fn keep(slots: &mut Vec<u32>, mut holds: impl FnMut(u32) -> bool) {
    let mut kept = 0;
    for index in 0..slots.len() {
        let slot = slots[index];
        slots[kept] = slot;
        kept += usize::from(holds(slot));
    }
    slots.truncate(kept);
}
