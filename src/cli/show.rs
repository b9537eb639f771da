//! Decisions and tables as people and programs read them.
//!
//! Text that clients chose is escaped here, at the last moment. Text for people is styled; a
//! stream without colour drops that.

use std::fmt::Write as _;

use crate::daemon::Address;
use crate::decision::{BanRefusal, Choice, Decision, Evidence, Outcome, Seen, Suppression, Target};
use crate::escape;
use crate::field::Dimension;
use crate::journal::Replayed;
use crate::policy::{Action, DaemonTarget, Margin};
use crate::time::Timestamp;
use crate::units::{self, format_duration};
use anstyle::{AnsiColor, Style};
use chrono::{DateTime, Utc};
use comfy_table::{Attribute, Cell, ContentArrangement, LineStyle, Table, TableStyle};
use ipnet::IpNet;

/// What went well.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// What went wrong.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// What deserves a look.
pub const WARN: Style = AnsiColor::Yellow.on_default();
/// Headings.
pub const HEAD: Style = Style::new().bold();
/// What matters less.
pub const DIM: Style = Style::new().dimmed();

/// Names that clients chose are cut to this many columns.
const NAME_COLUMNS: usize = 48;

/// Tests are cut to this many columns in a line of several, and where they stand alone.
const TEST_COLUMNS: usize = 64;
const TEST_ALONE_COLUMNS: usize = 200;

/// Of so many fields evidence is shown in a cell.
const REASONS_IN_CELL: usize = 4;

/// The server's words are cut to this many columns in a line or cell.
pub(super) const DETAIL_COLUMNS: usize = 100;

/// On whom a decision falls is cut to this many; fields may have long names.
const CHOICE_COLUMNS: usize = 200;

/// `1 error`, `2 errors`, `1_000 errors`.
pub fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{} {}", number(count), if count == 1 { one } else { many })
}

/// `1_000`, as everywhere where people read, policies and tests among them.
pub fn number(count: usize) -> String {
    units::format(count as f64, Dimension::Count)
}

/// A table without borders, whose cells wrap.
pub fn table(header: &[&str]) -> Table {
    let rule = LineStyle::none().fill('─');
    let mut table = Table::new();
    table
        .load_style(TableStyle::new().header_separator(rule))
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header.iter().map(|name| heading(name)));
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

fn heading(name: &str) -> Cell {
    Cell::new(name).add_attribute(Attribute::Bold)
}

/// UTC, to the second: `2026-01-31 23:59:59`.
pub fn time(at: Timestamp) -> String {
    formatted(at, "%Y-%m-%d %H:%M:%S")
}

/// UTC, to the millisecond.
pub fn exact_time(at: Timestamp) -> String {
    formatted(at, "%Y-%m-%d %H:%M:%S%.3f UTC")
}

fn formatted(at: Timestamp, format: &str) -> String {
    DateTime::<Utc>::from_timestamp_millis(at.as_millis())
        .map_or_else(|| at.to_string(), |time| time.format(format).to_string())
}

/// Text that somebody else chose, for a line or a cell.
pub fn text(text: &str) -> String {
    escape::terminal(text, NAME_COLUMNS).into_owned()
}

/// `subnet 203.0.113.0/24`, `client "electrum/4.5"`, `server`.
pub fn target(target: &Target) -> String {
    let scope = target.scope();
    match target {
        Target::Server => scope.to_string(),
        Target::Group(name) | Target::Client(name) => format!("{scope} \"{}\"", text(name)),
        _ => format!("{scope} {target}"),
    }
}

/// What is wanted: `disconnect`, `log for 10m`, `daemon_url to best (10.0.0.2:8332)`.
pub fn action(decision: &Decision) -> String {
    match &decision.action {
        action @ (Action::Disconnect | Action::Alert) => action.kind().to_string(),
        Action::Ban { duration } => format!("ban for {}", format_duration(*duration)),
        Action::Evict { keep_free } => format!("evict until {keep_free} of the slots are free"),
        Action::Log { duration } => format!("log for {}", format_duration(*duration)),
        Action::DaemonUrl { to } => {
            format!("daemon_url to {}", destination(to, &decision.daemons))
        }
    }
}

/// Where to, and which daemon that is.
fn destination(to: &DaemonTarget, daemons: &[Address]) -> String {
    let which = |word: &str| match daemons.first() {
        Some(daemon) => format!("{word} ({})", text(daemon)),
        None => word.to_owned(),
    };
    match to {
        DaemonTarget::Primary => which("primary"),
        DaemonTarget::Best => which("best"),
        DaemonTarget::Default => "default".to_owned(),
        DaemonTarget::List(daemons) => {
            let daemons: Vec<_> = daemons.iter().map(|daemon| text(daemon)).collect();
            daemons.join(", ")
        }
    }
}

/// What came of it, for a cell: `suppressed: cooldown`, `failed: ...`.
pub fn short_outcome(of: &Outcome) -> String {
    let word = outcome_word(of);
    match of {
        Outcome::Suppressed(by) => format!("{word}: {}", by.word()),
        Outcome::Failed { detail } if !detail.is_empty() => format!("{word}: {}", text(detail)),
        _ => word.to_owned(),
    }
}

/// What came of it, in a few words: `executed`, `suppressed: cooldown`, `failed: ...`.
pub fn outcome(outcome: &Outcome) -> String {
    let word = outcome_word(outcome);
    match outcome {
        Outcome::Suppressed(by) => format!("{word}: {}", suppression(by)),
        Outcome::Failed { detail } if !detail.is_empty() => {
            format!("{word}: {}", escape::terminal(detail, DETAIL_COLUMNS))
        }
        _ => word.to_owned(),
    }
}

/// The kind of outcome, as the journal's filter has it.
pub const fn outcome_word(outcome: &Outcome) -> &'static str {
    crate::journal::OutcomeKind::of(outcome).name()
}

/// How an outcome is coloured.
pub const fn outcome_style(outcome: &Outcome) -> Style {
    match outcome {
        Outcome::Executed { .. } => GOOD,
        Outcome::Failed { .. } => BAD,
        Outcome::Intended | Outcome::DryRun => WARN,
        Outcome::Suppressed(_) => DIM,
    }
}

/// The kind of outcome in its colour, as wide as the widest.
pub fn outcome_column(of: &Outcome) -> String {
    let (style, word) = (outcome_style(of), outcome_word(of));
    // Blanks within the style would hide from whoever trims the line.
    let blanks = " ".repeat(10usize.saturating_sub(word.len()));
    format!("{style}{word}{style:#}{blanks}")
}

/// A cell in the colour of an outcome.
pub fn outcome_cell(text: String, of: &Outcome) -> Cell {
    use comfy_table::Color;
    let cell = Cell::new(text);
    match of {
        Outcome::Executed { .. } => cell.fg(Color::Green),
        Outcome::Failed { .. } => cell.fg(Color::Red),
        Outcome::Intended | Outcome::DryRun => cell.fg(Color::Yellow),
        Outcome::Suppressed(_) => cell.add_attribute(Attribute::Dim),
    }
}

/// Why, in a few words.
pub fn suppression(by: &Suppression) -> String {
    match by {
        Suppression::Protection => "protected".to_owned(),
        Suppression::Cooldown { until } => format!("cooldown until {}", time(*until)),
        Suppression::Backoff { hold, failures } => format!(
            "waits: it must hold for {} after {}",
            format_duration(*hold),
            counted(*failures as usize, "failure", "failures")
        ),
        Suppression::PolicyLimit { until } => {
            format!("the policy's limit until {}", time(*until))
        }
        Suppression::ActionLimit { until } => {
            format!("the limit of this action until {}", time(*until))
        }
        Suppression::Breaker { until } => format!("stopped by the breaker until {}", time(*until)),
        Suppression::ShareOfAll { until } => {
            format!("too many regulars by all policies until {}", time(*until))
        }
        Suppression::Covered { policy } => format!("covered by {}", text(policy)),
        Suppression::Banned { until } => format!("banned until {}", time(*until)),
        Suppression::UncertainMembers => "members uncertain".to_owned(),
        Suppression::AmbiguousId => "ambiguous ID".to_owned(),
        Suppression::NothingToDo => "nothing to do".to_owned(),
        Suppression::NobodyStandsOut => "nobody stands out".to_owned(),
        Suppression::UnfitDaemon { why } => escape::terminal(why, DETAIL_COLUMNS).into_owned(),
    }
}

/// A value as a test saw it, with its unit.
pub fn seen(evidence: &Evidence) -> String {
    value(&evidence.seen, evidence.dimension)
}

/// The same of a value alone.
pub fn value(seen: &Seen, dimension: Option<Dimension>) -> String {
    text(&seen.words(dimension))
}

/// The same, with text in quotes.
pub fn quoted(seen: &Seen, dimension: Option<Dimension>) -> String {
    let value = value(seen, dimension);
    match seen {
        Seen::Text(_) => format!("\"{value}\""),
        Seen::Flag(_) | Seen::Number(_) => value,
    }
}

/// The same beside a test, as it is shown: in its unit.
pub fn quoted_like(seen: &Seen, dimension: Option<Dimension>, asked: &str) -> String {
    match (seen, dimension) {
        (Seen::Number(number), Some(dimension)) => units::format_like(*number, dimension, asked),
        _ => quoted(seen, dimension),
    }
}

/// What a number was compared with; empty where that is not a number.
pub fn threshold(evidence: &Evidence) -> String {
    evidence.threshold.map_or_else(String::new, |threshold| {
        quantity(threshold, evidence.dimension)
    })
}

/// A number with its unit.
pub fn quantity(number: f64, dimension: Option<Dimension>) -> String {
    units::format(number, dimension.unwrap_or(Dimension::Count))
}

/// `sent_rate 3.2 MiB/s (> 1 MiB/s), client "evil" (=~ ^e)`. Tests of one field stand together, and
/// a multiple of the population shows what it came to: `subs 5_000 (> 900, > 20x median = 2_400)`.
pub fn reasons(evidence: &[Evidence]) -> String {
    let fields = evidence.chunk_by(|a, b| a.field == b.field && a.seen == b.seen);
    let reasons: Vec<String> = fields.filter_map(|field| reason(field, ' ')).collect();
    reasons.join(", ")
}

/// The same for a cell: a line for each field, `REASONS_IN_CELL` of them at the most; or two, with
/// the tests on the second.
pub fn evidence(evidence: &[Evidence], is_stacked: bool) -> String {
    let between = if is_stacked { '\n' } else { ' ' };
    let fields = evidence.chunk_by(|a, b| a.field == b.field && a.seen == b.seen);
    let mut reasons: Vec<String> = fields.filter_map(|field| reason(field, between)).collect();
    let more = reasons.len().saturating_sub(REASONS_IN_CELL);
    if more > 0 {
        reasons.truncate(REASONS_IN_CELL);
        reasons.push(format!("and {more} more"));
    }
    reasons.join("\n")
}

/// A field, its value and the tests of it.
fn reason(of_one_field: &[Evidence], between: char) -> Option<String> {
    let first = of_one_field.first()?;
    let tests: Vec<String> = of_one_field.iter().map(test).collect();
    Some(format!(
        "{} {}{between}({})",
        text(&first.field),
        quoted_like(&first.seen, first.dimension, tests.first()?),
        tests.join(", ")
    ))
}

fn test(evidence: &Evidence) -> String {
    let Evidence {
        test,
        threshold,
        dimension,
        ..
    } = evidence;
    with_threshold(test, TEST_COLUMNS, *threshold, *dimension)
}

/// A test, with what a multiple of the population came to: `> 20x median = 2_400`.
pub fn asked(test: &str, threshold: Option<f64>, dimension: Option<Dimension>) -> String {
    with_threshold(test, TEST_ALONE_COLUMNS, threshold, dimension)
}

fn with_threshold(
    test: &str,
    columns: usize,
    threshold: Option<f64>,
    dimension: Option<Dimension>,
) -> String {
    let shown = test_text(test, columns);
    match threshold.filter(|_| is_relative(test)) {
        Some(threshold) => format!("{shown} = {}", quantity(threshold, dimension)),
        None => shown,
    }
}

/// A test as written, escaped. If it is cut, then not within an escape of its pattern, such as
/// `\x{202e}`.
fn test_text(test: &str, columns: usize) -> String {
    let mut shown = escape::terminal(test, columns).into_owned();
    if let Some(kept) = shown.strip_suffix('…')
        && let Some(open) = open_escape(kept)
    {
        shown.truncate(open);
        shown.push('…');
    }
    shown
}

/// Where an escape begins that this part of a pattern breaks off in.
fn open_escape(kept: &str) -> Option<usize> {
    let mut rest = kept;
    while let Some((_, escape)) = rest.split_once('\\') {
        let mut chars = escape.chars();
        let is_braced = chars.next().is_some_and(|kind| "xuUpP".contains(kind))
            && chars.next().is_none_or(|brace| brace == '{');
        let length = match escape.chars().next() {
            _ if is_braced => escape.find('}').map(|end| end + 1),
            Some('x') => Some(3).filter(|&length| escape.len() >= length),
            Some(c) => Some(c.len_utf8()),
            None => None,
        };
        match length.and_then(|length| escape.get(length..)) {
            Some(after) => rest = after,
            None => return Some(kept.len() - escape.len() - 1),
        }
    }
    None
}

/// How far a number is from its threshold: `3.2 x, 2.2 MiB/s above`, `62%, 390 KiB/s below`.
pub fn margin(margin: Margin, dimension: Option<Dimension>) -> String {
    let Margin {
        difference, ratio, ..
    } = margin;
    let apart = match difference {
        0.0 => return "as much as the threshold".to_owned(),
        more if more > 0.0 => format!("{} above", quantity(more, dimension)),
        less => format!("{} below", quantity(-less, dimension)),
    };
    match ratio {
        Some(ratio) if ratio >= 2.0 && ratio.is_finite() => {
            let times = units::format(ratio, Dimension::Count);
            format!("{times} x, {apart}")
        }
        Some(ratio) if ratio < 1.0 => {
            let part = units::format(ratio, Dimension::Share);
            format!("{part}, {apart}")
        }
        _ => apart,
    }
}

/// Whether a test compares with what is normal.
fn is_relative(test: &str) -> bool {
    let operand = test.trim_start_matches(['>', '<', '=', '!', ' ']);
    operand.ends_with("median") || operand.starts_with('p') || operand.contains("x p")
}

/// What is wanted of whom: `disconnect 12 sessions of subnet 203.0.113.0/24`,
/// `log session 8 (1.2.3.4:5678) for 10m`, `alert on server`.
pub fn deed(decision: &Decision) -> String {
    let on = target(&decision.target);
    let sessions = || {
        if let Target::Session(_) = decision.target {
            return on.clone();
        }
        let count = match decision.sessions.len() {
            // Held back before its sessions were told apart.
            0 => "sessions".to_owned(),
            count => counted(count, "session", "sessions"),
        };
        format!("{count} of {on}")
    };
    match &decision.action {
        Action::Disconnect => format!("disconnect {}", sessions()),
        Action::Ban { duration } => {
            let whom = match &decision.bans[..] {
                [] => on.clone(),
                [ban] => network(&ban.net),
                bans => counted(bans.len(), "network", "networks"),
            };
            let duration = format_duration(*duration);
            format!("ban {whom} for {duration}, disconnect {}", sessions())
        }
        Action::Evict { keep_free } => {
            format!(
                "evict {} until {keep_free} of the slots are free",
                sessions()
            )
        }
        Action::Log { duration } => {
            format!("log {} for {}", sessions(), format_duration(*duration))
        }
        Action::Alert => format!("alert on {on}"),
        Action::DaemonUrl { .. } => action(decision),
    }
}

/// An address or a subnet: `203.0.113.9`, `203.0.113.0/24`.
pub fn network(net: &IpNet) -> String {
    Target::Address(*net).to_string()
}

/// Of bans that were refused: `no ban of 203.0.113.9: regulars share it`.
pub fn refused(refused: &[BanRefusal]) -> Option<String> {
    let [first, rest @ ..] = refused else {
        return None;
    };
    let more = match rest.len() {
        0 => String::new(),
        more => format!(" and {} more", counted(more, "network", "networks")),
    };
    Some(format!(
        "no ban of {}{more}: {}",
        network(&first.net),
        first.why
    ))
}

/// On whom it falls, and why: `2 of 31 sessions (2 strangers), leaving subs at 90_000`.
pub fn choice(choice: &Choice) -> String {
    escape::terminal(&choice.to_string(), CHOICE_COLUMNS).into_owned()
}

/// What a replay's journal is of, on a line above its decisions.
pub fn replayed(replayed: &Replayed) -> String {
    let recordings = escape::terminal(&replayed.recordings.join(" "), DETAIL_COLUMNS).into_owned();
    let policies = escape::terminal(&replayed.policies, DETAIL_COLUMNS).into_owned();
    format!(
        "{WARN}A replay of {recordings} from {} to {}, judged by {policies}; a replay itself does \
         nothing{WARN:#}",
        time(replayed.from),
        time(replayed.to)
    )
}

/// A decision as one styled line, without its time:
/// `executed  disconnect 2 sessions of subnet 203.0.113.0/24  hog: sent_rate 3.2 MiB/s (> 1 MiB/s); 2 of 31
/// sessions (2 strangers), leaving sent_rate at 13 KiB/s`.
pub fn decision_line(decision: &Decision, of: &Outcome) -> String {
    let style = outcome_style(of);
    let mut line = format!("{}  {}", outcome_column(of), deed(decision));
    let policy = text(&decision.policy);
    let reasons = reasons(&decision.evidence);
    let _ = write!(line, "  {HEAD}{policy}{HEAD:#}");
    if !reasons.is_empty() {
        let _ = write!(line, ": {reasons}");
    }
    if !decision.held.is_zero() {
        let _ = write!(line, " for {}", format_duration(decision.held));
    }
    if decision.at_once {
        line.push_str(", at once");
    }
    // Of one session alone there is nothing to choose.
    if let Some(choice) = decision.choice.as_ref().filter(|it| it.members > 1) {
        let _ = write!(line, "; {}", self::choice(choice));
    }
    if let Some(refused) = refused(&decision.refused) {
        let _ = write!(line, "; {refused}");
    }
    let why = match of {
        Outcome::Suppressed(by) => suppression(by),
        Outcome::Failed { detail } => escape::terminal(detail, DETAIL_COLUMNS).into_owned(),
        _ => return line,
    };
    let _ = write!(line, "  {style}{why}{style:#}");
    line
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::cli::json::decision_json;
    use crate::decision::SessionRef;
    use crate::decision::{Epoch, Peer};
    use crate::journal::DecisionId;
    use crate::policy::Mode;

    fn number(field: &str, test: &str, seen: f64, threshold: f64, unit: Dimension) -> Evidence {
        Evidence {
            field: field.into(),
            test: test.into(),
            seen: Seen::Number(seen),
            threshold: Some(threshold),
            dimension: Some(unit),
        }
    }

    fn decision(target: Target, action: Action, evidence: Vec<Evidence>) -> Decision {
        let session = SessionRef {
            id: 7,
            peer: Peer("203.0.113.9:50001".parse().ok()),
            since: Timestamp::from_millis(1_767_225_000_000),
        };
        Decision {
            at: Timestamp::from_millis(1_767_225_600_123),
            epoch: Epoch(1),
            policy: "hog".into(),
            mode: Mode::Enforce,
            action,
            target,
            evidence,
            held: Duration::from_secs(90),
            severity: 3.2,
            sessions: vec![session; 2],
            spared: 1,
            choice: None,
            at_once: false,
            bans: Vec::new(),
            refused: Vec::new(),
            daemons: Vec::new(),
        }
    }

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn a_decision_is_a_line() {
        let rate = number(
            "sent_rate",
            "> 1 MiB/s",
            3_355_443.2,
            1_048_576.0,
            Dimension::ByteRate,
        );
        let many = number("subs", "> 20x median", 5_000.0, 2_400.0, Dimension::Count);
        let evil = Evidence {
            field: "client".into(),
            test: "=~ ^evil".into(),
            seen: Seen::Text("evil\u{1b}[2J\u{202e}".into()),
            threshold: None,
            dimension: None,
        };
        let net = Target::Subnet("203.0.113.0/24".parse().unwrap());
        let name = Target::Client(Arc::from("evil\u{1b}[2J"));
        let log = Action::Log {
            duration: Duration::from_secs(600),
        };
        let until = Timestamp::from_millis(1_767_226_000_000);
        let lines = [
            decision_line(
                &decision(net, Action::Disconnect, vec![rate, many]),
                &Outcome::Executed {
                    detail: "2 disconnected".into(),
                },
            ),
            decision_line(
                &decision(name, log, vec![evil]),
                &Outcome::Suppressed(Suppression::Cooldown { until }),
            ),
            decision_line(
                &decision(
                    Target::Server,
                    Action::DaemonUrl {
                        to: DaemonTarget::List([Arc::from("10.0.0.2:8332")].into()),
                    },
                    vec![],
                ),
                &Outcome::Failed {
                    detail: "refused\nby\u{7}".into(),
                },
            ),
        ];
        insta::assert_snapshot!(plain(&lines.join("\n")));
        let to = DaemonTarget::Best;
        let mut best = decision(Target::Server, Action::DaemonUrl { to }, vec![]);
        (best.at_once, best.daemons) = (true, vec!["10.0.0.2:8332".into()]);
        let waits = Suppression::Backoff {
            hold: Duration::from_mins(20),
            failures: 2,
        };
        insta::assert_snapshot!(
            plain(&decision_line(&best, &Outcome::Suppressed(waits))),
            @"suppressed  daemon_url to best (10.0.0.2:8332)  hog for 1m30s, at once  waits: it must hold for 20m after 2 failures"
        );
    }

    #[test]
    fn a_pattern_is_not_cut_within_an_escape() {
        let test = r"=~ [\x00-\x1f\x{202a}]\\\pL";
        let cut = |columns| test_text(test, columns);
        assert_eq!(cut(80), test);
        for (columns, shown) in [
            (8, r"=~ […"),
            (9, r"=~ [\x00…"),
            (13, r"=~ [\x00-…"),
            (14, r"=~ [\x00-\x1f…"),
            (21, r"=~ [\x00-\x1f…"),
            (22, r"=~ [\x00-\x1f\x{202a}…"),
            (23, r"=~ [\x00-\x1f\x{202a}]…"),
            (24, r"=~ [\x00-\x1f\x{202a}]…"),
            (25, r"=~ [\x00-\x1f\x{202a}]\\…"),
            (26, r"=~ [\x00-\x1f\x{202a}]\\…"),
        ] {
            assert_eq!(cut(columns), shown, "{columns}");
        }
    }

    #[test]
    fn a_decision_is_an_object() {
        let rate = number(
            "sent_rate",
            "> 1 MiB/s",
            3e6,
            f64::INFINITY,
            Dimension::ByteRate,
        );
        let decision = decision(
            Target::Subnet("203.0.113.0/24".parse().unwrap()),
            Action::Disconnect,
            vec![rate],
        );
        let covered = Outcome::Suppressed(Suppression::Covered {
            policy: "other".into(),
        });
        let json = decision_json(Some(DecisionId(4)), &decision, &covered);
        insta::assert_snapshot!(serde_json::to_string_pretty(&json).unwrap());
    }
}
