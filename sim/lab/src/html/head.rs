//! The head of the page: what ran, whether it passed, and the figures as a table.

use super::scale::{grouped, number};
use super::style::Router;
use super::svg::escape;
use crate::report::Report;
use crate::terminal::COLUMNS;

/// What ran and whether it passed.
pub(super) fn head(report: &Report) -> String {
    let last = report.seed.wrapping_add(report.seeds.saturating_sub(1));
    let seeds = if report.seeds > 1 {
        format!("seeds {} to {last}, figures are means ± 95 % confidence", report.seed)
    } else {
        format!("seed {}", report.seed)
    };
    let badge = match (report.lines.is_empty(), report.pass) {
        (true, _) => "<span class=\"badge none\">nothing to pass</span>",
        (false, true) => "<span class=\"badge pass\">✓ pass</span>",
        (false, false) => "<span class=\"badge fail\">✗ FAIL</span>",
    };
    format!(
        "<header>\n<p class=\"kicker\">rhumb sim</p>\n<h1>{} {badge}</h1>\n<p class=\"about\">{}</p>\n\
         <p class=\"meta\">{seeds} · commit <code>{}</code> · all engines together can serve {} requests/s · \
         a good answer: first token within {} ms, then at most {} ms a token</p>\n{}</header>\n",
        escape(&report.scenario),
        escape(&report.about),
        escape(&report.commit),
        number(report.capacity_rps),
        number(report.slo.ttft_ms),
        number(report.slo.tpot_ms),
        lines(report)
    )
}

fn lines(report: &Report) -> String {
    if report.lines.is_empty() {
        return String::new();
    }
    let row = |l: &crate::report::Line| {
        let (class, verdict) = if l.pass { ("pass", "✓ pass") } else { ("fail", "✗ FAIL") };
        let got = l.got.map_or_else(|| "nothing".to_owned(), number);
        format!(
            "<tr><td class=\"{class}\">{verdict}</td><td>{}</td><td class=\"n\">{got}</td><td>{}</td></tr>\n",
            escape(&l.line),
            escape(&l.want)
        )
    };
    format!(
        "<table class=\"lines\">\n<thead><tr><th>verdict</th><th>figure</th><th class=\"n\">got</th>\
         <th>wanted</th></tr></thead>\n<tbody>\n{}</tbody>\n</table>\n",
        report.lines.iter().map(row).collect::<String>()
    )
}

/// Which line is whose, with boxes that hide routers.
pub(super) fn toggles(routers: &[Router]) -> String {
    let one = |r: &Router| {
        format!(
            "<span class=\"{}\"><input type=\"checkbox\" id=\"{id}\" checked=\"checked\" autocomplete=\"off\"/>\
             <label for=\"{id}\"><svg class=\"swatch\" viewBox=\"0 0 34 10\" aria-hidden=\"true\">\
             <path class=\"l\" d=\"M1 5H33\"/></svg>{}</label></span>\n",
            r.class,
            escape(r.name),
            id = r.box_id
        )
    };
    format!(
        "<form class=\"toggles\" aria-label=\"routers shown in the pictures\">\n{}</form>\n",
        routers.iter().map(one).collect::<String>()
    )
}

/// Name, path, digits, unit, and whether less of it is better.
const TILES: [(&str, &str, usize, &str, bool); 4] = [
    ("first token, 95th percentile", "ttft_ms.p95", 0, "ms", true),
    ("good answers", "goodput_rps", 1, "/s", false),
    ("lost requests", "lost", 0, "", true),
    ("price, as metered", "usd_per_mtok.metered", 4, "USD/Mtok", true),
];

/// The figures that matter most, of the first router and of the best of its baselines.
pub(super) fn tiles(routers: &[Router]) -> String {
    let Some((first, baselines)) = routers.split_first() else { return String::new() };
    let tile = |(name, path, digits, unit, less): &(&str, &str, usize, &str, bool)| {
        let Some(own) = first.figure(path) else { return String::new() };
        let ahead = |a: f64, b: f64| if *less { a < b } else { a > b };
        let others = baselines.iter().filter_map(|r| Some((r, r.figure(path)?)));
        let best = others.reduce(|best, next| if ahead(next.1, best.1) { next } else { best });
        let told = |v: f64| grouped(v, *digits);
        let baseline = best.map_or_else(String::new, |(baseline, value)| {
            let level = told(own) == told(value) || (own - value).abs() <= noise(first, baseline, path, value);
            let (class, word) = match (level, ahead(own, value)) {
                (true, _) => ("level", "level with"),
                (false, true) => ("ahead", "ahead of"),
                (false, false) => ("behind", "behind"),
            };
            format!("<p class=\"{class}\">{word} {}: {}</p>", escape(baseline.name), told(value))
        });
        format!(
            "<div class=\"tile\"><h3>{name}</h3><p class=\"big\">{} <small>{unit}</small></p>{baseline}</div>\n",
            told(own)
        )
    };
    format!(
        "<section aria-label=\"{name}, against the best of the others\">\n<h2>{name} <small>against the best of the others in \
         each figure; level: a difference within the confidence interval, or of 1 % with one seed</small></h2>\n<div class=\"tiles\">\n{}</div>\n</section>\n",
        TILES.iter().map(tile).collect::<String>(),
        name = escape(first.name)
    )
}

/// A difference that says nothing: what the confidence intervals leave open. One seed has none, and then it is a hundredth.
fn noise(first: &Router, baseline: &Router, path: &str, value: f64) -> f64 {
    match (first.half(path), baseline.half(path)) {
        (None, None) => value.abs() * LEVEL,
        (own, other) => own.unwrap_or(0.0) + other.unwrap_or(0.0),
    }
}

/// Share of a figure by which one seed tells nobody apart.
const LEVEL: f64 = 0.01;

/// The value of a column that is best, as text; `None` where no one is better than another.
fn best(path: &str, cells: &[Option<(f64, String)>]) -> Option<String> {
    let more = matches!(path, "goodput_rps" | "slo_attainment");
    if path == "requests" {
        return None;
    }
    let told: Vec<&(f64, String)> = cells.iter().flatten().collect();
    let best = told.iter().reduce(|a, b| if (b.0 > a.0) == more && b.0 != a.0 { b } else { a })?;
    told.iter().any(|c| c.1 != best.1).then(|| best.1.clone())
}

/// The figures of every router.
pub(super) fn table(routers: &[Router]) -> String {
    let mut columns: Vec<Vec<String>> = Vec::new();
    for (heading, path, digits) in &COLUMNS {
        let scale = if *heading == "SLO %" { 100.0 } else { 1.0 };
        let told = |r: &Router| r.figure(path).map(|v| (v * scale, grouped(v * scale, *digits)));
        let cells: Vec<Option<(f64, String)>> = routers.iter().map(told).collect();
        let best = best(path, &cells);
        let cell = |(router, cell): (&Router, &Option<(f64, String)>)| {
            let Some((_, text)) = cell else { return "<td class=\"n\">-</td>".to_owned() };
            let half = router.half(path).map_or_else(String::new, |half| {
                format!(" <span class=\"ci\">±{}</span>", grouped(half * scale, *digits))
            });
            let bold = best.as_ref() == Some(text);
            let (open, close) = if bold { ("<b>", "</b>") } else { ("", "") };
            format!("<td class=\"n\">{open}{text}{close}{half}</td>")
        };
        columns.push(routers.iter().zip(&cells).map(cell).collect());
    }
    let headings: String = COLUMNS.iter().map(|(h, ..)| format!("<th class=\"n\" scope=\"col\">{h}</th>")).collect();
    let row = |(i, r): (usize, &Router)| {
        let cells: String = columns.iter().filter_map(|c| c.get(i)).map(String::as_str).collect();
        format!("<tr class=\"{}\"><th scope=\"row\"><i></i>{}</th>{cells}</tr>\n", r.class, escape(r.name))
    };
    format!(
        "<section>\n<h2>The figures</h2>\n<div class=\"wide\"><table class=\"figures\">\n<thead><tr>\
         <th scope=\"col\">router</th>{headings}</tr></thead>\n<tbody>\n{}</tbody>\n</table></div>\n\
         <p class=\"note\">Bold: the best of a column. TTFT: time to first token, E2E: time to the last one, both as users \
         see them, in ms. USD/Mtok metered: at list prices, for what was used; provisioned: all GPU-hours, used or not.</p>\n</section>\n",
        routers.iter().enumerate().map(row).collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_is_told_apart_only_if_something_is_worse() {
        let cells = |values: &[f64]| -> Vec<Option<(f64, String)>> {
            values.iter().map(|v| Some((*v, format!("{v:.0}")))).chain([None]).collect()
        };
        assert_eq!(best("lost", &cells(&[3.0, 1.0, 2.0])), Some("1".into()));
        assert_eq!(best("goodput_rps", &cells(&[3.0, 1.0, 2.0])), Some("3".into()));
        assert_eq!(best("lost", &cells(&[1.0, 1.1])), None);
        assert_eq!(best("requests", &cells(&[1.0, 2.0])), None);
        assert_eq!(best("lost", &[None]), None);
    }
}
