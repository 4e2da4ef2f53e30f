//! What the time to first token is spent on.

use super::scale::{FAR, Scale, beyond, number, reach, time_unit};
use super::style::Router;
use super::svg::{area, line, picture, series, text};

const WIDTH: f64 = 1140.0;
const ROW: f64 = 34.0;
const TOP: f64 = 40.0;
/// Means, for they add up; medians do not.
const PARTS: [(&str, &str); 3] =
    [("network", "network_ms.mean"), ("queue", "queue_ms.mean"), ("prefill", "prefill_ms.mean")];

/// A bar for each router, of the mean time on the network, in the queue and for the prompt.
pub(super) fn section(routers: &[Router]) -> String {
    let parts = |r: &Router| PARTS.map(|(_, path)| r.figure(path).unwrap_or(0.0).max(0.0));
    let bars: Vec<(&Router, [f64; 3])> =
        routers.iter().map(|r| (r, parts(r))).filter(|(_, p)| p.iter().sum::<f64>() > 0.0).collect();
    let sums = || bars.iter().map(|(r, p)| (r.name, p.iter().sum::<f64>()));
    let Some(longest) = reach(sums().map(|(_, sum)| sum), FAR) else { return String::new() };
    let (unit, unit_name) = time_unit(longest);
    let scale = Scale::linear((0.0, longest * 1.02), (124.0, WIDTH - 90.0));
    let foot = TOP + ROW * bars.len() as f64;
    let mut out = String::from(
        "<defs><pattern id=\"wait\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" \
         patternTransform=\"rotate(45)\"><rect class=\"p-queue\" width=\"6\" height=\"6\"/>\
         <rect class=\"stripe\" width=\"2\" height=\"6\"/></pattern></defs>\n",
    );
    for tick in scale.ticks(8) {
        let x = scale.clamped(tick);
        out += &line("grid", (x, TOP - 4.0), (x, foot));
        out += &text("tick mid", (x, foot + 16.0), &number(tick / unit));
    }
    out += &key(scale.start);
    for (i, (router, parts)) in bars.iter().enumerate() {
        let y = TOP + ROW * i as f64 + 4.0;
        out += &series(&router.class, &bar(&scale, router, parts, y, (unit, unit_name)));
    }
    out += &text("heading end", (scale.end, foot + 34.0), &format!("mean time, {unit_name}"));
    let tell = |(r, [n, q, p]): &(&Router, [f64; 3])| {
        format!("{}: network {} ms, queue {} ms, prefill {} ms", r.name, number(*n), number(*q), number(*p))
    };
    let describe = bars.iter().map(tell).collect::<Vec<_>>().join("; ");
    let svg = picture("shares", (WIDTH, foot + 42.0), "What the time to first token is spent on", &describe, &out);
    let caption = format!(
        "<b>Mean time to first token by where it is spent:</b> on the way (lost attempts included), waiting for the engine, \
         and reading the prompt. Means, because they add up.{}",
        beyond(sums(), scale.to)
    );
    format!("<section>\n<h2>Where the time goes</h2>\n{}</section>\n", super::figure(&svg, &caption))
}

fn key(left: f64) -> String {
    let one = |(i, (name, _)): (usize, &(&str, &str))| {
        let x = left + 110.0 * i as f64;
        area(&format!("p-{name}-fill"), (x, 8.0), (18.0, 14.0), None) + &text("key", (x + 24.0, 19.5), name)
    };
    PARTS.iter().enumerate().map(one).collect()
}

fn bar(scale: &Scale, router: &Router, parts: &[f64; 3], y: f64, (unit, unit_name): (f64, &str)) -> String {
    let height = ROW - 10.0;
    let mut out = text("name end", (scale.start - 10.0, y + 16.5), router.name);
    let (mut from, middle) = (0.0, y + 16.5);
    for ((name, _), part) in PARTS.iter().zip(parts) {
        let (x, end) = (scale.clamped(from), scale.clamped(from + part));
        let told = format!("{}\n{name}: {} {unit_name}", router.name, number(part / unit));
        out += &area(&format!("p-{name}-fill part"), (x, y), (end - x, height), Some(&told));
        let figure = number(part / unit);
        if end - x > 12.0 + figure.len() as f64 * 8.0 {
            out += &text(&format!("inside mid on-{name}"), ((x + end) / 2.0, middle), &figure);
        }
        from += part;
    }
    let sum = number(from / unit);
    out + &text("total", (scale.clamped(from) + 8.0, middle), &format!("{sum} {unit_name}"))
}
