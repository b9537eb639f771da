//! A baseline as one page: it loads nothing, runs nothing, and says what the terminal says.
//!
//! What is written as it is must be in the program's text; all else is escaped. The page forbids
//! itself everything but its own style, so that even a hole in the escaping of a client's name would
//! fetch and run nothing.

use std::fmt::Write as _;

use super::survey::{Baseline, FieldSpread, Mark, Peak};
use super::tuning::{Proposal, Tuned, Verdict};
use super::words::{counted, samples_words};
use crate::decision::Target;
use crate::escape;
use crate::field::Scope;
use crate::time::Timestamp;
use crate::units::{self, format_duration};

const STYLE: &str = include_str!("style.css");

/// What the browser is told to let through: the page's own style alone, by its SHA-256. A test has the
/// right value.
const POLICY: &str = "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; \
                      style-src 'sha256-mtkaLT37V55eMqLUopS5631byyd46w+tMJlque+JnWI='";

/// A page so far.
#[derive(Default)]
struct Markup {
    text: String,
    /// What the columns of the table under way are called; where they stand one below the other, each
    /// cell says so itself.
    header: Vec<&'static str>,
    /// The next cell's column.
    place: usize,
}

impl Markup {
    /// Markup of our own.
    fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.text.push_str(markup);
        self
    }

    /// Text of any origin, between tags or in a quoted attribute.
    fn text(&mut self, text: impl AsRef<str>) -> &mut Self {
        self.text.push_str(&escape::html(text.as_ref()));
        self
    }

    /// A sentence of the program's own: what stands in backticks is code.
    fn sentence(&mut self, text: impl AsRef<str>) -> &mut Self {
        self.text.push_str(&escape::html_sentence(text.as_ref()));
        self
    }

    fn number(&mut self, number: f64) -> &mut Self {
        // Writing to a string cannot fail.
        let _ = write!(self.text, "{number:.1}");
        self
    }

    fn paragraph(&mut self, text: &str) -> &mut Self {
        self.raw("<p>").sentence(text).raw("</p>\n")
    }

    /// A cell of a number, or of a short text.
    fn cell(&mut self, text: &str, is_number: bool) -> &mut Self {
        self.open(if is_number { "n" } else { "" });
        self.text(text).raw("</td>")
    }

    /// A cell that may break.
    fn wide_cell(&mut self, text: &str) -> &mut Self {
        self.open("wrap").text(text).raw("</td>")
    }

    /// The beginning of a cell.
    fn open(&mut self, class: &'static str) -> &mut Self {
        let name = self.header.get(self.place).copied().unwrap_or_default();
        self.place += 1;
        self.raw("<td data-of=\"").raw(name);
        if !class.is_empty() {
            self.raw("\" class=\"").raw(class);
        }
        self.raw("\">")
    }

    /// The beginning of a table; those of `numbers` columns from the second on are numbers.
    fn table(&mut self, header: &[&'static str], numbers: usize) -> &mut Self {
        self.header = header.to_vec();
        self.raw("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Table\"><table>\n<thead><tr>");
        for (place, name) in header.iter().enumerate() {
            let is_number = (1..=numbers).contains(&place);
            self.raw(if is_number {
                "<th scope=\"col\" class=\"n\">"
            } else {
                "<th scope=\"col\">"
            });
            self.text(name).raw("</th>");
        }
        self.raw("</tr></thead>\n<tbody>\n")
    }

    fn end_table(&mut self) -> &mut Self {
        self.raw("</tbody></table></div>\n")
    }

    fn row(&mut self, name: &str) -> &mut Self {
        self.place = 1;
        self.raw("<tr><th scope=\"row\">").text(name).raw("</th>")
    }
}

/// The page.
pub fn page(baseline: &Baseline, tuned: Option<&Tuned>) -> String {
    let mut page = Markup::default();
    head(&mut page, baseline);
    let scopes = Scope::ALL.into_iter().filter(|&scope| {
        let mut asked = baseline.fields.iter().filter(|field| field.is_asked);
        asked.any(|field| field.subject.scope == scope)
    });
    let scopes: Vec<Scope> = scopes.collect();
    title(&mut page, baseline, tuned, &scopes);
    page.raw("<main>\n");
    if let Some(tuned) = tuned {
        budget(&mut page, tuned);
    }
    for scope in scopes {
        section(&mut page, baseline, scope);
    }
    how_to_read(&mut page, baseline);
    page.raw("</main>\n<footer><p>Written by electrumx-warden ")
        .text(env!("CARGO_PKG_VERSION"))
        .raw(". This page is complete in itself: it loads nothing and sends nothing. It holds addresses and names of clients: think before you pass it on.</p></footer>\n</body>\n</html>\n");
    page.text
}

fn head(page: &mut Markup, baseline: &Baseline) {
    page.raw("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta http-equiv=\"Content-Security-Policy\" content=\"")
        .raw(POLICY)
        .raw("\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n<meta name=\"robots\" content=\"noindex\">\n<title>What is normal on ")
        .text(servers(baseline))
        .raw("</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>")
        .raw(STYLE)
        .raw("</style>\n</head>\n<body>\n");
}

fn servers(baseline: &Baseline) -> String {
    let servers = baseline.seen.servers.iter().map(String::as_str);
    servers.collect::<Vec<_>>().join(", ")
}

fn time(at: Timestamp) -> String {
    let text = at.to_string();
    let text = text.get(..19).map(|text| text.replace('T', " "));
    text.unwrap_or_else(|| at.to_string())
}

fn title(page: &mut Markup, baseline: &Baseline, tuned: Option<&Tuned>, scopes: &[Scope]) {
    page.raw("<header>\n<p class=\"kicker\">electrumx-warden baseline</p>\n<h1>What is normal on ")
        .text(servers(baseline))
        .raw("</h1>\n<p>");
    let seen = &baseline.seen;
    if let Some((first, last)) = seen.first.zip(seen.last) {
        let span = format!("{} to {} UTC: ", time(first), time(last));
        page.text(span);
    }
    page.text(seen.words()).raw("</p>\n");
    if let Some(caution) = seen.caution() {
        page.raw("<p class=\"notice\">")
            .sentence(caution)
            .raw("</p>\n");
    }
    page.raw("<nav aria-label=\"Parts\">");
    if tuned.is_some() {
        page.raw("<a href=\"#budget\">budget</a>");
    }
    for scope in scopes {
        page.raw("<a href=\"#")
            .raw(scope.name())
            .raw("\">")
            .raw(scope.name())
            .raw("</a>");
    }
    page.raw("<a href=\"#how\">how to read it</a></nav>\n</header>\n");
}

fn budget(page: &mut Markup, tuned: &Tuned) {
    page.raw("<section id=\"budget\">\n<h2>Budget: ")
        .text(tuned.budget.to_string())
        .raw("</h2>\n");
    if tuned.proposals.is_empty() {
        page.paragraph("No policy has thresholds that could be scaled for it.");
    }
    if tuned.is_judged() {
        page.raw("<p class=\"lead ")
            .raw(tuned.verdict.name())
            .raw("\">")
            .sentence(tuned.judgement())
            .raw("</p>\n");
    }
    if !tuned.proposals.is_empty() {
        for sentence in tuned.opening() {
            page.paragraph(&sentence);
        }
        if let Some(short) = tuned.too_short() {
            page.raw("<p class=\"notice\">")
                .sentence(short)
                .raw("</p>\n");
        }
        proposals(page, tuned);
    }
    if !tuned.left_alone.is_empty() {
        page.raw("<h3>Left alone</h3>\n<dl>\n");
        for left in &tuned.left_alone {
            page.raw("<dt>").text(&left.policy).raw("</dt><dd>");
            page.sentence(left.words()).raw("</dd>\n");
        }
        page.raw("</dl>\n");
    }
    page.raw("</section>\n");
}

fn proposals(page: &mut Markup, tuned: &Tuned) {
    const HEADER: [&str; 7] = [
        "policy",
        "hits at first: now",
        "proposed",
        "hits later: now",
        "proposed",
        "thresholds",
        "verdict",
    ];
    page.table(&HEADER, 4);
    for proposal in &tuned.proposals {
        let Proposal {
            present, proposed, ..
        } = proposal;
        let count = |count: u64| units::format(count as f64, crate::field::Dimension::Count);
        page.row(&proposal.policy)
            .cell(&count(present.training), true)
            .cell(&count(proposed.training), true)
            .cell(&count(present.held_out), true)
            .cell(&count(proposed.held_out), true)
            .cell(&proposal.factor_words(), false);
        page.open(proposal.verdict.name())
            .sentence(proposal.verdict_words())
            .raw("</td></tr>\n");
    }
    page.end_table();
    let changed = tuned.proposals.iter().filter(|it| it.is_change());
    let mut is_any = false;
    for proposal in changed {
        if !std::mem::replace(&mut is_any, true) {
            page.raw("<h3>Proposed, each in place of the policy’s <code>when</code></h3>\n");
        }
        page.raw("<pre># ")
            .text(&proposal.policy)
            .raw(": ")
            .text(proposal.factor_words())
            .raw("\nwhen = ")
            .text(&proposal.when)
            .raw("</pre>\n");
    }
    if is_any {
        page.paragraph(super::AFTERWARDS);
    } else {
        page.paragraph("No threshold is to be changed.");
    }
    if tuned
        .proposals
        .iter()
        .any(|it| it.verdict == Verdict::Broken)
    {
        page.paragraph("Broken means more hits in the part held out than chance explains.");
    }
}

fn section(page: &mut Markup, baseline: &Baseline, scope: Scope) {
    let asked = baseline.fields.iter().filter(|field| field.is_asked);
    let fields = asked.filter(|field| field.subject.scope == scope);
    let (told, untold): (Vec<&FieldSpread>, Vec<&FieldSpread>) =
        fields.partition(|field| field.spread.count() > 0);
    page.raw("<section id=\"")
        .raw(scope.name())
        .raw("\">\n<h2>")
        .raw(scope.name())
        .raw("</h2>\n<p class=\"note\">")
        .raw(scope.doc());
    let windows = told.iter().filter_map(|field| field.subject.window);
    if let Some(window) = windows.max() {
        let window = format_duration(window);
        page.text(format!(
            "; rates, shares and what is new or gone over {window}"
        ));
    }
    page.raw("</p>\n");
    if told.is_empty() {
        page.paragraph("Nothing of it is known in this recording.");
    } else {
        spreads(page, baseline, &told);
        if !untold.is_empty() {
            let names = untold.iter().map(|field| field.subject.name());
            let names = names.collect::<Vec<_>>().join(", ");
            page.raw("<p class=\"note\">Unknown throughout: ");
            page.text(names).raw("</p>\n");
        }
        marks(page, baseline, scope);
    }
    page.raw("</section>\n");
}

const SPREADS: [&str; 10] = [
    "field",
    "samples",
    "unknown",
    "p50",
    "p90",
    "p99",
    "p99.9",
    "max",
    "spread",
    "the max: whose and when",
];

fn spreads(page: &mut Markup, baseline: &Baseline, fields: &[&FieldSpread]) {
    page.table(&SPREADS, 7);
    for field in fields {
        let spread = &field.spread;
        let count = |count: u64| units::format(count as f64, crate::field::Dimension::Count);
        let shown =
            |number: Option<f64>| units::format(number.unwrap_or(f64::NAN), field.dimension);
        page.row(&field.subject.name());
        page.cell(&count(spread.count()), true);
        page.cell(&count(spread.unknown() + spread.infinite()), true);
        for quantile in [0.5, 0.9, 0.99, 0.999] {
            page.cell(&shown(spread.quantile(quantile)), true);
        }
        page.cell(&shown(spread.greatest()), true).open("");
        chart(page, baseline, field);
        page.raw("</td>");
        let whose = field.peak.as_ref().map(whose).unwrap_or_default();
        page.open("wrap whose").text(whose).raw("</td></tr>\n");
    }
    page.end_table();
}

/// `42 (1.2.3.4:5678) "electrum", 2026-01-01 00:00:10`
fn whose(peak: &Peak) -> String {
    let at = time(peak.at);
    let target = match &peak.target {
        Target::Server => return at,
        target => target.to_string(),
    };
    match &peak.client {
        Some(client) => format!("{target} \"{client}\", {at}"),
        None => format!("{target}, {at}"),
    }
}

/// The chart's measures, in its own units.
const BARS: usize = 40;
const BAR: f64 = 4.0;
const HEIGHT: f64 = 30.0;
/// Where the bars begin, behind that of the zeros.
const LEFT: f64 = 14.0;

fn chart(page: &mut Markup, baseline: &Baseline, field: &FieldSpread) {
    let (rest, cells) = field.spread.cells(BARS);
    let most = cells.iter().copied().max().unwrap_or(0).max(rest);
    let height = |count: u64| (count as f64).ln_1p() / (most as f64).ln_1p() * HEIGHT;
    let marks = baseline
        .marks
        .iter()
        .filter(|mark| is_of(baseline, mark, field));
    let marks = marks.filter_map(|mark| {
        let place = field.spread.place(mark.threshold?)?;
        (0.0..=1.0).contains(&place).then_some((mark, place))
    });
    page.raw("<svg viewBox=\"0 0 176 32\" role=\"img\" aria-label=\"spread of ")
        .text(field.subject.name())
        .raw("\"><path class=\"base\" d=\"M0 31.5h176\"/>");
    let mut bar = |class: &'static str, x: f64, width: f64, count: u64| {
        if count > 0 {
            let height = height(count).max(1.5);
            page.raw("<rect class=\"").raw(class).raw("\" x=\"");
            page.number(x).raw("\" y=\"").number(31.0 - height);
            page.raw("\" width=\"").number(width).raw("\" height=\"");
            page.number(height).raw("\"/>");
        }
    };
    bar("zero", 0.0, 8.0, rest);
    for (count, x) in cells.iter().zip(0_u32..) {
        bar("bar", LEFT + f64::from(x) * BAR, BAR - 0.6, *count);
    }
    for (mark, place) in marks {
        page.raw("<path class=\"mark\" d=\"M")
            .number(LEFT + place * BAR * BARS as f64)
            .raw(" 0v32\"><title>")
            .text(format!("{}: {} {}", mark.policy, mark.field, mark.test))
            .raw("</title></path>");
    }
    page.raw("</svg>");
}

/// Whether a mark is of a field, whatever its window.
fn is_of(baseline: &Baseline, mark: &Mark, field: &FieldSpread) -> bool {
    let of = &baseline.fields[mark.of].subject;
    let subject = &field.subject;
    (of.scope, of.field, &of.method) == (subject.scope, subject.field, &subject.method)
}

fn marks(page: &mut Markup, baseline: &Baseline, scope: Scope) {
    let of_scope = |mark: &&Mark| baseline.fields[mark.of].subject.scope == scope;
    let marks: Vec<&Mark> = baseline.marks.iter().filter(of_scope).collect();
    if marks.is_empty() {
        return;
    }
    page.raw("<h3>Where the policies’ thresholds lie</h3>\n");
    page.table(&["policy", "lies at", "test", "holds for"], 1);
    for mark in marks {
        let window = baseline.fields[mark.of].subject.window;
        let over = window.map(|window| format!(" over {}", format_duration(window)));
        let (lies, held) = mark.words(baseline);
        page.row(&mark.policy)
            .cell(&lies, true)
            .wide_cell(&format!(
                "{} {}{}",
                mark.field,
                mark.test,
                over.unwrap_or_default()
            ))
            .cell(&held, false)
            .raw("</tr>\n");
    }
    page.end_table();
}

impl Mark {
    /// Where its threshold lies, and how much it holds for.
    pub fn words(&self, baseline: &Baseline) -> (String, String) {
        match (baseline.place(self), self.threshold) {
            (_, None) => ("moves".to_owned(), "with what is normal".to_owned()),
            (None, _) => ("unknown".to_owned(), String::new()),
            (Some(place), _) => {
                let held = match place.held {
                    0 => "none".to_owned(),
                    held if held == place.of => "all".to_owned(),
                    held => counted(held, "sample", "samples"),
                };
                (place.words(), held)
            }
        }
    }
}

fn how_to_read(page: &mut Markup, baseline: &Baseline) {
    page.raw("<section id=\"how\">\n<h2>How to read it</h2>\n");
    for sentence in samples_words(baseline) {
        page.paragraph(&sentence);
    }
    page.paragraph(
        "In a chart the grey bar on the left is what is 0 or less; the others go from the least to \
         the greatest, by the logarithm. Heights go by the logarithm too, so that what is rare can be \
         seen. An orange line is where the threshold of a policy lies, over whatever window.",
    );
    page.raw("</section>\n");
}

#[cfg(test)]
mod tests;
