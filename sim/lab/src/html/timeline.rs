//! The run over time: how long users waited, how many answers were good, what was lost, and what was broken then.

use std::fmt::Write;

use super::scale::{FAR, FAR_LOG, Scale, beyond, extent, grouped, number, reach, time_unit};
use super::style::Router;
use super::svg::{Plot, apart, area, course, line, picture, series, text};
use crate::plots::Stretch;
use crate::report::Report;

const WIDTH: f64 = 1140.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = WIDTH - 158.0;
/// Height of a fault's bar.
const LANE: f64 = 17.0;
/// Bars of faults at most.
const LANES: usize = 12;
/// Room above a panel for its heading, and below it.
const HEAD: f64 = 34.0;

struct Drawn<'a, 'b> {
    router: &'a Router<'b>,
    stretches: &'a [Stretch],
    /// Requests lost up to the end of each stretch.
    lost: Vec<f64>,
}

impl Drawn<'_, '_> {
    /// Requests lost in the whole run.
    fn all_lost(&self) -> f64 {
        self.lost.last().copied().unwrap_or(0.0)
    }
}

/// The waits that the axis shows, milliseconds.
fn wait_range(drawn: &[Drawn]) -> (f64, f64) {
    let waited = |d: &Drawn| extent(d.stretches.iter().map(|s| s.ttft_p95_ms).filter(|v| *v > 0.0));
    let least = extent(drawn.iter().filter_map(waited).map(|range| range.0));
    let longest = reach(drawn.iter().filter_map(waited).map(|range| range.1), FAR_LOG);
    least.map(|(least, _)| least).zip(longest).unwrap_or((1.0, 1.0))
}

/// A panel: its heading, its figures, and how the last of them is told.
struct Panel<'a> {
    heading: String,
    plot: Plot,
    of: &'a dyn Fn(&Drawn, usize) -> f64,
    ends: &'a dyn Fn(&Drawn) -> String,
    unit: f64,
}

/// The panels, one above the other on one axis of time.
pub(super) fn section(report: &Report, routers: &[Router]) -> String {
    let drawn: Vec<Drawn> = routers
        .iter()
        .filter_map(|router| Some((router, router.plots?.timeline.as_slice())))
        .filter(|(_, stretches)| stretches.len() > 1)
        .map(|(router, stretches)| {
            let sum = |sum: &mut u64, s: &Stretch| {
                *sum += s.lost;
                Some(*sum as f64)
            };
            Drawn { router, stretches, lost: stretches.iter().scan(0, sum).collect() }
        })
        .collect();
    let last = drawn.iter().flat_map(|d| d.stretches.last().map(|s| s.from_s + length_s(d.stretches)));
    let Some((_, until_s)) = extent(last).filter(|(_, until)| *until > 0.0) else { return String::new() };
    let time = Scale::linear((0.0, until_s), (LEFT, RIGHT));
    let waits = |d: &Drawn, i: usize| d.stretches[i].ttft_p95_ms;
    let wait_range = wait_range(&drawn);
    let most_good = drawn.iter().flat_map(|d| d.stretches.iter().map(|s| s.goodput_rps)).fold(0.0, f64::max);
    let most_lost = reach(drawn.iter().map(Drawn::all_lost), FAR).unwrap_or(0.0);
    let (unit, unit_name) = time_unit(wait_range.1);

    let (mut out, mut y) = faults(report, &time, until_s);
    let top = y;
    let panel_at = |y: f64, height: f64| (y + HEAD + height, y + HEAD);
    let nameless = |d: &Drawn| d.router.name.to_owned();
    let told_lost = |d: &Drawn| format!("{} {}", d.router.name, grouped(d.all_lost(), 0));
    let mut panels = vec![
        Panel {
            heading: format!("time to first token, 95th percentile, {unit_name}, logarithmic"),
            plot: Plot { x: time, y: Scale::log((wait_range.0 / 1.1, wait_range.1 * 1.1), panel_at(y, 200.0)) },
            of: &waits,
            ends: &nameless,
            unit,
        },
        Panel {
            heading: "good answers a second".to_owned(),
            plot: Plot { x: time, y: Scale::linear((0.0, most_good.max(1e-9) * 1.05), panel_at(y + 236.0, 130.0)) },
            of: &|d, i| d.stretches[i].goodput_rps,
            ends: &nameless,
            unit: 1.0,
        },
    ];
    y += 236.0 + 166.0;
    if most_lost > 0.0 {
        panels.push(Panel {
            heading: "requests lost so far".to_owned(),
            plot: Plot { x: time, y: Scale::linear((0.0, most_lost * 1.05), panel_at(y, 130.0)) },
            of: &|d, i| d.lost[i],
            ends: &told_lost,
            unit: 1.0,
        });
        y += 166.0;
    }
    out += &bands(report, &time, until_s, (top + HEAD, y));
    let count = panels.len();
    for (i, panel) in panels.iter().enumerate() {
        out += &draw(panel, &drawn, i + 1 == count, report.slo.ttft_ms);
    }
    out += &hits(&drawn, &time, (top + HEAD, y), (unit, unit_name));
    let svg = picture("timeline", (WIDTH, y + 44.0), "The run over time", &describe(report, &drawn), &out);
    let lost = match drawn.iter().any(|d| d.all_lost() > 0.0) {
        true => beyond(drawn.iter().map(|d| (d.router.name, d.all_lost())), most_lost * 1.05),
        false => " No router lost a request.".to_owned(),
    };
    let shaded = if report.faults.is_empty() { "" } else { " Shaded: while something is broken." };
    let caption = format!(
        "<b>The run over time,</b> by when requests were sent, in {} equal stretches; the run on seed {}.{shaded}{lost}",
        drawn.first().map_or(0, |d| d.stretches.len()),
        report.seed
    );
    format!("<section>\n<h2>What happens when</h2>\n{}</section>\n", super::figure(&svg, &caption))
}

fn length_s(stretches: &[Stretch]) -> f64 {
    stretches.get(1).map_or(0.0, |s| s.from_s)
}

/// The part of a fault that the run shows.
fn shown(from_s: f64, to_s: f64, until_s: f64) -> Option<(f64, f64)> {
    let to_s = if to_s.is_nan() { until_s } else { to_s.min(until_s) };
    (from_s.is_finite() && from_s < to_s).then_some((from_s.max(0.0), to_s))
}

/// A bar with a name for each fault, those that overlap below one another; and where they end.
fn faults(report: &Report, time: &Scale, until_s: f64) -> (String, f64) {
    let (mut out, mut ends, mut left_out) = (String::new(), Vec::<f64>::new(), 0);
    for (from_s, to_s, name) in &report.faults {
        let Some((from_s, to_s)) = shown(*from_s, *to_s, until_s) else { continue };
        let (x, end) = (time.clamped(from_s), time.clamped(to_s));
        let width = name.chars().count() as f64 * super::labels::CHARACTER + 12.0;
        // A name that finds no room to the right of its bar's begin ends there.
        let (class, text_x) = if x + width > WIDTH { ("fault end", x - 5.0) } else { ("fault start", x + 5.0) };
        let begin = if class == "fault end" { x - width } else { x };
        let lane = ends.iter().position(|end| *end < begin).unwrap_or(ends.len());
        if lane >= LANES {
            left_out += 1;
            continue;
        }
        let taken = end.max(begin + width) + 4.0;
        if lane == ends.len() {
            ends.push(taken);
        } else {
            ends[lane] = taken;
        }
        let y = 4.0 + LANE * lane as f64;
        let told = format!("{name}\n{} s to {} s", number(from_s), number(to_s));
        out += &area("bar", (x, y), ((end - x).max(2.0), LANE - 3.0), Some(&told));
        out += &text(class, (text_x, y + 11.0), name);
    }
    let mut y = 4.0 + LANE * ends.len() as f64;
    if left_out > 0 {
        out += &text("fault start", (LEFT, y + 11.0), &format!("and {left_out} faults more"));
        y += LANE;
    }
    (out, y)
}

fn bands(report: &Report, time: &Scale, until_s: f64, (top, foot): (f64, f64)) -> String {
    let band = |(from_s, to_s): (f64, f64)| {
        let (x, end) = (time.clamped(from_s), time.clamped(to_s));
        area("band", (x, top), (end - x, foot - top), None)
    };
    report.faults.iter().take(60).filter_map(|(from, to, _)| shown(*from, *to, until_s)).map(band).collect()
}

fn draw(panel: &Panel, drawn: &[Drawn], last: bool, slo_ms: f64) -> String {
    let Panel { heading, plot, of, ends, unit } = panel;
    let mut out =
        plot.frame(last.then_some("seconds since the traffic began"), heading, &number, &|v| number(v / unit));
    if heading.starts_with("time")
        && let Some(y) = plot.y.at(slo_ms)
    {
        out += &line("slo", (plot.x.start, y), (plot.x.end, y));
        out += &text("slo start", (plot.x.start + 4.0, y - 4.0), "objective");
    }
    let middle = |s: &Stretch, d: &Drawn| s.from_s + length_s(d.stretches) / 2.0;
    let paths: Vec<Vec<Option<(f64, f64)>>> = drawn
        .iter()
        .map(|d| d.stretches.iter().enumerate().map(|(i, s)| plot.at(middle(s, d), of(d, i))).collect())
        .collect();
    let end_of = |p: &Vec<Option<(f64, f64)>>| p.iter().rev().flatten().next().map_or(plot.y.start, |p| p.1) + 4.0;
    let wanted: Vec<f64> = paths.iter().map(end_of).collect();
    let placed = apart(&wanted, 15.0, (plot.y.end, plot.y.start + 4.0));
    for ((d, path), y) in drawn.iter().zip(paths).zip(placed).rev() {
        let line = format!("<path class=\"l thin\" d=\"{}\"/>", course(path));
        out += &series(&d.router.class, &(line + &text("name start", (plot.x.end + 8.0, y), &ends(d))));
    }
    out
}

/// Stripes that say, when pointed at, how each router did then.
fn hits(drawn: &[Drawn], time: &Scale, (top, foot): (f64, f64), (unit, unit_name): (f64, &str)) -> String {
    let Some(first) = drawn.first() else { return String::new() };
    let length = length_s(first.stretches);
    let stripe = |(i, at): (usize, &Stretch)| {
        let mut told = format!("{} s to {} s", number(at.from_s), number(at.from_s + length));
        for d in drawn {
            let Some(s) = d.stretches.get(i) else { continue };
            let wait = if s.ttft_p95_ms.is_finite() {
                format!("p95 {} {unit_name}", number(s.ttft_p95_ms / unit))
            } else {
                "no answer".to_owned()
            };
            let _ = write!(
                told,
                "\n{}: {wait}, {} good/s, {} of {} lost",
                d.router.name,
                number(s.goodput_rps),
                s.lost,
                s.requests
            );
        }
        let (x, end) = (time.clamped(at.from_s), time.clamped(at.from_s + length));
        area("hit", (x, top), (end - x, foot - top), Some(&told))
    };
    first.stretches.iter().enumerate().map(stripe).collect()
}

fn describe(report: &Report, drawn: &[Drawn]) -> String {
    let worst = |d: &Drawn| {
        let worst = d.stretches.iter().filter(|s| s.ttft_p95_ms.is_finite());
        let worst = worst.max_by(|a, b| a.ttft_p95_ms.total_cmp(&b.ttft_p95_ms));
        let lost = d.lost.last().copied().unwrap_or(0.0);
        worst.map(|s| {
            let (ms, at) = (number(s.ttft_p95_ms), number(s.from_s));
            format!("{}: at worst {ms} ms, from second {at}; {lost:.0} lost", d.router.name)
        })
    };
    let routers = drawn.iter().filter_map(worst).collect::<Vec<_>>().join(". ");
    let names: Vec<&str> = report.faults.iter().take(LANES).map(|f| f.2.as_str()).collect();
    if names.is_empty() { routers } else { format!("{routers}. Faults: {}", names.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_shown_as_far_as_the_run_goes() {
        assert_eq!(shown(10.0, f64::INFINITY, 60.0), Some((10.0, 60.0)));
        assert_eq!(shown(10.0, 20.0, 60.0), Some((10.0, 20.0)));
        assert_eq!(shown(70.0, 90.0, 60.0), None);
        assert_eq!(shown(f64::NAN, 90.0, 60.0), None);
    }
}
