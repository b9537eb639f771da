//! The part of the page on two sets of policies: whom only one of them touches.

use super::markup::Markup;
use super::{time, words};
use crate::report::{Comparison, Decided, Part, Parts};

/// Of each part so many are listed; the JSON has more.
const LISTED_MAX: usize = 30;

pub(super) fn section(page: &mut Markup, comparison: &Comparison, a: &Decided, b: &Decided) {
    page.raw("<section id=\"compared\" aria-labelledby=\"compared-title\">\n<h2 id=\"compared-title\">Whom each set touches</h2>\n");
    page.raw("<p><i class=\"dot a\"></i>A is <b>")
        .text(&a.label)
        .raw("</b>, <i class=\"dot b\"></i>B is <b>");
    page.text(&b.label)
        .raw("</b>. Touched means disconnected or logged, or that it would have been.</p>\n");
    page.raw("<div class=\"parts\" id=\"parts\">\n");
    let kinds = [
        ("Sessions", "sessions", &comparison.sessions),
        ("Addresses", "addresses", &comparison.addresses),
        ("Subnets", "subnets", &comparison.subnets),
    ];
    for (what, id, parts) in kinds {
        kind(page, what, id, parts);
    }
    page.raw("</div>\n<p class=\"note\">Traffic is what they moved after the first decision about them, as a part of all traffic seen.</p>\n");
    for (what, _, parts) in kinds {
        examples(page, what, parts);
    }
    pairs(page, comparison);
    page.raw("</section>\n");
}

/// The parts, with their names and colours.
fn named(parts: &Parts) -> [(&'static str, &'static str, &Part); 3] {
    [
        ("A only", "a", &parts.only_decided),
        ("Both", "both", &parts.both),
        ("B only", "b", &parts.only_against),
    ]
}

fn kind(page: &mut Markup, what: &'static str, id: &'static str, parts: &Parts) {
    page.raw("<div data-parts=\"")
        .raw(id)
        .raw("\"><h3>")
        .raw(what)
        .raw("</h3>\n");
    bar(page, parts);
    page.raw("<dl>\n");
    for (name, class, part) in named(parts) {
        page.raw("<div class=\"")
            .raw(class)
            .raw("\"><dt><i class=\"dot ")
            .raw(class)
            .raw("\"></i>")
            .raw(name);
        page.raw("</dt><dd>")
            .figure(part.count, &words::number(part.count))
            .raw("</dd><dd class=\"note\">");
        page.figure(part.traffic_bytes, &words::bytes(part.traffic_bytes))
            .raw(", ");
        page.text(words::share(part.traffic_share))
            .raw(" of all traffic</dd></div>\n");
    }
    page.raw("</dl></div>\n");
}

/// What is touched as a bar of three parts; each of those that are there can be seen.
fn bar(page: &mut Markup, parts: &Parts) {
    const WIDTH: f64 = 600.0;
    const LEAST: f64 = 4.0;
    let counts = named(parts).map(|(_, _, part)| part.count);
    let sum: u64 = counts.iter().sum();
    page.raw("<svg class=\"bar\" viewBox=\"0 0 600 18\" preserveAspectRatio=\"none\" aria-hidden=\"true\">");
    let present = counts.iter().filter(|&&count| count > 0).count() as f64;
    let mut x = 0.0;
    for ((_, class, part), count) in named(parts).into_iter().zip(counts) {
        if count == 0 {
            continue;
        }
        let width = LEAST + (WIDTH - LEAST * present) * part.count as f64 / sum as f64;
        page.raw("<rect class=\"")
            .raw(class)
            .raw("\" x=\"")
            .number(x)
            .raw("\" y=\"0\" height=\"18\" width=\"");
        page.number(width).raw("\"/>");
        x += width;
    }
    page.raw("</svg>\n");
}

fn examples(page: &mut Markup, what: &'static str, parts: &Parts) {
    if named(parts)
        .iter()
        .all(|(_, _, part)| part.members.is_empty())
    {
        return;
    }
    page.raw("<details><summary><b>")
        .raw(what)
        .raw("</b> <span>who they are, those with most traffic first</span></summary>\n<div class=\"inside three\">\n");
    for (name, class, part) in named(parts) {
        page.raw("<div><h4><i class=\"dot ")
            .raw(class)
            .raw("\"></i>")
            .raw(name)
            .raw("</h4>\n");
        if part.members.is_empty() {
            page.raw("<p class=\"note\">None.</p></div>\n");
            continue;
        }
        page.raw("<ul class=\"who\">\n");
        for example in part.members.iter().take(LISTED_MAX) {
            page.raw("<li><b>").text(&example.target).raw("</b>");
            if let Some(client) = &example.client {
                page.raw(" <q>").text(client).raw("</q>");
            }
            page.raw("<small>")
                .text(words::bytes(example.traffic_bytes))
                .raw(" of traffic after <em>");
            page.text(&example.policy)
                .raw("</em> at ")
                .text(time(example.at))
                .raw("</small></li>\n");
        }
        page.raw("</ul>");
        let more = part.count.saturating_sub(LISTED_MAX as u64);
        if more > 0 {
            page.raw("<p class=\"note\">and ")
                .text(words::number(more))
                .raw(" more</p>");
        }
        page.raw("</div>\n");
    }
    page.raw("</div></details>\n");
}

fn pairs(page: &mut Markup, comparison: &Comparison) {
    let differ: Vec<_> = comparison
        .policies
        .iter()
        .filter(|pair| !pair.acts_alike())
        .collect();
    let alike = comparison.policies.len() - differ.len();
    page.raw("<h3>Policies that came out differently</h3>\n");
    if differ.is_empty() {
        page.raw("<p>None: every policy acts the same in both.</p>\n");
        return;
    }
    page.raw("<table class=\"pairs\">\n<thead><tr><th scope=\"col\">Policy</th>");
    for heading in ["Acts of A", "Acts of B", "Sessions of A", "Sessions of B"] {
        page.raw("<th scope=\"col\" class=\"n\">")
            .raw(heading)
            .raw("</th>");
    }
    page.raw("</tr></thead>\n<tbody>\n");
    for pair in differ {
        page.raw("<tr><th scope=\"row\">")
            .text(&pair.name)
            .raw("</th>");
        for (heading, side) in [("Acts of A", pair.decided), ("Acts of B", pair.against)] {
            cell(page, heading, side.map(|side| side.acts));
        }
        for (heading, side) in [
            ("Sessions of A", pair.decided),
            ("Sessions of B", pair.against),
        ] {
            cell(page, heading, side.map(|side| side.sessions));
        }
        page.raw("</tr>\n");
    }
    page.raw("</tbody></table>\n");
    if alike > 0 {
        let policies = words::counted(alike as u64, "policy acts", "policies act");
        page.raw("<p class=\"note\">")
            .text(policies)
            .raw(" the same in A and B.</p>\n");
    }
}

fn cell(page: &mut Markup, heading: &'static str, number: Option<u64>) {
    page.raw("<td class=\"n\" data-label=\"")
        .raw(heading)
        .raw("\">");
    match number {
        Some(number) => page.figure(number, &words::number(number)),
        None => page.raw("<span title=\"not in this set\">–</span>"),
    };
    page.raw("</td>");
}
