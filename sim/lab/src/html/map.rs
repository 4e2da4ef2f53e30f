//! Who was served where. No coast is drawn: the cities of the world show where land is.

use std::fmt::Write;

use super::labels::{CHARACTER, Named, place};
use super::scale::{grouped, number};
use super::style::Router;
use super::svg::{area, escape, line, picture, text};
use crate::plots::{Plots, SiteDot};
use crate::report::Report;

const WIDTH: f64 = 1140.0;
/// Degrees north that are drawn: nobody lives beyond.
const NORTH: f64 = 72.0;
const SOUTH: f64 = -56.0;
const SCALE: f64 = WIDTH / 360.0;
const HEIGHT: f64 = (NORTH - SOUTH) * SCALE;
/// Sites whose names are written.
const NAMES: usize = 14;
/// Steps between faint and strong flows.
const STEPS: usize = 6;

/// Equirectangular: the same distance for every degree.
fn at(latitude: f64, longitude: f64) -> Option<(f64, f64)> {
    let on_earth = (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude);
    on_earth.then_some(((longitude + 180.0) * SCALE, (NORTH - latitude) * SCALE))
}

/// A map for each router, the first one open.
pub(super) fn section(report: &Report, routers: &[Router]) -> String {
    let drawn: Vec<(&Router, &Plots)> = routers
        .iter()
        .filter_map(|r| Some((r, r.plots?)))
        .filter(|(_, p)| p.sites.iter().any(|s| at(s.latitude, s.longitude).is_some()))
        .collect();
    let Some(((first, plots), others)) = drawn.split_first() else { return String::new() };
    let mut out = String::from("<section>\n<h2>Who is served where</h2>\n");
    out += &map(report, first, plots, 0);
    for (i, (router, plots)) in others.iter().enumerate() {
        let _ = write!(
            out,
            "<details class=\"{}\">\n<summary><i></i>the same for {}</summary>\n{}</details>\n",
            router.class,
            escape(router.name),
            map(report, router, plots, i + 1)
        );
    }
    out + "</section>\n"
}

fn map(report: &Report, router: &Router, plots: &Plots, index: usize) -> String {
    let mut out = String::new();
    if index == 0 {
        // Drawn once, and used by every map.
        let _ = writeln!(out, "<defs><g id=\"earth\">\n{}</g></defs>", earth(report));
    }
    out += "<use href=\"#earth\"/>\n";
    let _ = writeln!(out, "<g class=\"{}\">", router.class);
    out += &flows(report, plots);
    for (x, y) in plots.gateways.iter().filter_map(|(lat, lon)| at(*lat, *lon)) {
        out += &area("gateway", (x - 4.0, y - 4.0), (8.0, 8.0), Some("gateway"));
    }
    out += &sites(&plots.sites);
    out += "</g>\n";
    let answers: u64 = plots.sites.iter().map(|s| s.answers).sum();
    let at_work = plots.sites.iter().filter(|s| s.answers > 0).count();
    let share = |n: u64| 100.0 * n as f64 / (answers.max(1)) as f64;
    let mut largest: Vec<&SiteDot> = plots.sites.iter().filter(|s| s.answers > 0).collect();
    largest.sort_by_key(|s| std::cmp::Reverse(s.answers));
    let told: Vec<String> = largest.iter().take(5).map(|s| format!("{} {:.0} %", s.name, share(s.answers))).collect();
    let describe = format!("{at_work} of {} sites answered; the most: {}", plots.sites.len(), told.join(", "));
    let title = format!("Who was served where by {}", router.name);
    let svg = picture(&format!("map-{index}"), (WIDTH, HEIGHT.ceil()), &title, &describe, &out);
    let way = router.figure("network_ms.p50").map_or_else(String::new, |ms| {
        format!(" Half of the answers spent at most {} ms of their first token's time on the way.", number(ms))
    });
    let caption = format!(
        "<b>{}.</b> {at_work} of {} sites gave {} answers; the most: {}.{way} Circles: sites, by answers, hollow if none. \
         Squares: gateways. Lines: from users' cities to the sites that answered, stronger for more. Dots: cities, the darker \
         ones the users'. Seed {}.",
        escape(router.name),
        plots.sites.len(),
        grouped(answers as f64, 0),
        escape(&told.join(", ")),
        report.seed
    );
    super::figure(&svg, &caption)
}

/// The graticule and all cities, those of the users above.
fn earth(report: &Report) -> String {
    let mut out = String::new();
    for i in 0..=12 {
        let x = f64::from(i) * 30.0 * SCALE;
        out += &line("grid", (x, 0.0), (x, HEIGHT));
    }
    for latitude in [60.0, 30.0, 0.0, -30.0] {
        let y = (NORTH - latitude) * SCALE;
        let class = if latitude == 0.0 { "grid equator" } else { "grid" };
        out += &line(class, (0.0, y), (WIDTH, y));
        let name = if latitude == 0.0 { "equator".to_owned() } else { format!("{latitude:+.0}°").replace('+', "") };
        out += &text("graticule", (4.0, y - 3.0), &name);
    }
    let dots = |places: &mut dyn Iterator<Item = (f64, f64)>| {
        places.filter_map(|(lat, lon)| at(lat, lon)).fold(String::new(), |mut path, (x, y)| {
            let _ = write!(path, "M{x:.1} {y:.1}h0");
            path
        })
    };
    let all = dots(&mut rhumb_atlas::cities().iter().map(|c| (c.location.latitude, c.location.longitude)));
    let users = dots(&mut report.places.iter().copied());
    let _ = writeln!(out, "<path class=\"city\" d=\"{all}\"/>\n<path class=\"city user\" d=\"{users}\"/>");
    out
}

/// Lines from cities to sites, in a few strengths.
fn flows(report: &Report, plots: &Plots) -> String {
    let most = plots.flows.iter().map(|f| f.answers).max().unwrap_or(0).max(1) as f64;
    let mut strengths = vec![String::new(); STEPS];
    for flow in &plots.flows {
        let city = report.places.get(flow.place as usize).and_then(|(lat, lon)| at(*lat, *lon));
        let site = plots.sites.get(flow.site.at()).and_then(|s| at(s.latitude, s.longitude));
        let (Some(city), Some(site)) = (city, site) else { continue };
        let strength = (flow.answers as f64 / most).sqrt();
        let step = ((strength * STEPS as f64) as usize).min(STEPS - 1);
        for (from, to) in shorter_way(city, site) {
            strengths[step] += &arc(from, to);
        }
    }
    let path = |(i, d): (usize, &String)| format!("<path class=\"flow f{i}\" d=\"{d}\"/>\n");
    strengths.iter().enumerate().filter(|(_, d)| !d.is_empty()).map(path).collect()
}

/// The way from one point to another; where it is shorter across the edge of the map, both of its ends.
fn shorter_way(from: (f64, f64), to: (f64, f64)) -> Vec<((f64, f64), (f64, f64))> {
    let across = to.0 - from.0;
    if across.abs() <= WIDTH / 2.0 {
        return vec![(from, to)];
    }
    let shift = -WIDTH * across.signum();
    vec![(from, (to.0 + shift, to.1)), ((from.0 - shift, from.1), to)]
}

/// A slight arc, so that two ways between the same places are told apart.
fn arc((x1, y1): (f64, f64), (x2, y2): (f64, f64)) -> String {
    let (bend_x, bend_y) = ((y2 - y1) * 0.12, (x1 - x2) * 0.12);
    let (x, y) = ((x1 + x2) / 2.0 + bend_x, (y1 + y2) / 2.0 + bend_y);
    format!("M{x1:.0} {y1:.0}Q{x:.0} {y:.0} {x2:.0} {y2:.0}")
}

fn radius(answers: u64, most: f64) -> f64 {
    3.0 + 13.0 * (answers as f64 / most).sqrt()
}

fn sites(sites: &[SiteDot]) -> String {
    let most = sites.iter().map(|s| s.answers).max().unwrap_or(0).max(1) as f64;
    let mut placed: Vec<(&SiteDot, (f64, f64))> =
        sites.iter().filter_map(|s| Some((s, at(s.latitude, s.longitude)?))).collect();
    placed.sort_by_key(|(s, _)| std::cmp::Reverse(s.answers));
    let mut out = String::new();
    for (site, (x, y)) in &placed {
        let class = if site.answers > 0 { "site" } else { "site idle" };
        let told = format!("{}\n{} answers", site.name, grouped(site.answers as f64, 0));
        let r = radius(site.answers, most);
        let _ = writeln!(
            out,
            "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{r:.1}\"><title>{}</title></circle>",
            escape(&told)
        );
    }
    let named = |(i, (s, at)): (usize, &(&SiteDot, (f64, f64)))| Named {
        points: vec![*at],
        width: if i < NAMES { s.name.chars().count() as f64 * CHARACTER } else { f64::INFINITY },
        gap: radius(s.answers, most) + 4.0,
        aside: Vec::new(),
    };
    let named: Vec<Named> = placed.iter().enumerate().map(named).collect();
    for ((site, _), spot) in placed.iter().zip(place(&named, (2.0, 2.0, WIDTH - 2.0, HEIGHT - 2.0))) {
        if let Some(spot) = spot {
            out += &text(&format!("place {}", spot.anchor), (spot.x, spot.y), &site.name);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_lie_where_they_are_and_others_nowhere() {
        assert_eq!(at(NORTH, -180.0), Some((0.0, 0.0)));
        assert_eq!(at(0.0, 0.0), Some((WIDTH / 2.0, NORTH * SCALE)));
        assert_eq!(at(f64::NAN, 0.0), None);
    }

    #[test]
    fn the_way_over_the_pacific_leaves_the_map() {
        let (tokyo, seattle) = (at(35.7, 139.7).unwrap(), at(47.6, -122.3).unwrap());
        let ways = shorter_way(tokyo, seattle);
        assert_eq!(ways.len(), 2);
        assert!(ways[0].1.0 > WIDTH && ways[1].0.0 < 0.0);
        assert_eq!(shorter_way((0.0, 0.0), (10.0, 0.0)).len(), 1);
    }
}
