//! Where users live, which sites are taken, and where gateways stand.

use rhumb_grid::config::Location;
use rhumb_grid::geo::{distance_km, estimated_rtt_ms};
use rhumb_rng::{hash, label, unit};
use rhumb_world::Place;

use rhumb_atlas::Spot;

/// The users of a world: where those of each copy of a workload live.
#[derive(Debug, Clone)]
pub(crate) struct Users {
    /// By copy: cities, with the running sum of their people.
    homes: Vec<Vec<(u32, f64)>>,
    seed: u64,
}

impl Users {
    /// Users of so many copies. Where there are several, each copy's live in a part of the world of its own, from east to
    /// west: around a gateway, or several where there are more gateways than copies.
    pub(crate) fn new(cities: &[Spot], gateways: &[Location], copies: usize, seed: u64) -> Self {
        let seed = hash(seed, label("users"));
        let everywhere: Vec<u32> = (0..cities.len() as u32).collect();
        if copies < 2 || gateways.is_empty() {
            return Self { homes: vec![peopled(cities, &everywhere)], seed };
        }
        let mut from_east: Vec<usize> = (0..gateways.len()).collect();
        from_east.sort_by(|a, b| gateways[*b].longitude.total_cmp(&gateways[*a].longitude));
        let entered: Vec<usize> = cities.iter().map(|c| nearest(gateways, c.location)).collect();
        let home = |copy: usize| {
            let from = copy * gateways.len() / copies;
            let here = &from_east[from..((copy + 1) * gateways.len() / copies).max(from + 1)];
            let cities_here = everywhere.iter().copied().filter(|c| here.contains(&entered[*c as usize]));
            let cities_here: Vec<u32> = cities_here.collect();
            // It may be that no city is nearest to a gateway.
            peopled(cities, if cities_here.is_empty() { &everywhere } else { &cities_here })
        };
        Self { homes: (0..copies).map(home).collect(), seed }
    }

    /// The city that somebody lives in: the same each time for the same person.
    pub(crate) fn city(&self, person: u64, copy: u32) -> u32 {
        let home = &self.homes[copy as usize % self.homes.len()];
        let at = unit(hash(self.seed, person)) * home.last().map_or(0.0, |(_, sum)| *sum);
        let place = home.partition_point(|(_, sum)| *sum <= at).min(home.len().saturating_sub(1));
        home.get(place).map_or(0, |(city, _)| *city)
    }
}

/// Some cities with the running sum of their people.
fn peopled(cities: &[Spot], which: &[u32]) -> Vec<(u32, f64)> {
    let sums = which.iter().scan(0.0, |sum, city| {
        *sum += cities[*city as usize].population;
        Some((*city, *sum))
    });
    sums.collect()
}

/// A degree of latitude, rounded down, km.
const DEGREE_KM: f64 = 111.0;

/// Index of the nearest of some places, the first of equals.
pub(crate) fn nearest(places: &[Location], to: Location) -> usize {
    let (mut best, mut best_km) = (0, f64::INFINITY);
    for (i, place) in places.iter().enumerate() {
        // No way is shorter than from one latitude to the other, and most places fall away by that alone.
        if (place.latitude - to.latitude).abs() * DEGREE_KM > best_km {
            continue;
        }
        let km = distance_km(*place, to);
        if km < best_km {
            (best, best_km) = (i, km);
        }
    }
    best
}

/// Chooses `count` of the spots so that users are near to one: each next one is that which brings users most. At most
/// the spots nearest to some city are looked at.
pub(crate) fn near_users(spots: &[Location], cities: &[Spot], count: usize) -> Vec<usize> {
    let mut candidates: Vec<usize> = cities.iter().map(|c| nearest(spots, c.location)).collect();
    candidates.sort_unstable();
    candidates.dedup();
    // Where more are wanted than any city is nearest to, the others follow in their order.
    candidates.extend((0..spots.len()).filter(|i| candidates.binary_search(i).is_err()).collect::<Vec<_>>());
    let near = candidates.len().min(count.max(cities.len()));
    let km: Vec<Vec<f64>> = candidates[..near]
        .iter()
        .map(|i| cities.iter().map(|c| distance_km(spots[*i], c.location)).collect())
        .collect();
    let mut best_km = vec![f64::INFINITY; cities.len()];
    let mut chosen: Vec<usize> = Vec::new();
    while chosen.len() < count.min(near) {
        let cost = |c: usize| -> f64 {
            let legs = km[c].iter().zip(&best_km).zip(cities);
            legs.map(|((new, old), city)| new.min(*old) * city.population.max(1.0)).sum()
        };
        let left = (0..near).filter(|c| !chosen.contains(c)).map(|c| (cost(c), c));
        let Some((_, next)) = left.min_by(|a, b| a.0.total_cmp(&b.0)) else { break };
        best_km.iter_mut().zip(&km[next]).for_each(|(best, new)| *best = best.min(*new));
        chosen.push(next);
    }
    let mut out: Vec<usize> = chosen.into_iter().map(|c| candidates[c]).collect();
    out.sort_unstable();
    out
}

/// For each city, the gateway its people enter at and how far away that is.
pub(crate) fn entries(cities: &[Spot], gateways: &[Location]) -> Vec<Place> {
    let place = |c: &Spot| {
        let gateway = nearest(gateways, c.location);
        Place { gateway: gateway as u32, rtt_ms: estimated_rtt_ms(distance_km(gateways[gateway], c.location)) }
    };
    cities.iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_live_where_they_live_and_large_cities_have_more_of_them() {
        let cities = rhumb_atlas::cities();
        let users = Users::new(&cities[..300], &[], 1, 1);
        let mut counts = vec![0; 300];
        for person in 0..30_000 {
            assert_eq!(users.city(person, 0), users.city(person, 0));
            counts[users.city(person, 0) as usize] += 1;
        }
        let people: f64 = cities[..300].iter().map(|c| c.population).sum();
        let expected = 30_000.0 * cities[0].population / people;
        assert!((f64::from(counts[0]) / expected - 1.0).abs() < 0.15, "{} {expected}", counts[0]);
    }

    #[test]
    fn the_people_of_each_copy_live_around_gateways_of_their_own_from_east_to_west() {
        let (cities, sites) = (rhumb_atlas::cities(), rhumb_atlas::aws());
        let at = |name: &str| sites.iter().find(|s| s.name == name).unwrap().location;
        let gateways = ["eu-central-1", "us-east-1", "ap-southeast-1", "us-west-1"].map(at);
        let entered = |users: &Users, copy: u32| {
            let of = |person| nearest(&gateways, cities[users.city(person, copy) as usize].location);
            (0..2_000).map(of).collect::<std::collections::BTreeSet<_>>()
        };
        let users = Users::new(&cities[..300], &gateways, 4, 1);
        let each: Vec<Vec<usize>> = (0..4).map(|copy| entered(&users, copy).into_iter().collect()).collect();
        assert_eq!(each, [[2], [0], [1], [3]]);
        let two = Users::new(&cities[..300], &gateways, 2, 1);
        assert_eq!((entered(&two, 0), entered(&two, 1)), ([0, 2].into(), [1, 3].into()));
        let many = Users::new(&cities[..300], &gateways, 8, 1);
        assert_eq!((entered(&many, 0), entered(&many, 1), entered(&many, 7)), ([2].into(), [2].into(), [3].into()));
    }

    #[test]
    fn gateways_stand_near_users_and_more_of_them_stand_nearer() {
        let (cities, sites) = (rhumb_atlas::cities(), rhumb_atlas::akamai());
        let spots: Vec<Location> = sites.iter().map(|s| s.location).collect();
        let mean_ms = |count| {
            let chosen = near_users(&spots, &cities[..300], count);
            assert_eq!(chosen.len(), count);
            let at: Vec<Location> = chosen.iter().map(|i| spots[*i]).collect();
            let legs = entries(&cities[..300], &at);
            let people: f64 = cities[..300].iter().map(|c| c.population).sum();
            legs.iter().zip(&cities).map(|(l, c)| l.rtt_ms * c.population).sum::<f64>() / people
        };
        let (one, eight, all) = (mean_ms(1), mean_ms(8), mean_ms(43));
        assert!(one > eight && eight > all, "{one} {eight} {all}");
    }
}
