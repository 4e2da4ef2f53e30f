//! Price against speed: one dot for each router.

use super::labels::{CHARACTER, Named, place};
use super::scale::{FAR, FAR_LOG, Scale, beyond, extent, number, reach, time_unit};
use super::style::Router;
use super::svg::{Plot, escape, line, picture, series, text};

const WIDTH: f64 = 1140.0;
const HEIGHT: f64 = 400.0;

struct Dot<'a, 'b> {
    router: &'a Router<'b>,
    ms: f64,
    usd: f64,
}

/// The scatter of price over the 95th percentile of the time to first token.
pub(super) fn section(routers: &[Router]) -> String {
    let dots: Vec<Dot> = routers
        .iter()
        .filter_map(|router| {
            let (ms, usd) = (router.figure("ttft_ms.p95")?, router.figure("usd_per_mtok.metered")?);
            (ms > 0.0).then_some(Dot { router, ms, usd })
        })
        .collect();
    let half = |d: &Dot, path: &str| d.router.half(path).unwrap_or(0.0);
    let ends = |of: fn(&Dot) -> f64, path: &str, far: f64| {
        let least = dots.iter().map(|d| (of(d) - half(d, path)).max(of(d) * 0.5));
        Some((extent(least)?.0, reach(dots.iter().map(|d| of(d) + half(d, path)), far)?))
    };
    let (Some((fast, slow)), Some((cheap, dear))) =
        (ends(|d| d.ms, "ttft_ms.p95", FAR_LOG), ends(|d| d.usd, "usd_per_mtok.metered", FAR))
    else {
        return String::new();
    };
    let (unit, unit_name) = time_unit(slow);
    let room = ((dear - cheap) * 0.15).max(dear.abs() * 0.02);
    let plot = Plot {
        x: Scale::log((fast / 1.12, slow * 1.12), (62.0, WIDTH - 16.0)),
        y: Scale::linear(((cheap - room).max(0.0), dear + room), (HEIGHT - 46.0, 34.0)),
    };
    let along = format!("time to first token, 95th percentile, {unit_name}, logarithmic");
    let mut out = plot.frame(Some(&along), "price as metered, USD/Mtok", &|v| number(v / unit), &number);
    out += &better(&plot);
    out += &marks(&plot, &dots);
    let tell = |d: &Dot| format!("{}: {} ms, {} USD/Mtok", d.router.name, number(d.ms), number(d.usd));
    let describe = dots.iter().map(tell).collect::<Vec<_>>().join("; ");
    let svg = picture("cost", (WIDTH, HEIGHT), "Price against time to first token", &describe, &out);
    let slow = beyond(dots.iter().map(|d| (d.router.name, d.ms)), plot.x.to);
    let dear = beyond(dots.iter().map(|d| (d.router.name, d.usd)), plot.y.to);
    let caption = format!(
        "<b>Price against speed.</b> Down is cheaper, left is faster. The axes do not begin at nought; with several seeds \
         the crosses are 95 % confidence intervals.{slow}{dear}"
    );
    format!("<section>\n<h2>What speed costs</h2>\n{}</section>\n", super::figure(&svg, &caption))
}

/// An arrow towards the corner that is better. It stands above the axes, for in that corner the best router's dot is.
fn better(plot: &Plot) -> String {
    let words = "better: cheaper and faster";
    let (x, y) = (plot.x.end - words.len() as f64 * CHARACTER - 12.0, plot.y.end - 10.0);
    format!(
        "<path class=\"arrow\" d=\"M{x:.1} {:.1}l-12 12m0 -9v9h9\"/>\n{}",
        y - 10.0,
        text("hint end", (plot.x.end, y), words)
    )
}

fn marks(plot: &Plot, dots: &[Dot]) -> String {
    let mut out = String::new();
    let at = |d: &Dot| (plot.x.clamped(d.ms), plot.y.clamped(d.usd));
    for dot in dots.iter().rev() {
        let (x, y) = at(dot);
        let mut inside = String::new();
        if let Some(half) = dot.router.half("ttft_ms.p95") {
            inside += &line("whisker", (plot.x.clamped(dot.ms - half), y), (plot.x.clamped(dot.ms + half), y));
        }
        if let Some(half) = dot.router.half("usd_per_mtok.metered") {
            inside += &line("whisker", (x, plot.y.clamped(dot.usd - half)), (x, plot.y.clamped(dot.usd + half)));
        }
        let told = format!("{}\n{} ms\n{} USD/Mtok", dot.router.name, number(dot.ms), number(dot.usd));
        inside += &format!(
            "<circle class=\"dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"7\"><title>{}</title></circle>",
            escape(&told)
        );
        out += &series(&dot.router.class, &inside);
    }
    let named = dots.iter().map(|d| Named {
        points: vec![at(d)],
        width: d.router.name.len() as f64 * CHARACTER,
        gap: 12.0,
        aside: around(at(d)),
    });
    let named: Vec<Named> = named.collect();
    let within = (plot.x.start, plot.y.end - 14.0, plot.x.end + 10.0, plot.y.start);
    for (dot, place) in dots.iter().zip(place(&named, within)) {
        let Some(p) = place else { continue };
        let mut inside = String::new();
        if p.aside {
            inside += &line("leader", at(dot), (p.x, p.y - 4.0));
        }
        inside += &text(&format!("name {}", p.anchor), (p.x, p.y), dot.router.name);
        out += &series(&dot.router.class, &inside);
    }
    out
}

/// Ways off a dot.
const WAYS: [(f64, f64); 12] = [
    (1.0, -0.5),
    (1.0, 0.5),
    (0.5, -1.0),
    (0.5, 1.0),
    (1.0, -1.0),
    (1.0, 1.0),
    (0.0, -1.0),
    (0.0, 1.0),
    (-1.0, -0.5),
    (-1.0, 0.5),
    (-0.5, -1.0),
    (-0.5, 1.0),
];

/// Places for the name of a dot among others, from near to far.
fn around((x, y): (f64, f64)) -> Vec<(f64, f64)> {
    let away = |r: f64| WAYS.iter().map(move |(dx, dy)| (x + r * dx, y + r * dy));
    [30.0, 50.0, 75.0, 105.0].into_iter().flat_map(away).collect()
}
