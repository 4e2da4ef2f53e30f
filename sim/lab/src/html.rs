//! A report as one self-contained page: inline SVG and CSS, and nothing that must be fetched or run to read it.
//!
//! The pictures are drawn here, not by a library: `plotters` bakes colours, sizes and fonts into its SVG, and a page that
//! follows a reader's light or dark setting, prints, hides a router, and can be read aloud needs classes, titles and
//! descriptions on what is drawn. `scale` and `svg` are all that takes; the other modules are one picture each.

mod cost;
mod curves;
mod head;
mod labels;
mod load;
mod map;
mod scale;
mod shares;
mod style;
mod svg;
mod timeline;

use crate::report::Report;
use style::{Router, routers};
use svg::escape;

impl Report {
    /// The report with pictures as one self-contained page.
    #[must_use]
    pub fn html(&self) -> String {
        page(self)
    }
}

/// The page. It is written as XML that is also HTML, so that a test can parse it.
fn page(report: &Report) -> String {
    let routers = routers(report);
    let body = [
        head::head(report),
        head::toggles(&routers),
        head::tiles(&routers),
        head::table(&routers),
        curves::section(report, &routers),
        cost::section(&routers),
        shares::section(&routers),
        timeline::section(report, &routers),
        load::section(report, &routers),
        map::section(report, &routers),
        footer(report),
    ]
    .concat();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"color-scheme\" content=\"light dark\"/>\n<title>{} · rhumb sim</title>\n\
         <style>\n{}{}</style>\n</head>\n<body>\n<main>\n{body}</main>\n\
         <div id=\"tip\" hidden=\"hidden\" aria-hidden=\"true\"></div>\n<script>\n{}</script>\n</body>\n</html>\n",
        escape(&report.scenario),
        include_str!("html/page.css"),
        toggle_rules(&routers),
        include_str!("html/page.js"),
    )
}

/// A router's box hides what is drawn of it, and pointing at its name dims the others: no script is needed.
fn toggle_rules(routers: &[Router]) -> String {
    let rule = |r: &Router| {
        let (class, box_id) = (&r.class, &r.box_id);
        format!(
            "body:has(#{box_id}:not(:checked)) .s.{class}{{display:none}}\n\
             body:has(label[for={box_id}]:hover) .s:not(.{class}){{opacity:.1}}\n"
        )
    };
    routers.iter().map(rule).collect()
}

fn footer(report: &Report) -> String {
    let command =
        if report.command.is_empty() { format!("rhumb sim {}", report.scenario) } else { report.command.clone() };
    format!(
        "<footer>\n<h2>See it again</h2>\n<pre><code>{}</code></pre>\n\
         <p>The same commit, seed and data give the same bytes.</p>\n\
         <p>A simulation is not a measurement: engines, networks and users are models here, and what they leave out, \
         a real grid does not.</p>\n</footer>\n",
        escape(&command)
    )
}

/// A picture with what it is called and what to look for in it.
fn figure(svg: &str, caption: &str) -> String {
    format!("<figure>\n{svg}<figcaption>{caption}</figcaption>\n</figure>\n")
}

#[cfg(test)]
#[path = "html/tests.rs"]
mod tests;
