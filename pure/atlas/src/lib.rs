//! The embedded data: places in the world, and round trips between some of them. Sources and licences stand in
//! `data/README.md`.

use rhumb_grid::config::Location;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A place for GPUs, or one that users live in.
#[derive(Debug, Clone, PartialEq)]
pub struct Spot {
    /// Unique among the places of its kind.
    pub name: String,
    /// The city, for people.
    pub city: String,
    /// ISO 3166-1 alpha-2 code.
    pub country: String,
    /// Where it lies.
    pub location: Location,
    /// People, for a city.
    pub population: f64,
}

/// A measured round trip between two regions.
#[derive(Debug, Clone, Deserialize)]
pub struct Measured {
    /// The region that asks.
    pub src: String,
    /// The region that answers.
    pub dst: String,
    /// The round trip, milliseconds.
    pub rtt_ms: f64,
}

#[derive(Deserialize)]
struct SiteRow {
    site: String,
    city: String,
    country: String,
    latitude: f64,
    longitude: f64,
}

#[derive(Deserialize)]
struct CityRow {
    name: String,
    country: String,
    latitude: f64,
    longitude: f64,
    population: f64,
}

fn rows<T: DeserializeOwned>(text: &str) -> Vec<T> {
    csv::Reader::from_reader(text.as_bytes())
        .deserialize()
        .collect::<Result<_, _>>()
        .expect("the embedded tables are whole")
}

fn sites(text: &str) -> Vec<Spot> {
    let spot = |s: SiteRow| Spot {
        name: s.site,
        city: s.city,
        country: s.country,
        location: Location { latitude: s.latitude, longitude: s.longitude },
        population: 0.0,
    };
    rows(text).into_iter().map(spot).collect()
}

/// 43 sites of one edge network.
pub fn akamai() -> Vec<Spot> {
    sites(include_str!("../data/akamai_sites.csv"))
}

/// 32 cloud regions, whose round trips are [`measured`].
pub fn aws() -> Vec<Spot> {
    sites(include_str!("../data/aws_regions.csv"))
}

/// The most populous cities, the largest first. Those that share a name are numbered.
pub fn cities() -> Vec<Spot> {
    let mut seen = std::collections::BTreeMap::new();
    let spot = |c: CityRow| {
        let count = seen.entry((c.name.clone(), c.country.clone())).or_insert(0);
        *count += 1;
        let slug: String =
            c.name.to_lowercase().chars().map(|ch| if ch.is_alphanumeric() { ch } else { '-' }).collect();
        let country = c.country.to_lowercase();
        let name = if *count == 1 { format!("{slug}-{country}") } else { format!("{slug}-{country}-{count}") };
        let location = Location { latitude: c.latitude, longitude: c.longitude };
        Spot { name, city: c.name, country: c.country, location, population: c.population }
    };
    rows(include_str!("../data/cities_4400.csv")).into_iter().map(spot).collect()
}

/// Measured round trips between the regions of [`aws`].
pub fn measured() -> Vec<Measured> {
    rows(include_str!("../data/aws_region_rtt.csv"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_data_are_whole_and_names_are_unique() {
        assert_eq!((akamai().len(), aws().len(), cities().len(), measured().len()), (43, 32, 4_400, 1_024));
        for spots in [akamai(), aws(), cities()] {
            let names: std::collections::BTreeSet<&str> = spots.iter().map(|s| s.name.as_str()).collect();
            assert_eq!(names.len(), spots.len());
        }
        assert!(cities().windows(2).all(|w| w[0].population >= w[1].population));
    }
}
