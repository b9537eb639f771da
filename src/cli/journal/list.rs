//! Decisions as a list.

use std::io;

use comfy_table::{Cell, CellAlignment, ColumnConstraint, Table};

use super::event::{event_line, event_words, events_of, write_event};
use super::{Args, Order, PAGE, write};
use crate::cli::exit::{Exit, Failure};
use crate::cli::screen::{Format, Screen, warn};
use crate::cli::show::{self, DIM, HEAD, counted};
use crate::decision::Target;
use crate::journal::{EventRow, Filter, OutcomeKind, Outcomes, Reader, Row};
use crate::policy::reading::{by_nearness, word};

/// So many are shown where nobody says.
const SHOWN: u32 = 50;

pub(super) fn list(
    reader: &Reader,
    mut filter: Filter,
    args: &Args,
    screen: &mut Screen,
) -> Result<Exit, Failure> {
    let limit = args.limit.unwrap_or(SHOWN);
    let layout = Layout::of(screen.width());
    let mut table = show::table(layout.header());
    let mut left = limit;
    let mut events = Events::of(reader, &filter)?;
    while left > 0 {
        filter.limit = left.min(PAGE);
        let page = reader.query(&filter)?;
        for row in &page {
            for event in events.before(row, args.order) {
                show_event(&event, args.format, layout, &mut table, screen)?;
            }
            match (args.format, layout) {
                (Format::Json, _) => write(row, screen)?,
                (Format::Text, Layout::List) => {
                    entry(row)
                        .iter()
                        .try_for_each(|line| screen.prose(line, 4))?;
                }
                (Format::Text, _) => drop(table.add_row(layout.cells(row))),
            }
        }
        filter.beyond = page.last().map(|row| row.id).or(filter.beyond);
        left -= u32::try_from(page.len()).unwrap_or(left).min(left);
        if page.len() < filter.limit as usize {
            for event in events.rest() {
                show_event(&event, args.format, layout, &mut table, screen)?;
            }
            break;
        }
    }
    if table.row_count() > 0 {
        screen.table(aligned(table))?;
    }
    let count = limit - left;
    if count == 0 {
        nothing(reader, args, &filter, screen)?;
    } else if args.format == Format::Text {
        filter.limit = 1;
        let has_more = left == 0 && !reader.query(&filter)?.is_empty();
        let total = total(count as usize, has_more, args.order);
        let total = match held_back(reader, &filter)? {
            Some(held_back) => format!("{total}; {held_back}"),
            None => total,
        };
        screen.paragraph(&total, DIM)?;
    }
    Ok(Exit::Ok)
}

/// The events among the decisions of a list.
struct Events(std::iter::Peekable<std::vec::IntoIter<EventRow>>);

impl Events {
    /// None if the list is of some policy, target, action or outcome.
    fn of(reader: &Reader, filter: &Filter) -> Result<Self, Failure> {
        let events = match events_of(filter) {
            Some(filter) => reader.events(&filter)?,
            None => Vec::new(),
        };
        Ok(Self(events.into_iter().peekable()))
    }

    /// Those that stand before a decision.
    fn before(&mut self, row: &Row, order: Order) -> Vec<EventRow> {
        let is_before = |event: &EventRow| match order {
            Order::Newest => event.at >= row.decision.at,
            Order::Oldest => event.at <= row.decision.at,
        };
        std::iter::from_fn(|| self.0.next_if(is_before)).collect()
    }

    fn rest(self) -> impl Iterator<Item = EventRow> {
        self.0
    }
}

fn show_event(
    event: &EventRow,
    format: Format,
    layout: Layout,
    table: &mut Table,
    screen: &mut Screen,
) -> io::Result<()> {
    match (format, layout) {
        (Format::Json, _) => write_event(event, screen),
        (Format::Text, Layout::List) => screen.prose(event_line(event), 4),
        (Format::Text, _) => {
            table.add_row(layout.event_cells(event));
            Ok(())
        }
    }
}

/// What a list of acts leaves out.
fn held_back(reader: &Reader, filter: &Filter) -> Result<Option<String>, Failure> {
    if filter.outcomes != Outcomes::Acts {
        return Ok(None);
    }
    let count = reader.count(&Filter {
        outcomes: Outcomes::Of(OutcomeKind::Suppressed),
        ..filter.clone()
    })?;
    let (were, them) = match count {
        0 => return Ok(None),
        1 => ("was", "it"),
        _ => ("were", "them"),
    };
    let count = show::number(usize::try_from(count).unwrap_or(usize::MAX));
    Ok(Some(format!(
        "{count} {were} held back: --held shows {them}"
    )))
}

/// Nothing passes the filter: a slip in it is not to pass for quiet.
fn nothing(
    reader: &Reader,
    args: &Args,
    filter: &Filter,
    screen: &mut Screen,
) -> Result<(), Failure> {
    if args.format == Format::Text {
        let last = reader.query(&Filter {
            limit: 1,
            ..Filter::default()
        })?;
        let last = last.first().map(|row| row.decision.at);
        let nothing = match held_back(reader, filter)? {
            Some(held_back) => format!("no acts; {held_back}"),
            None => match last.filter(|&last| filter.since.is_some_and(|since| last < since)) {
                None => "no decisions".to_owned(),
                Some(last) => {
                    let last = show::time(last);
                    format!("no decisions: the journal's last is of {last} UTC")
                }
            },
        };
        screen.prose(nothing, 0)?;
    }
    let Some(policy) = &args.policy else {
        return Ok(());
    };
    let known = reader.policies()?;
    if !known.is_empty() && !known.contains(policy) {
        let known = by_nearness(policy, known.iter().map(String::as_str));
        let known: Vec<String> = known
            .iter()
            .map(|name| format!("`{}`", word(name)))
            .collect();
        warn(&format!(
            "the journal has no decision of a policy `{}`; it has those of {}",
            word(policy),
            known.join(", ")
        ));
    }
    Ok(())
}

/// How many are shown, and whether there are more.
fn total(count: usize, has_more: bool, order: Order) -> String {
    let count = counted(count, "decision", "decisions");
    let rest = match (has_more, order) {
        (false, _) => "",
        (true, Order::Newest) => "; there are older ones: raise --limit",
        (true, Order::Oldest) => "; there are newer ones: raise --limit",
    };
    format!("{count}{rest}")
}

/// A decision as an entry of a list, and its evidence below.
fn entry(row: &Row) -> Vec<String> {
    let decision = &row.decision;
    let style = show::outcome_style(&row.outcome);
    let decided = format!(
        "{HEAD}{}{HEAD:#}  {}  {}: {} {}: {style}{}{style:#}",
        row.id,
        show::time(decision.at),
        show::text(&decision.policy),
        show::action(decision),
        show::target(&decision.target),
        show::short_outcome(&row.outcome),
    );
    let reasons = show::reasons(&decision.evidence);
    let evidence = (!reasons.is_empty()).then(|| format!("    {reasons}"));
    [decided].into_iter().chain(evidence).collect()
}

/// Where a column for each would break every word, some share a cell, one above the other; where
/// that would, it is a list.
#[derive(Clone, Copy)]
enum Layout {
    Wide,
    Medium,
    /// As narrow, but a threshold has room beside what was seen.
    Compact,
    Narrow,
    List,
}

/// A time, its day above.
fn lined(time: &str) -> String {
    time.replacen(' ', "\n", 1)
}

impl Layout {
    const WIDE: usize = 160;
    const MEDIUM: usize = 110;
    const COMPACT: usize = 95;
    const NARROW: usize = 80;

    const fn of(width: usize) -> Self {
        if width < Self::NARROW {
            Self::List
        } else if width < Self::COMPACT {
            Self::Narrow
        } else if width < Self::MEDIUM {
            Self::Compact
        } else if width < Self::WIDE {
            Self::Medium
        } else {
            Self::Wide
        }
    }

    const fn header(self) -> &'static [&'static str] {
        match self {
            Self::Wide => &[
                "id",
                "time (UTC)",
                "policy",
                "target",
                "action",
                "outcome",
                "evidence",
            ],
            Self::Medium | Self::Compact | Self::Narrow | Self::List => &[
                "id",
                "time (UTC)",
                "policy, target",
                "action, outcome",
                "evidence",
            ],
        }
    }

    fn cells(self, row: &Row) -> Vec<Cell> {
        let decision = &row.decision;
        let policy = show::text(&decision.policy);
        let target = show::target(&decision.target);
        let action = show::action(decision);
        let outcome = show::short_outcome(&row.outcome);
        let time = show::time(decision.at);
        let evidence = show::evidence(&decision.evidence, matches!(self, Self::Narrow));
        match self {
            Self::Wide => vec![
                Cell::new(row.id),
                Cell::new(time),
                Cell::new(policy),
                Cell::new(target),
                Cell::new(action),
                show::outcome_cell(outcome, &row.outcome),
                Cell::new(evidence),
            ],
            Self::Medium | Self::Compact | Self::Narrow | Self::List => {
                let (time, target) = match (self, &decision.target) {
                    (Self::Compact | Self::Narrow, Target::Session(_)) => {
                        (lined(&time), target.replacen(" (", "\n(", 1))
                    }
                    (Self::Compact | Self::Narrow, _) => (lined(&time), target),
                    _ => (time, target),
                };
                vec![
                    Cell::new(row.id),
                    Cell::new(time),
                    Cell::new(format!("{policy}\n{target}")),
                    show::outcome_cell(format!("{action}\n{outcome}"), &row.outcome),
                    Cell::new(evidence),
                ]
            }
        }
    }

    fn event_cells(self, row: &EventRow) -> Vec<Cell> {
        let (what, words) = event_words(&row.event);
        let time = show::time(row.at);
        match self {
            Self::Wide => ["", &*time, "", "server", &*what, "", &*words]
                .map(Cell::new)
                .into(),
            Self::Medium => ["", &*time, "server", &*what, &*words]
                .map(Cell::new)
                .into(),
            Self::Compact | Self::Narrow | Self::List => {
                ["", &*lined(&time), "server", &*what, &*words]
                    .map(Cell::new)
                    .into()
            }
        }
    }
}

fn aligned(mut table: Table) -> Table {
    for (index, column) in table.column_iter_mut().enumerate() {
        match index {
            0 => {
                column.set_constraint(ColumnConstraint::ContentWidth);
                column.set_cell_alignment(CellAlignment::Right);
            }
            1 => drop(column.set_constraint(ColumnConstraint::ContentWidth)),
            _ => {}
        }
    }
    table
}
