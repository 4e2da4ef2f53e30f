//! A generator and the distributions drawn from it.

use crate::{GOLDEN, hash, label, mix, unit};

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// The generator of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The generator that a run with `seed` uses for one purpose.
    #[must_use]
    pub fn labelled(seed: u64, purpose: &str) -> Self {
        Self(hash(seed, label(purpose)))
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// A number in 0..1.
    pub fn unit(&mut self) -> f64 {
        unit(self.bits())
    }

    /// An index below `n`; 0 when `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        ((self.unit() * n as f64) as usize).min(n.saturating_sub(1))
    }

    /// A draw from the exponential distribution of this mean.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        // 1 − u lies in (0, 1], whose logarithm is finite.
        -mean * libm::log(1.0 - self.unit())
    }

    /// A draw from the standard normal distribution (Box and Muller, 1958; one of the pair).
    pub fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.unit()));
        radius * libm::cos(core::f64::consts::TAU * self.unit())
    }

    /// A count of trials up to and with the first success, each of probability 1 / `mean`: a geometric draw, at least 1.
    pub fn geometric(&mut self, mean: f64) -> u32 {
        if mean <= 1.0 {
            return 1;
        }
        let trials = libm::log(1.0 - self.unit()) / libm::log(1.0 - 1.0 / mean);
        (libm::ceil(trials)).clamp(1.0, f64::from(u32::MAX)) as u32
    }

    /// A draw from the Gamma distribution of this mean and coefficient of variation (Marsaglia and Tsang, 2000).
    pub fn gamma(&mut self, mean: f64, cv: f64) -> f64 {
        let shape = 1.0 / (cv * cv);
        let scale = mean / shape;
        if shape >= 1.0 {
            return scale * self.gamma_above_one(shape);
        }
        // Γ(a) = Γ(a + 1) · U^(1/a).
        let power = libm::pow(1.0 - self.unit(), 1.0 / shape);
        scale * self.gamma_above_one(shape + 1.0) * power
    }

    fn gamma_above_one(&mut self, shape: f64) -> f64 {
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / libm::sqrt(9.0 * d);
        loop {
            let x = self.normal();
            let v = 1.0 + c * x;
            if v <= 0.0 {
                continue;
            }
            let v = v * v * v;
            let u = 1.0 - self.unit();
            if libm::log(u) < 0.5 * x * x + d - d * v + d * libm::log(v) {
                return d * v;
            }
        }
    }

    /// A draw from the Weibull distribution of this mean and shape; [`weibull_shape`] gives the shape of a spread.
    pub fn weibull(&mut self, mean: f64, shape: f64) -> f64 {
        let scale = mean / libm::tgamma(1.0 + 1.0 / shape);
        scale * libm::pow(-libm::log(1.0 - self.unit()), 1.0 / shape)
    }
}

/// The shape of the Weibull distribution whose coefficient of variation is `cv`, by bisection: the coefficient falls as
/// the shape grows.
#[must_use]
pub fn weibull_shape(cv: f64) -> f64 {
    let of = |shape: f64| {
        let first = libm::tgamma(1.0 + 1.0 / shape);
        libm::sqrt((libm::tgamma(1.0 + 2.0 / shape) / (first * first) - 1.0).max(0.0))
    };
    let (mut low, mut high) = (0.1, 20.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if of(middle) > cv { low = middle } else { high = middle }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(mut draw: impl FnMut(&mut Rng) -> f64) -> (f64, f64) {
        let mut rng = Rng::labelled(1, "moments");
        let (mut sum, mut squares) = (0.0, 0.0);
        let n = 200_000;
        for _ in 0..n {
            let x = draw(&mut rng);
            (sum, squares) = (sum + x, squares + x * x);
        }
        let mean = sum / f64::from(n);
        (mean, libm::sqrt(squares / f64::from(n) - mean * mean) / mean.abs().max(1e-9))
    }

    #[test]
    fn distributions_have_their_mean_and_spread() {
        let near = |got: (f64, f64), want: (f64, f64)| {
            assert!((got.0 / want.0 - 1.0).abs() < 0.02 && (got.1 / want.1 - 1.0).abs() < 0.03, "{got:?} {want:?}");
        };
        near(moments(|r| r.exponential(3.0)), (3.0, 1.0));
        near(moments(|r| r.gamma(2.0, 0.5)), (2.0, 0.5));
        near(moments(|r| r.gamma(2.0, 2.0)), (2.0, 2.0));
        let shape = weibull_shape(1.5);
        near(moments(|r| r.weibull(2.0, shape)), (2.0, 1.5));
        near(moments(|r| f64::from(r.geometric(10.0))), (10.0, 0.948_7));
        near(moments(|r| 5.0 + r.normal()), (5.0, 0.2));
    }

    #[test]
    fn labels_give_streams_of_their_own() {
        let first = |l| Rng::labelled(7, l).bits();
        assert_ne!(first("arrivals"), first("links"));
        assert_eq!(first("arrivals"), first("arrivals"));
        assert_ne!(Rng::labelled(8, "arrivals").bits(), first("arrivals"));
        assert_eq!((Rng::new(1).below(0), Rng::new(1).geometric(0.5)), (0, 1));
    }
}
