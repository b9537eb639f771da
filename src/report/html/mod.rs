//! The report as one page for people who know nothing of the tool: it loads nothing, and says what text and JSON say.
//!
//! Words and tables are written here; the charts over time are drawn in the browser, by `script.js`, from the report's
//! JSON in the page. The page forbids itself everything but its own style and script, so that even a hole in the
//! escaping of a client's name would run nothing.

mod compared;
mod decided;
mod markup;
#[cfg(test)]
mod tests;

use markup::Markup;

use super::words;
use super::{Decided, Missed, Replayed, Report};
use crate::time::Timestamp;
use chrono::{DateTime, Utc};
use decided::Palette;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// What the browser is told to let through: of style and script the page's own alone, by their SHA-256. A test has the
/// right values.
const POLICY: &str = include_str!("csp.txt");

/// The page.
///
/// # Errors
///
/// If a figure is none that JSON can say; none is known.
pub fn page(report: &Report) -> serde_json::Result<String> {
    let mut page = Markup::default();
    let palette = Palette::of(report);
    head(&mut page, report);
    page.raw("<body>\n<a class=\"skip\" href=\"#policies\">Skip to the policies</a>\n");
    title(&mut page, report);
    page.raw("<main>\n");
    summary(&mut page, report);
    over_time(&mut page, report);
    if let (Some(comparison), Some(against)) = (&report.comparison, &report.against) {
        compared::section(&mut page, comparison, &report.decided, against);
    }
    decided::section(&mut page, report, &palette);
    facts(&mut page, &report.replayed);
    for part in HOW_TO_READ {
        page.raw(part);
    }
    page.raw("</main>\n<footer>\n<p>Written by electrumx-warden ");
    page.text(env!("CARGO_PKG_VERSION"));
    page.raw(". This page is complete in itself: it loads nothing and sends nothing. It holds addresses and names of ");
    page.raw("clients: think before you pass it on.</p>\n</footer>\n");
    page.raw("<script type=\"application/json\" id=\"report\">");
    page.json(report)?;
    page.raw("</script>\n<script>")
        .raw(SCRIPT)
        .raw("</script>\n</body>\n</html>\n");
    Ok(page.finish())
}

fn head(page: &mut Markup, report: &Report) {
    page.raw("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    page.raw("<meta http-equiv=\"Content-Security-Policy\" content=\"")
        .raw(POLICY.trim_ascii_end())
        .raw("\">\n");
    page.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    page.raw("<meta name=\"color-scheme\" content=\"light dark\">\n");
    page.raw("<meta name=\"referrer\" content=\"no-referrer\">\n<meta name=\"robots\" content=\"noindex\">\n<title>");
    page.text(&report.decided.label).raw(" replayed");
    if let Some(from) = report.replayed.from {
        page.raw(", ").text(day(from));
    }
    page.raw("</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>")
        .raw(STYLE)
        .raw("</style>\n</head>\n");
}

fn title(page: &mut Markup, report: &Report) {
    let replayed = &report.replayed;
    page.raw("<header>\n<p class=\"kicker\">electrumx-warden <span>replay report</span></p>\n<h1>");
    let outcomes = &report.decided.totals.outcomes;
    let is_done = outcomes.executed > 0 && outcomes.would_act == 0;
    page.raw(match (&report.against, is_done) {
        (None, false) => "What these policies would have done",
        (None, true) => "What these policies did",
        (Some(_), _) => "Two sets of policies compared",
    });
    page.raw("</h1>\n<dl class=\"meta\">\n");
    let mut fact = |what: &'static str, text: &str| {
        page.raw("<div><dt>")
            .raw(what)
            .raw("</dt><dd>")
            .text(text)
            .raw("</dd></div>\n");
    };
    if let Some(against) = &report.against {
        fact("A", &report.decided.label);
        fact("B", &against.label);
    } else {
        fact("Policies", &report.decided.label);
    }
    if let (Some(from), Some(to)) = (replayed.from, replayed.to) {
        fact("Recorded", &format!("{} to {} UTC", time(from), time(to)));
    }
    let servers = servers(replayed);
    if !servers.is_empty() {
        fact("Server", &servers);
    }
    page.raw("</dl>\n</header>\n");
}

fn summary(page: &mut Markup, report: &Report) {
    page.raw("<section id=\"summary\" aria-labelledby=\"summary-title\">\n<h2 id=\"summary-title\">In short</h2>\n");
    for (index, sentence) in report.summary().iter().enumerate() {
        page.raw(if index == 0 {
            "<p>"
        } else {
            "<p class=\"lead\">"
        });
        page.text(sentence).raw("</p>\n");
    }
    let attention = report.attention();
    if attention.is_empty() {
        page.raw("<div class=\"notice calm\"><p><strong>Nothing stands out.</strong>");
        page.raw(if report.replayed.missed == 0 {
            " No poll failed, and no limit held anything back. Whether the right clients are touched, the examples tell.</p></div>\n"
        } else {
            " No limit held anything back, and few polls failed. Whether the right clients are touched, the examples tell.</p></div>\n"
        });
    } else {
        page.raw("<div class=\"notice\"><h3>Look at this first</h3>\n<ul>\n");
        for point in &attention {
            page.raw("<li>").sentence(point).raw("</li>\n");
        }
        page.raw("</ul></div>\n");
    }
    tiles(page, report);
    page.raw("</section>\n");
}

fn tiles(page: &mut Markup, report: &Report) {
    let replayed = &report.replayed;
    page.raw("<dl class=\"tiles\">\n");
    tile(
        page,
        ["Client sessions seen", "sessions"],
        (replayed.sessions, &words::number(replayed.sessions)),
        &format!(
            "from {}, at most {} at once",
            words::counted(replayed.addresses, "public address", "public addresses"),
            words::number(replayed.sessions_peak)
        ),
    );
    if let Some(against) = &report.against {
        side_tiles(
            page,
            &report.decided,
            ["Sessions A touches", "touched"],
            ["Acts of A", "acts"],
        );
        let ids = ["against-touched", "against-acts"];
        side_tiles(
            page,
            against,
            ["Sessions B touches", ids[0]],
            ["Acts of B", ids[1]],
        );
    } else {
        side_tiles(
            page,
            &report.decided,
            ["Sessions touched", "touched"],
            ["Acts", "acts"],
        );
    }
    tile(
        page,
        ["Traffic seen", "bytes"],
        (replayed.bytes(), &words::bytes(replayed.bytes())),
        &format!(
            "{} received, {} sent",
            words::bytes(replayed.recv_bytes),
            words::bytes(replayed.sent_bytes)
        ),
    );
    page.raw("</dl>\n");
}

fn side_tiles(
    page: &mut Markup,
    decided: &Decided,
    touched: [&'static str; 2],
    acts: [&'static str; 2],
) {
    let totals = &decided.totals;
    let outcomes = &totals.outcomes;
    tile(
        page,
        touched,
        (totals.sessions, &words::number(totals.sessions)),
        &format!(
            "{} of all; {} disconnected, {} logged",
            words::share(totals.sessions_share),
            words::number(totals.disconnected_sessions),
            words::number(totals.logged_sessions)
        ),
    );
    tile(
        page,
        acts,
        (outcomes.acts(), &words::number(outcomes.acts())),
        &format!(
            "out of {}; {} held back",
            words::counted(outcomes.decisions, "decision", "decisions"),
            words::number(outcomes.suppressed)
        ),
    );
}

fn tile(page: &mut Markup, [what, id]: [&'static str; 2], (value, shown): (u64, &str), note: &str) {
    page.raw("<div><dt>")
        .raw(what)
        .raw("</dt><dd id=\"tile-")
        .raw(id)
        .raw("\">");
    page.figure(value, shown);
    page.raw("</dd><dd class=\"note\">")
        .text(note)
        .raw("</dd></div>\n");
}

fn over_time(page: &mut Markup, report: &Report) {
    page.raw("<section id=\"time\" aria-labelledby=\"time-title\">\n<h2 id=\"time-title\">Over time</h2>\n");
    if report.timeline.from_ms.is_empty() {
        page.raw("<p>There is nothing to draw.</p>\n</section>\n");
        return;
    }
    page.raw("<noscript><p>The charts are drawn by a script of this page, and scripts are switched off.</p></noscript>\n");
    page.raw("<div id=\"charts\"></div>\n</section>\n");
}

fn facts(page: &mut Markup, replayed: &Replayed) {
    page.raw("<section id=\"replayed\" aria-labelledby=\"replayed-title\">\n<h2 id=\"replayed-title\">What was replayed</h2>\n");
    page.raw("<dl class=\"facts\">\n");
    let mut fact = |what: &'static str, text: &str| {
        page.raw("<div><dt>")
            .raw(what)
            .raw("</dt><dd>")
            .text(text)
            .raw("</dd></div>\n");
    };
    if let (Some(from), Some(to)) = (replayed.from, replayed.to) {
        let span = words::span(to.since(from).as_secs_f64());
        fact(
            "Time",
            &format!("{} to {} UTC, {span}", time(from), time(to)),
        );
    }
    fact("Polls that succeeded", &words::number(replayed.polls));
    fact("Polls that failed", &missed(replayed));
    fact("Times without any poll", &gaps(replayed));
    let restarts = replayed.restarts_listed.iter().take(5).map(|at| time(at.0));
    let at = restarts.collect::<Vec<_>>().join(", ");
    let restarts = words::number(replayed.restarts);
    fact(
        "Restarts of the server",
        &if at.is_empty() {
            restarts
        } else {
            format!("{restarts}: {at}")
        },
    );
    let servers = servers(replayed);
    if !servers.is_empty() {
        fact("Server", &servers);
    }
    fact(
        "Client sessions",
        &format!(
            "{}, of them {} of private or unknown peers such as Tor",
            words::number(replayed.sessions),
            words::number(replayed.private_sessions)
        ),
    );
    fact(
        "Public addresses and subnets",
        &format!(
            "{} and {}",
            words::number(replayed.addresses),
            words::number(replayed.subnets)
        ),
    );
    if let Some(at) = replayed.sessions_peak_at {
        let peak = words::number(replayed.sessions_peak);
        fact(
            "Most sessions at once",
            &format!("{peak}, at {} UTC", time(at)),
        );
    }
    page.raw("</dl>\n</section>\n");
}

fn missed(replayed: &Replayed) -> String {
    let reason = |Missed { why, count }: &Missed| format!("{} {why}", words::number(*count));
    let reasons: Vec<_> = replayed.missed_because.iter().map(reason).collect();
    let missed = words::number(replayed.missed);
    if reasons.is_empty() {
        missed
    } else {
        format!("{missed}: {}", reasons.join("; "))
    }
}

fn gaps(replayed: &Replayed) -> String {
    let gaps = words::number(replayed.gaps);
    let Some(first) = replayed.gaps_listed.first() else {
        return gaps;
    };
    let (from, to) = (time(first.from), time(first.to));
    format!(
        "{gaps}, {} in all; the first from {from} to {to}",
        words::span(replayed.gaps_s)
    )
}

fn servers(replayed: &Replayed) -> String {
    let servers = replayed.servers.iter().map(|server| {
        let told = [&server.version, &server.coin].into_iter().flatten();
        told.map(String::as_str).collect::<Vec<_>>().join(", ")
    });
    let servers: Vec<_> = servers.filter(|server| !server.is_empty()).collect();
    servers.join("; then ")
}

/// UTC, to the second.
fn time(at: Timestamp) -> String {
    formatted(at, "%Y-%m-%d %H:%M:%S")
}

fn day(at: Timestamp) -> String {
    formatted(at, "%Y-%m-%d")
}

fn formatted(at: Timestamp, format: &str) -> String {
    DateTime::<Utc>::from_timestamp_millis(at.as_millis())
        .map_or_else(|| at.to_string(), |time| time.format(format).to_string())
}

const HOW_TO_READ: [&str; 3] = [
    "<section id=\"help\" aria-labelledby=\"help-title\">\n<h2 id=\"help-title\">How to read this</h2>\n<dl class=\"glossary\">\n",
    include_str!("glossary.html"),
    "</dl>\n</section>\n",
];
