//! Distances on the Earth and the round trips that follow from them.
//!
//! The trigonometry comes from `libm`, so that two machines compute the same bits.

use crate::config::Location;

/// Mean radius of the Earth, in kilometres.
const EARTH_RADIUS_KM: f64 = 6_371.009;

/// Distance that a round trip through straight fibre covers in one millisecond, in kilometres between the two ends:
/// light in glass runs about 200 km in a millisecond, and a round trip goes there and back.
const FIBRE_KM_PER_RTT_MS: f64 = 100.0;

/// How much longer than the fibre bound a measured round trip is: the median over AWS inter-region measurements.
const PATH_STRETCH: f64 = 1.76;

/// Round trip that remains with no distance at all, in milliseconds: the median inside one AWS region.
const LOCAL_RTT_MS: f64 = 3.0;

/// Computes the great-circle distance of two points, in kilometres.
pub fn distance_km(a: Location, b: Location) -> f64 {
    let (a_lat, b_lat) = (a.latitude.to_radians(), b.latitude.to_radians());
    let sin_lat = libm::sin((b_lat - a_lat) / 2.0);
    let sin_lon = libm::sin((b.longitude - a.longitude).to_radians() / 2.0);
    let h = sin_lat * sin_lat + libm::cos(a_lat) * libm::cos(b_lat) * sin_lon * sin_lon;
    // Rounding may lift antipodes above 1, where the arc sine is not a number.
    2.0 * EARTH_RADIUS_KM * libm::asin(libm::sqrt(h.clamp(0.0, 1.0)))
}

/// Computes the round trip over straight fibre, in milliseconds: no measured one is below it.
pub fn fibre_rtt_ms(km: f64) -> f64 {
    km / FIBRE_KM_PER_RTT_MS
}

/// Estimates the round trip to expect over a distance before any was measured, in milliseconds.
pub fn estimated_rtt_ms(km: f64) -> f64 {
    PATH_STRETCH * fibre_rtt_ms(km) + LOCAL_RTT_MS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FRANKFURT: Location = Location { latitude: 50.11, longitude: 8.68 };
    const ASHBURN: Location = Location { latitude: 39.04, longitude: -77.49 };

    fn close(value: f64, expected: f64, tolerance: f64) {
        assert!((value - expected).abs() <= tolerance, "{value} is not {expected}");
    }

    #[test]
    fn known_distances() {
        let pole = |latitude| Location { latitude, longitude: 0.0 };
        close(distance_km(pole(90.0), pole(-90.0)), 20_015.1, 0.1);
        close(distance_km(FRANKFURT, ASHBURN), 6_540.0, 15.0);
        close(distance_km(FRANKFURT, FRANKFURT), 0.0, 1e-9);
        // Over the date line, not around the globe.
        let fiji = |longitude| Location { latitude: 0.0, longitude };
        close(distance_km(fiji(179.5), fiji(-179.5)), 111.2, 0.1);
    }

    #[test]
    fn round_trips() {
        close(fibre_rtt_ms(6_500.0), 65.0, 1e-9);
        close(estimated_rtt_ms(6_500.0), 117.4, 1e-9);
        close(estimated_rtt_ms(0.0), 3.0, 1e-9);
    }

    prop_compose! {
        fn place()(latitude in -90.0..=90.0_f64, longitude in -180.0..=180.0_f64) -> Location {
            Location { latitude, longitude }
        }
    }

    proptest! {
        #[test]
        fn a_distance_is_symmetric_and_bounded(a in place(), b in place()) {
            let there = distance_km(a, b);
            prop_assert!((0.0..=20_015.2).contains(&there));
            prop_assert!((there - distance_km(b, a)).abs() < 1e-6);
        }

        #[test]
        fn no_estimate_beats_light(a in place(), b in place()) {
            let km = distance_km(a, b);
            prop_assert!(estimated_rtt_ms(km) > fibre_rtt_ms(km));
        }
    }
}
