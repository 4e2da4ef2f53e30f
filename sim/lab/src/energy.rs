//! Hourly prices of electricity and carbon intensities of 2024, of the zone nearest to each site.

use std::collections::BTreeMap;
use std::path::Path;

use rhumb_grid::config::Location;
use rhumb_grid::index::Grid;
use rhumb_world::Energy;

use crate::places::nearest;
use crate::problem::LabError;
use crate::scenario::Scenario;

/// Zones with a market price, by a point amid their load. A zone stands for the sites nearest to it: a simplification
/// where no zone of the site's own country is in the data.
const ZONES: [(&str, f64, f64); 19] = [
    ("AU-NSW", -33.9, 151.2),
    ("AU-VIC", -37.8, 145.0),
    ("BR-SP", -23.5, -46.6),
    ("CA-ON", 43.7, -79.4),
    ("CH", 47.4, 8.5),
    ("CL-SIC", -33.4, -70.7),
    ("DE-LU", 51.0, 9.0),
    ("ES", 40.4, -3.7),
    ("FR", 48.9, 2.4),
    ("IN-WE", 19.1, 72.9),
    ("JP-TK", 35.7, 139.7),
    ("KR", 37.6, 127.0),
    ("NL", 52.4, 4.9),
    ("SG", 1.3, 103.9),
    ("US-CAL-CISO", 36.0, -119.5),
    ("US-MIDA-PJM", 39.9, -77.0),
    ("US-NY-NYIS", 42.0, -74.5),
    ("US-TEX-ERCO", 31.0, -98.0),
    ("ZA", -26.2, 28.0),
];

/// Zones that have no carbon series, with a yearly mean of the data folder's sources, grams of CO2e per kWh.
const CARBON_MEANS: [(&str, f64); 4] = [("CH", 46.0), ("ES", 146.0), ("FR", 44.0), ("NL", 269.0)];

const HOURS: usize = 8_784;

/// Files of the data folder: prices, and carbon intensities.
pub(crate) const FILES: [&str; 2] =
    ["power/electricity_price_2024_hourly.csv.zst", "carbon/carbon_intensity_2024_hourly.csv.zst"];

/// For each site of a grid, what energy costs and emits by the hour, from the scenario's first hour on.
pub(crate) fn hourly(scenario: &Scenario, grid: &Grid, data: Option<&Path>) -> Result<Vec<Vec<Energy>>, LabError> {
    let zones: Vec<&'static str> = ZONES.iter().map(|z| z.0).collect();
    let mean_of = |zone: &str| CARBON_MEANS.iter().find(|(z, _)| *z == zone).map(|(_, mean)| *mean);
    let measured: Vec<&'static str> = zones.iter().copied().filter(|z| mean_of(z).is_none()).collect();
    let prices = rhumb_trace::hours(data, FILES[0], &zones)?;
    let carbon = rhumb_trace::hours(data, FILES[1], &measured)?;
    let at: Vec<Location> = ZONES.iter().map(|z| Location { latitude: z.1, longitude: z.2 }).collect();
    let start = scenario.energy.start_hour as usize;
    let site = |s: &rhumb_grid::config::Site| {
        let zone = ZONES[nearest(&at, Location { latitude: s.latitude, longitude: s.longitude })].0;
        let hour = |h: usize| {
            let h = (start + h) % HOURS;
            let of = |series: &BTreeMap<&str, Vec<f64>>| series.get(zone).and_then(|s| s.get(h)).copied();
            // Prices below zero happen; a bill has no negative lines, so they count as free.
            let usd_per_mwh = of(&prices).unwrap_or(scenario.energy.usd_per_kwh * 1e3);
            let carbon_g_per_kwh = mean_of(zone).or_else(|| of(&carbon));
            Energy {
                usd_per_kwh: usd_per_mwh.max(0.0) / 1e3,
                carbon_g_per_kwh: carbon_g_per_kwh.unwrap_or(scenario.energy.carbon_g_per_kwh).max(0.0),
            }
        };
        (0..HOURS).map(hour).collect()
    };
    Ok(grid.config.sites.iter().map(site).collect())
}
