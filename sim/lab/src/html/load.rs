//! Goodput over the load offered.

use super::scale::{Scale, extent, number};
use super::style::Router;
use super::svg::{Plot, apart, course, line, picture, series, text};
use crate::report::Report;

const WIDTH: f64 = 1140.0;
const HEIGHT: f64 = 380.0;

/// A line for each router, where the scenario asks for it.
pub(super) fn section(report: &Report, routers: &[Router]) -> String {
    let finite = |points: &Vec<(f64, f64)>| -> Vec<(f64, f64)> {
        let mut points: Vec<_> = points.iter().copied().filter(|p| p.0.is_finite() && p.1.is_finite()).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        points
    };
    let drawn: Vec<(&Router, Vec<(f64, f64)>)> = routers
        .iter()
        .filter_map(|r| Some((r, finite(report.load.get(r.name)?))))
        .filter(|(_, points)| !points.is_empty())
        .collect();
    let all = || drawn.iter().flat_map(|(_, points)| points);
    let (Some((low, high)), Some((_, most))) = (extent(all().map(|p| p.0 * 100.0)), extent(all().map(|p| p.1))) else {
        return String::new();
    };
    let plot = Plot {
        x: Scale::linear((low.min(0.0), high), (62.0, WIDTH - 130.0)),
        y: Scale::linear((0.0, most * 1.08), (HEIGHT - 46.0, 34.0)),
    };
    let mut out = plot.frame(Some("load offered, % of capacity"), "good answers a second", &number, &number);
    // What could be had if every request were answered well.
    let ideal = [(0.0, 0.0), (1.0, report.capacity_rps)];
    let reach = (plot.y.to / report.capacity_rps).min(plot.x.to / 100.0);
    if report.capacity_rps.is_finite() && report.capacity_rps > 0.0 {
        let end = (plot.x.clamped(reach * 100.0), plot.y.clamped(reach * ideal[1].1));
        out += &line("ideal", (plot.x.clamped(0.0), plot.y.clamped(0.0)), end);
    }
    let ends: Vec<f64> =
        drawn.iter().map(|(_, p)| p.last().map_or(plot.y.start, |last| plot.y.clamped(last.1) + 4.0)).collect();
    let ends = apart(&ends, 15.0, (plot.y.end, plot.y.start + 4.0));
    for ((router, points), y) in drawn.iter().zip(ends).rev() {
        let at = |p: &(f64, f64)| plot.at(p.0 * 100.0, p.1);
        let mut inside = format!("<path class=\"l\" d=\"{}\"/>", course(points.iter().map(at)));
        for (x, y) in points.iter().filter_map(at) {
            inside += &format!("<circle class=\"dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\"/>");
        }
        inside += &text("name start", (plot.x.end + 10.0, y), router.name);
        out += &series(&router.class, &inside);
    }
    let tell = |(r, p): &(&Router, Vec<(f64, f64)>)| {
        let points = p.iter().map(|(x, y)| format!("{} a second at {} %", number(*y), number(x * 100.0)));
        format!("{}: {}", r.name, points.collect::<Vec<_>>().join(", "))
    };
    let describe = drawn.iter().map(tell).collect::<Vec<_>>().join("; ");
    let svg = picture("load", (WIDTH, HEIGHT), "Goodput over load", &describe, &out);
    let caption = "<b>Good answers a second over the load offered.</b> Dotted: every request answered well.";
    format!("<section>\n<h2>How much it carries</h2>\n{}</section>\n", super::figure(&svg, caption))
}
