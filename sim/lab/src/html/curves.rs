//! How times are spread: which share of the answers took no longer.

use std::fmt::Write;

use super::labels::{CHARACTER, Named, place};
use super::scale::{FAR_LOG, Scale, beyond, extent, number, reach, time_unit};
use super::style::Router;
use super::svg::{Plot, area, course, line, picture, series, text};
use crate::plots::Plots;
use crate::report::Report;

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 350.0;
/// Places along the axis that tell their figures when pointed at.
const HITS: usize = 56;

/// Both curves.
pub(super) fn section(report: &Report, routers: &[Router]) -> String {
    let slo = Some(report.slo.ttft_ms).filter(|ms| ms.is_finite() && *ms > 0.0);
    let first = curve("ttft", "time to first token", routers, |p| &p.ttft_ms, slo);
    let last = curve("e2e", "time to last token", routers, |p| &p.e2e_ms, None);
    if first.is_empty() && last.is_empty() {
        return String::new();
    }
    format!(
        "<section>\n<h2>How long users wait</h2>\n<p class=\"note\">The further left and the steeper, the better; the few \
         slowest answers are at the top. Both axes count answers, not requests that were lost.</p>\n\
         <div class=\"pair\">\n{first}{last}</div>\n</section>\n"
    )
}

/// A time at 0, 1, … 100 %: the share of the answers that took no longer, %.
fn share_within(quantiles: &[f64], ms: f64) -> f64 {
    quantiles.iter().take_while(|q| **q <= ms).count().saturating_sub(1) as f64
}

fn curve(id: &str, what: &str, routers: &[Router], of: fn(&Plots) -> &Vec<f64>, slo: Option<f64>) -> String {
    let drawn: Vec<(&Router, &[f64])> = routers
        .iter()
        .filter_map(|r| Some((r, of(r.plots?).as_slice())))
        .filter(|(_, q)| q.len() == 101 && q.iter().all(|v| v.is_finite()))
        .collect();
    // The extreme hundredths would take most of the width.
    let positive = |v: &f64| *v > 0.0;
    let least = extent(drawn.iter().map(|(_, q)| q[1]).chain(slo).filter(positive));
    let longest = reach(drawn.iter().map(|(_, q)| q[99]).filter(positive), FAR_LOG);
    let (Some((from, _)), Some(longest)) = (least, longest) else { return String::new() };
    let to = longest.max(slo.unwrap_or(0.0));
    let (unit, unit_name) = time_unit(to);
    let plot = Plot {
        x: Scale::log((from / 1.05, to * 1.05), (48.0, WIDTH - 10.0)),
        y: Scale::linear((0.0, 100.0), (HEIGHT - 44.0, 30.0)),
    };
    let mut out = plot.frame(
        Some(&format!("{what}, {unit_name}, logarithmic")),
        "share of answers, %",
        &|v| number(v / unit),
        &number,
    );
    if let Some(x) = slo.and_then(|ms| plot.x.at(ms)) {
        out += &line("slo", (x, plot.y.start), (x, plot.y.end));
        let (class, x) = if x > WIDTH * 0.8 { ("slo end", x - 5.0) } else { ("slo start", x + 5.0) };
        out += &text(class, (x, plot.y.end - 8.0), "objective");
    }
    out += &hits(&plot, &drawn, (unit, unit_name));
    let lines: Vec<Vec<(f64, f64)>> = drawn
        .iter()
        .map(|(_, q)| q.iter().enumerate().filter_map(|(i, ms)| plot.at(*ms, i as f64)).collect())
        .collect();
    for ((router, _), points) in drawn.iter().zip(&lines).rev() {
        let path = format!("<path class=\"l\" d=\"{}\"/>", course(points.iter().copied().map(Some)));
        out += &series(&router.class, &path);
    }
    let named = drawn.iter().zip(lines).map(|((r, _), points)| Named {
        // At the ends, where all lines meet, a name says little.
        points: points.into_iter().filter(|p| (plot.y.clamped(84.0)..=plot.y.clamped(8.0)).contains(&p.1)).collect(),
        width: r.name.len() as f64 * CHARACTER,
        gap: 8.0,
        aside: Vec::new(),
    });
    let within = (plot.x.start + 2.0, plot.y.end + 2.0, plot.x.end, plot.y.start - 2.0);
    for ((router, _), at) in drawn.iter().zip(place(&named.collect::<Vec<_>>(), within)) {
        if let Some(at) = at {
            out += &series(&router.class, &text(&format!("name {}", at.anchor), (at.x, at.y), router.name));
        }
    }
    let tell = |(r, q): &(&Router, &[f64])| {
        format!("{}: median {} ms, 95 % within {} ms", r.name, number(q[50]), number(q[95]))
    };
    let describe = drawn.iter().map(tell).collect::<Vec<_>>().join("; ");
    let capital = what[..1].to_uppercase() + &what[1..];
    let svg = picture(id, (WIDTH, HEIGHT), &format!("Share of answers by {what}"), &describe, &out);
    let beyond = beyond(drawn.iter().map(|(r, q)| (r.name, q[99])), plot.x.to);
    super::figure(&svg, &format!("<b>{capital}.</b> Share of the answers that took no longer.{beyond}"))
}

/// Stripes that say, when pointed at, how far each router is.
fn hits(plot: &Plot, drawn: &[(&Router, &[f64])], (unit, unit_name): (f64, &str)) -> String {
    let step = (plot.x.end - plot.x.start) / HITS as f64;
    let stripe = |i: usize| {
        let ms = plot.x.share((i as f64 + 0.5) / HITS as f64);
        let mut told = format!("within {} {unit_name}", number(ms / unit));
        for (router, quantiles) in drawn {
            let _ = write!(told, "\n{}: {:.0} %", router.name, share_within(quantiles, ms));
        }
        let corner = (plot.x.start + i as f64 * step, plot.y.end);
        area("hit", corner, (step, plot.y.start - plot.y.end), Some(&told))
    };
    (0..HITS).map(stripe).collect()
}
