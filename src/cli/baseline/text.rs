//! A baseline for people in a terminal: a table a scope, with charts of block characters.

use std::io;

use anstyle::Style;
use comfy_table::{Attribute, Cell, CellAlignment, Color, ColumnConstraint};

use crate::baseline::{Baseline, FieldSpread, Peak, Spread, Tuned, Verdict, samples_words};
use crate::cli::screen::{Screen, wrap};
use crate::cli::show::{self, DIM, HEAD, WARN, time};
use crate::decision::Target;
use crate::field::{Dimension, Scope};
use crate::units;

/// From here on a table has room to breathe.
const WIDE: usize = 100;
/// Below this tables of words are lists.
const NARROW: usize = 70;
/// A chart is as wide as there is room for, within this.
const CHART: std::ops::RangeInclusive<usize> = 6..=24;
/// Which columns there are, if there is room for them; the last ones fit everywhere.
const COLUMNS: [&[usize]; 5] = [
    &[0, 1, 2, 3, 4, 5, SPREAD],
    &[0, 1, 3, 4, 5, SPREAD],
    &[0, 1, 3, 5, SPREAD],
    &[0, 1, 3, 5],
    &[0, 3, 5],
];
/// Where the chart stands.
const SPREAD: usize = 6;
const QUANTILES: [f64; 4] = [0.5, 0.9, 0.99, 0.999];
/// From low to high; nothing at all is a dot.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

pub(super) fn show(
    baseline: &Baseline,
    tuned: Option<&Tuned>,
    screen: &mut Screen,
) -> io::Result<()> {
    opening(baseline, screen)?;
    for scope in Scope::ALL {
        let asked = baseline.fields.iter().filter(|field| field.is_asked);
        let fields: Vec<_> = asked.filter(|field| field.subject.scope == scope).collect();
        if !fields.is_empty() {
            show_scope(baseline, scope, &fields, screen)?;
        }
    }
    screen.line("")?;
    for sentence in samples_words(baseline) {
        screen.paragraph(&sentence, DIM)?;
    }
    screen.paragraph(
        "Charts: first how many are 0 or less, then from the least to the greatest by the logarithm; \
         heights go by the logarithm too, and a dot is none.",
        DIM,
    )?;
    match tuned {
        Some(tuned) => show_budget(tuned, screen),
        None => Ok(()),
    }
}

fn opening(baseline: &Baseline, screen: &mut Screen) -> io::Result<()> {
    let seen = &baseline.seen;
    let servers = seen.servers.iter().map(|name| show::text(name));
    let servers = servers.collect::<Vec<_>>().join(", ");
    screen.line(format!("{HEAD}What is normal on {servers}{HEAD:#}"))?;
    let span = seen
        .first
        .zip(seen.last)
        .map_or_else(String::new, |(first, last)| {
            format!("{} to {} UTC: ", time(first), time(last))
        });
    screen.paragraph(&format!("{span}{}", seen.words()), Style::new())
}

fn heading(text: &str, screen: &mut Screen) -> io::Result<()> {
    screen.line("")?;
    screen.line(format!("{HEAD}{text}{HEAD:#}"))
}

fn show_scope(
    baseline: &Baseline,
    scope: Scope,
    fields: &[&FieldSpread],
    screen: &mut Screen,
) -> io::Result<()> {
    heading(scope.name(), screen)?;
    let windows = fields.iter().filter_map(|field| field.subject.window);
    let window = windows.max().map_or_else(String::new, |window| {
        format!(
            "; rates, shares and what is new or gone over {}",
            units::format_duration(window)
        )
    });
    screen.paragraph(&format!("{}{window}", scope.doc()), DIM)?;
    let (told, untold): (Vec<&FieldSpread>, Vec<&FieldSpread>) =
        fields.iter().partition(|field| field.spread.count() > 0);
    if told.is_empty() {
        screen.paragraph("nothing of it is known in this recording", DIM)?;
        return untold
            .iter()
            .filter_map(|field| field.why_unknown())
            .try_for_each(|why| screen.paragraph(&why, DIM));
    }
    screen.line("")?;
    table(&told, screen)?;
    unknown(&told, &untold, screen)?;
    peaks(&told, screen)?;
    marks(baseline, scope, screen)
}

fn table(fields: &[&FieldSpread], screen: &mut Screen) -> io::Result<()> {
    let is_wide = screen.width() >= WIDE;
    let gap = if is_wide { 2 } else { 1 };
    let rows: Vec<[String; 6]> = fields.iter().map(|field| cells(field, is_wide)).collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0).max(HEADER[column].len()) + gap
    };
    let used = |columns: &[usize]| -> usize {
        let numbers = columns.iter().filter(|&&column| column != SPREAD);
        numbers.map(|&column| width(column)).sum()
    };
    let fits = |columns: &&[usize]| {
        let chart = if columns.contains(&SPREAD) {
            *CHART.start()
        } else {
            0
        };
        used(columns) + chart <= screen.width()
    };
    let columns = COLUMNS.into_iter().find(fits).unwrap_or(COLUMNS[4]);
    let room = screen.width().saturating_sub(used(columns));
    let chart_width = room.clamp(*CHART.start(), *CHART.end());
    let header: Vec<&str> = columns.iter().map(|&column| HEADER[column]).collect();
    let mut table = show::table(&header);
    for (field, row) in fields.iter().zip(&rows) {
        let cell = |&column: &usize| match column {
            0 => Cell::new(&row[0]).add_attribute(Attribute::Bold),
            SPREAD => Cell::new(chart(&field.spread, chart_width)).fg(Color::Cyan),
            number => Cell::new(&row[number]),
        };
        table.add_row(columns.iter().map(cell));
    }
    for (&of, column) in columns.iter().zip(table.column_iter_mut()) {
        let is_last = columns.last() == Some(&of);
        let gap = if is_last { 0 } else { gap };
        column.set_padding((0, u16::try_from(gap).unwrap_or(1)));
        column.set_constraint(ColumnConstraint::ContentWidth);
        if !matches!(of, 0 | SPREAD) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    screen.table(table)?;
    let left_out = (0..HEADER.len()).filter(|column| !columns.contains(column));
    let left_out: Vec<&str> = left_out.map(|column| HEADER[column]).collect();
    if left_out.is_empty() {
        return Ok(());
    }
    let left_out = format!("left out for want of room: {}", left_out.join(", "));
    screen.paragraph(&left_out, DIM)
}

const HEADER: [&str; 7] = ["field", "p50", "p90", "p99", "p99.9", "max", "spread"];

/// Its name, its quantiles and its greatest.
fn cells(field: &FieldSpread, is_wide: bool) -> [String; 6] {
    let spread = &field.spread;
    let [p50, p90, p99, p999] = QUANTILES.map(|quantile| spread.quantile(quantile));
    let shown = |number: Option<f64>| {
        let shown = quantity(number.unwrap_or(f64::NAN), field.dimension);
        if is_wide {
            shown
        } else {
            // `1.5MiB/s` fits where `1.5 MiB/s` does not.
            shown.replace(' ', "")
        }
    };
    let name = field.subject.name();
    let [p50, p90, p99, p999, max] = [p50, p90, p99, p999, spread.greatest()].map(shown);
    [name, p50, p90, p99, p999, max]
}

fn quantity(number: f64, dimension: Dimension) -> String {
    units::format(number, dimension)
}

/// `█ ▂▅▇▃▁·▁`: zeros, then the rest by the logarithm.
fn chart(spread: &Spread, width: usize) -> String {
    let (rest, cells) = spread.cells(width.saturating_sub(2));
    let most = cells.iter().copied().max().unwrap_or(0).max(rest);
    let height = |count: u64| {
        if count == 0 {
            return '·';
        }
        let height = (count as f64).ln_1p() / (most as f64).ln_1p() * 8.0;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "1 to 8"
        )]
        let height = height.ceil().clamp(1.0, 8.0) as usize;
        BARS[height - 1]
    };
    let bars: String = cells.into_iter().map(height).collect();
    format!("{} {bars}", height(rest)).trim_end().to_owned()
}

fn unknown(told: &[&FieldSpread], untold: &[&FieldSpread], screen: &mut Screen) -> io::Result<()> {
    let names = |fields: &[&FieldSpread]| {
        let names = fields.iter().map(|field| field.subject.name());
        names.collect::<Vec<_>>().join(", ")
    };
    // Fields that are unknown for one reason are so in one share of the samples.
    let parts = |of: fn(&Spread) -> u64| {
        let mut parts: Vec<(String, Vec<&FieldSpread>)> = Vec::new();
        for &field in told.iter().filter(|field| of(&field.spread) > 0) {
            let all = field.spread.count() + field.spread.unknown() + field.spread.infinite();
            let share = of(&field.spread) as f64 / all as f64;
            let share = units::format(share, Dimension::Share);
            match parts.iter_mut().find(|(known, _)| *known == share) {
                Some((_, fields)) => fields.push(field),
                None => parts.push((share, vec![field])),
            }
        }
        parts
    };
    let mut say = |what: &str, fields: String| {
        if fields.is_empty() {
            return Ok(());
        }
        screen.paragraph(&format!("{what}: {fields}"), DIM)
    };
    for (share, fields) in parts(Spread::unknown) {
        say(
            &format!("unknown in {share} of the samples"),
            names(&fields),
        )?;
    }
    for (share, fields) in parts(Spread::infinite) {
        say(
            &format!("infinite in {share} of the samples"),
            names(&fields),
        )?;
    }
    say("unknown throughout", names(untold))
}

/// Who had the greatest of what, and when.
fn peaks(fields: &[&FieldSpread], screen: &mut Screen) -> io::Result<()> {
    let mut whose: Vec<(&Peak, Vec<String>)> = Vec::new();
    for field in fields {
        let Some(peak) = &field.peak else { continue };
        let is_nothing = field
            .spread
            .greatest()
            .is_none_or(|greatest| greatest <= 0.0);
        if is_nothing {
            continue;
        }
        let at = time(peak.at);
        let told = format!("{} {}", field.subject.name(), at.get(11..).unwrap_or(&at));
        match whose
            .iter_mut()
            .find(|(known, _)| known.target == peak.target)
        {
            Some((_, fields)) => fields.push(told),
            None => whose.push((peak, vec![told])),
        }
    }
    if whose.is_empty() {
        return Ok(());
    }
    screen.line("")?;
    screen.paragraph("The greatest, and when it was first reached:", Style::new())?;
    for (peak, fields) in whose {
        let line = format!("  {}: {}", who(peak), fields.join(", "));
        entry(&line, screen)?;
    }
    Ok(())
}

/// `42 (1.2.3.4:5678) "electrum"`, escaped.
fn who(peak: &Peak) -> String {
    let target = match &peak.target {
        Target::Group(name) | Target::Client(name) => format!("\"{}\"", show::text(name)),
        target => show::text(&target.to_string()),
    };
    match &peak.client {
        Some(client) => format!("{target} \"{}\"", show::text(client)),
        None => target,
    }
}

fn marks(baseline: &Baseline, scope: Scope, screen: &mut Screen) -> io::Result<()> {
    let of_scope = |mark: &&crate::baseline::Mark| baseline.fields[mark.of].subject.scope == scope;
    let marks: Vec<_> = baseline.marks.iter().filter(of_scope).collect();
    if marks.is_empty() {
        return Ok(());
    }
    screen.line("")?;
    screen.paragraph("Where the policies' thresholds lie:", Style::new())?;
    let is_list = screen.width() < NARROW;
    let mut table = show::table(&["policy", "test", "lies at", "holds for"]);
    for mark in marks {
        let window = baseline.fields[mark.of].subject.window;
        let over = window.map_or_else(String::new, |window| {
            format!(" over {}", units::format_duration(window))
        });
        let (lies, held) = mark.words(baseline);
        let policy = show::text(&mark.policy);
        let test = show::text(&format!("{} {}{over}", mark.field, mark.test));
        if is_list {
            let held = match &*held {
                "" => String::new(),
                held => format!(" ({held})"),
            };
            entry(&format!("  {policy}: {test}: {lies}{held}"), screen)?;
        } else {
            table.add_row([policy, test, lies, held].map(Cell::new));
        }
    }
    if is_list { Ok(()) } else { screen.table(table) }
}

fn show_budget(tuned: &Tuned, screen: &mut Screen) -> io::Result<()> {
    heading(&format!("Budget: {}", tuned.budget), screen)?;
    if tuned.proposals.is_empty() {
        let none = "No policy has thresholds that could be scaled for it.";
        screen.paragraph(none, Style::new())?;
        if tuned.is_judged() {
            screen.paragraph(&tuned.judgement(), style(tuned.verdict))?;
        }
        return left_alone(tuned, screen);
    }
    for sentence in tuned.opening() {
        screen.paragraph(&sentence, Style::new())?;
    }
    if let Some(short) = tuned.too_short() {
        screen.line("")?;
        for line in wrap(&format!("! {short}"), screen.width(), 2) {
            screen.line(format!("{WARN}{line}{WARN:#}"))?;
        }
    }
    screen.line("")?;
    verdicts(tuned, screen)?;
    screen.paragraph(
        "found on, checked on: hits by today's thresholds and by those proposed, in the first part and \
         in the last",
        DIM,
    )?;
    screen.line("")?;
    screen.paragraph(&tuned.judgement(), style(tuned.verdict))?;
    proposals(tuned, screen)?;
    left_alone(tuned, screen)
}

/// How each policy did.
fn verdicts(tuned: &Tuned, screen: &mut Screen) -> io::Result<()> {
    let is_list = screen.width() < NARROW;
    let mut table = show::table(&["policy", "thresholds", "found on", "checked on", "verdict"]);
    for proposal in &tuned.proposals {
        let policy = show::text(&proposal.policy);
        let factor = proposal.factor_words();
        let found = hits(proposal.present.training, proposal.proposed.training);
        let checked = hits(proposal.present.held_out, proposal.proposed.held_out);
        let verdict = proposal.verdict_words();
        if is_list {
            let style = style(proposal.verdict);
            let line = format!(
                "  {policy}: {factor}; found on {found}; checked on {checked}: {style}{verdict}{style:#}"
            );
            entry(&line, screen)?;
            continue;
        }
        let verdict = Cell::new(verdict);
        let verdict = match proposal.verdict {
            Verdict::Shown | Verdict::Kept => verdict,
            Verdict::Chance(_) => verdict.fg(Color::Yellow),
            Verdict::NoFactor | Verdict::Broken => verdict.fg(Color::Red),
        };
        let mut cells = [policy, factor, found, checked].map(Cell::new).to_vec();
        cells.push(verdict);
        table.add_row(cells);
    }
    if is_list { Ok(()) } else { screen.table(table) }
}

/// A line of a list, which goes on below, indented.
fn entry(line: &str, screen: &mut Screen) -> io::Result<()> {
    let lines = wrap(line, screen.width(), 4);
    lines.iter().try_for_each(|line| screen.line(line))
}

const fn style(verdict: Verdict) -> Style {
    match verdict {
        Verdict::Shown => show::GOOD,
        Verdict::Kept => Style::new(),
        Verdict::Chance(_) | Verdict::NoFactor => WARN,
        Verdict::Broken => show::BAD,
    }
}

/// `12, then 0`
fn hits(present: u64, proposed: u64) -> String {
    let shown = |count: u64| units::format(count as f64, Dimension::Count);
    if proposed == present {
        return shown(present);
    }
    format!("{}, then {}", shown(present), shown(proposed))
}

/// In TOML, to be pasted; so no line is broken.
fn proposals(tuned: &Tuned, screen: &mut Screen) -> io::Result<()> {
    let changed: Vec<_> = tuned.proposals.iter().filter(|it| it.is_change()).collect();
    screen.line("")?;
    if changed.is_empty() {
        return screen.line("No threshold is to be changed.");
    }
    let proposed = "Proposed, each in place of the policy's `when`:";
    screen.paragraph(proposed, Style::new())?;
    for proposal in changed {
        screen.line("")?;
        screen.line(format!(
            "{DIM}# {}: {}{DIM:#}",
            proposal.policy,
            proposal.factor_words()
        ))?;
        screen.line(format!("when = {}", proposal.when))?;
    }
    screen.line("")?;
    screen.paragraph(crate::baseline::AFTERWARDS, Style::new())
}

fn left_alone(tuned: &Tuned, screen: &mut Screen) -> io::Result<()> {
    if tuned.left_alone.is_empty() {
        return Ok(());
    }
    screen.line("")?;
    screen.line("Left alone:")?;
    for left in &tuned.left_alone {
        let line = format!("  {}: {}", show::text(&left.policy), left.words());
        entry(&line, screen)?;
    }
    Ok(())
}
