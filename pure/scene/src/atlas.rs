//! What the demo knows of the world: its sites with their prices, and of `rhumb_atlas` the cities and round trips that it needs.
//! Sources and licences stand in `data/README.md`.

use std::collections::BTreeMap;

use rhumb_atlas::Spot;
use rhumb_grid::config::{Location, Quantization};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::trace::{self, TraceRow};

/// A city that users live in.
#[derive(Debug, Clone)]
pub struct City {
    /// Where it lies.
    pub location: Location,
    /// People who live there.
    pub population: f64,
}

/// A site of the grid.
#[derive(Debug, Clone)]
pub struct SitePlan {
    /// Unique name.
    pub name: String,
    /// City, for people.
    pub city: String,
    /// ISO 3166-1 alpha-2 code.
    pub country: String,
    /// Where it lies.
    pub location: Location,
    /// Who owns it.
    pub operator: String,
    /// The region whose measured round trips stand for this place.
    pub region: String,
    /// Users enter here.
    pub entry: bool,
    /// GPU type.
    pub gpu: String,
    /// Engines of one GPU each.
    pub engines: u32,
    /// Number format of the weights.
    pub quantization: Quantization,
    /// Price of a GPU-hour, USD.
    pub gpu_hour_usd: f64,
    /// Price of the GPU that regions are compared by; `None` where it is not sold.
    pub reference_gpu_hour_usd: Option<f64>,
    /// Price of electricity, USD per kWh.
    pub energy_usd_per_kwh: f64,
    /// Carbon intensity of the grid, grams of CO2e per kWh.
    pub carbon_g_per_kwh: f64,
    /// Price of traffic leaving it, USD per GB.
    pub egress_usd_per_gb: f64,
    /// Power its GPUs must not exceed, kW.
    pub power_kw: f64,
}

/// Everything the demo knows of the world.
#[derive(Debug, Clone)]
pub struct Atlas {
    /// Its sites.
    pub sites: Vec<SitePlan>,
    /// Where users live.
    pub cities: Vec<City>,
    rtt_ms: BTreeMap<(String, String), f64>,
}

#[derive(Deserialize)]
struct SiteRow {
    name: String,
    city: String,
    country: String,
    latitude: f64,
    longitude: f64,
    operator: String,
    region: String,
    entry: String,
    gpu: String,
    engines: u32,
    quantization: Quantization,
    price_cloud: String,
    price_region: String,
    price_instance: String,
    reference_region: Option<String>,
    zone: String,
    power_kw: f64,
}

#[derive(Deserialize)]
struct PriceRow {
    cloud: String,
    region: String,
    instance: String,
    usd_per_gpu_hour: f64,
}

#[derive(Deserialize)]
struct ZoneRow {
    zone: String,
    energy_usd_per_kwh: f64,
    carbon_g_per_kwh: f64,
}

#[derive(Deserialize)]
struct EgressRow {
    region: String,
    usd_per_gb: f64,
}

/// So many of the most populous cities have users.
const CITIES: usize = 300;

/// Instance by whose price regions are compared: one L4.
const REFERENCE_INSTANCE: (&str, &str) = ("gcp", "g2-standard-4");

/// The embedded trace.
pub fn trace() -> Vec<TraceRow> {
    let text = include_bytes!("../data/azure_llm_2023_conv_sample.csv");
    trace::read(&text[..]).expect("the embedded trace is whole")
}

fn rows<T: DeserializeOwned>(text: &str) -> Vec<T> {
    csv::Reader::from_reader(text.as_bytes())
        .deserialize()
        .collect::<Result<_, _>>()
        .expect("the embedded tables are whole")
}

impl Atlas {
    /// Reads the embedded tables.
    pub fn embedded() -> Self {
        let prices: Vec<PriceRow> = rows(include_str!("../data/gpu_prices.csv"));
        let zones: Vec<ZoneRow> = rows(include_str!("../data/zones.csv"));
        let egress: Vec<EgressRow> = rows(include_str!("../data/egress.csv"));
        let sites = rows(include_str!("../data/sites.csv")).into_iter().map(|s| site(s, &prices, &zones, &egress));
        let city = |c: Spot| City { location: c.location, population: c.population };
        let cities = rhumb_atlas::cities().into_iter().take(CITIES).map(city);
        let rtt = rhumb_atlas::measured().into_iter().map(|r| ((r.src, r.dst), r.rtt_ms));
        Self { sites: sites.collect(), cities: cities.collect(), rtt_ms: rtt.collect() }
    }

    /// Measured round trip between two regions.
    pub fn rtt_ms(&self, from: &str, to: &str) -> f64 {
        *self.rtt_ms.get(&(from.to_owned(), to.to_owned())).expect("the matrix holds every pair of the sites' regions")
    }

    /// The sites that users enter at.
    pub fn entries(&self) -> Vec<&SitePlan> {
        self.sites.iter().filter(|s| s.entry).collect()
    }
}

fn site(s: SiteRow, prices: &[PriceRow], zones: &[ZoneRow], egress: &[EgressRow]) -> SitePlan {
    let price = |cloud: &str, region: &str, instance: &str| {
        let row = prices
            .iter()
            .find(|p| (p.cloud.as_str(), p.region.as_str(), p.instance.as_str()) == (cloud, region, instance));
        row.expect("the price table holds every instance of the sites").usd_per_gpu_hour
    };
    let zone = zones.iter().find(|z| z.zone == s.zone).expect("the zone table holds every zone of the sites");
    let egress =
        egress.iter().find(|e| e.region == s.region).expect("the egress table holds every region of the sites");
    SitePlan {
        gpu_hour_usd: price(&s.price_cloud, &s.price_region, &s.price_instance),
        reference_gpu_hour_usd: s
            .reference_region
            .filter(|r| !r.is_empty())
            .map(|r| price(REFERENCE_INSTANCE.0, &r, REFERENCE_INSTANCE.1)),
        name: s.name,
        city: s.city,
        country: s.country,
        location: Location { latitude: s.latitude, longitude: s.longitude },
        operator: s.operator,
        region: s.region,
        entry: s.entry == "yes",
        gpu: s.gpu,
        engines: s.engines,
        quantization: s.quantization,
        energy_usd_per_kwh: zone.energy_usd_per_kwh,
        carbon_g_per_kwh: zone.carbon_g_per_kwh,
        egress_usd_per_gb: egress.usd_per_gb,
        power_kw: s.power_kw,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_is_as_wide_as_promised() {
        let atlas = Atlas::embedded();
        assert!(atlas.sites.len() >= 8 && (4..=6).contains(&atlas.entries().len()));
        let operators: std::collections::BTreeSet<&str> = atlas.sites.iter().map(|s| s.operator.as_str()).collect();
        assert!(operators.len() >= 3);
        assert_eq!((atlas.cities.len(), trace().len()), (300, 3_000));
        for from in atlas.entries() {
            for to in &atlas.sites {
                assert!(atlas.rtt_ms(&from.region, &to.region) > 1.0);
            }
        }
    }
}
