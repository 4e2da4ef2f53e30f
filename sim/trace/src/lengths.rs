//! Lengths drawn from quantiles.

use rhumb_rng::Rng;

/// A distribution known by its mean and some quantiles.
///
/// Between two quantiles the logarithm grows evenly, as lengths have long tails; below the 5th percentile it goes down to
/// half of it. Above the 99th an exponential tail makes up what the mean has beyond the quantiles, up to twice the 99th.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Quantiles {
    points: [f64; 8],
    /// Mean of what lies above the last point.
    excess: f64,
}

const SHARES: [f64; 8] = [0.0, 0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99];

/// Points at which a mean is taken.
const GRID: u32 = 4_000;

impl Quantiles {
    /// From the mean and the 5th, 25th, 50th, 75th, 90th, 95th and 99th percentiles.
    pub(crate) fn new(mean: f64, given: [f64; 7]) -> Self {
        let mut points = [0.0; 8];
        points[1..].copy_from_slice(&given);
        points[0] = given[0] / 2.0;
        let flat = Self { points, excess: 0.0 };
        let missing = (mean - flat.mean()) / 0.01;
        Self { points, excess: missing.clamp(0.0, 2.0 * given[6]) }
    }

    /// The value that the share `u` lies below.
    pub(crate) fn at(&self, u: f64) -> f64 {
        let i = SHARES.partition_point(|s| *s <= u).clamp(1, SHARES.len()) - 1;
        let Some(&above) = self.points.get(i + 1) else {
            return self.points[7] - self.excess * libm::log(((1.0 - u) / 0.01).max(1e-6));
        };
        let below = self.points[i];
        let part = (u - SHARES[i]) / (SHARES[i + 1] - SHARES[i]);
        if below < 1.0 { below + part * (above - below) } else { below * libm::pow(above / below, part) }
    }

    pub(crate) fn mean(&self) -> f64 {
        mean(|u| self.at(u))
    }
}

/// The mean of a function of an even share.
fn mean(of: impl Fn(f64) -> f64) -> f64 {
    (0..GRID).map(|i| of((f64::from(i) + 0.5) / f64::from(GRID))).sum::<f64>() / f64::from(GRID)
}

/// What a prompt is made of.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Prompt {
    pub(crate) text: Option<Quantiles>,
    /// Of images, sound and video: how many, and tokens of each.
    pub(crate) media: Vec<(Quantiles, Quantiles)>,
}

impl Prompt {
    /// One draw decides both how many there are and how long: a request without images has neither.
    fn medium((count, tokens): &(Quantiles, Quantiles), u: f64) -> f64 {
        libm::round(count.at(u)) * tokens.at(u)
    }

    fn draw(&self, rng: &mut Rng) -> f64 {
        let text = self.text.map_or(0.0, |q| q.at(rng.unit()));
        self.media.iter().fold(text, |sum, medium| sum + Self::medium(medium, rng.unit()))
    }

    fn mean(&self) -> f64 {
        let media = self.media.iter().map(|medium| mean(|u| Self::medium(medium, u)));
        self.text.map_or(0.0, |q| q.mean()) + media.sum::<f64>()
    }
}

/// Lengths of one client's calls.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lengths {
    pub(crate) prompt: Prompt,
    pub(crate) output: Quantiles,
    /// How much of the model's calls it is taken to stand for, in windows seen.
    pub(crate) weight: f64,
}

impl Lengths {
    /// Tokens of a prompt and of its answer, which are drawn apart.
    pub(crate) fn draw(&self, rng: &mut Rng) -> (u32, u32) {
        let whole = |tokens: f64| libm::round(tokens).clamp(1.0, 1e7) as u32;
        let input = self.prompt.draw(rng);
        (whole(input), whole(self.output.at(rng.unit())))
    }

    pub(crate) fn means(&self) -> (f64, f64) {
        (self.prompt.mean(), self.output.mean())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: [f64; 7] = [229.0, 244.0, 275.0, 306.0, 414.0, 4318.0, 6151.0];

    #[test]
    fn quantiles_are_met_and_the_tail_makes_up_the_mean() {
        let q = Quantiles::new(666.55, GIVEN);
        for (share, point) in SHARES[1..].iter().zip(GIVEN) {
            assert!((q.at(*share) / point - 1.0).abs() < 1e-9, "{share}");
        }
        assert!((q.mean() / 666.55 - 1.0).abs() < 0.02, "{}", q.mean());
        let mut rng = Rng::new(1);
        let drawn = (0..200_000).map(|_| q.at(rng.unit())).sum::<f64>() / 200_000.0;
        assert!((drawn / q.mean() - 1.0).abs() < 0.02, "{drawn}");
        assert!(q.at(0.0) > 0.0 && q.at(1.0).is_finite());
    }

    #[test]
    fn a_request_without_images_has_no_tokens_of_them() {
        let count = Quantiles::new(0.25, [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
        let tokens = Quantiles::new(5.0, [0.0, 0.0, 0.0, 0.0, 19.0, 30.0, 56.0]);
        let prompt = Prompt { text: Some(Quantiles::new(10.0, [10.0; 7])), media: vec![(count, tokens)] };
        let mut rng = Rng::new(1);
        let draws: Vec<f64> = (0..1_000).map(|_| prompt.draw(&mut rng)).collect();
        assert!(draws.iter().filter(|d| **d <= 10.0).count() > 700);
        assert!((draws.iter().sum::<f64>() / 1_000.0 / prompt.mean() - 1.0).abs() < 0.1);
    }
}
