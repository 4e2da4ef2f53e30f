//! What is learnt online, one small estimator each.

use serde::{Deserialize, Serialize};

/// A mean that forgets: each sample counts `weight`, the first few more so that the start is not believed too long.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Ewma {
    mean: f64,
    samples: u32,
    weight: f64,
}

impl Ewma {
    /// Starts from a belief that the first samples quickly replace.
    pub fn new(prior: f64, weight: f64) -> Self {
        Self { mean: prior, samples: 0, weight }
    }

    /// Takes a sample; what is not a finite number is ignored.
    pub fn add(&mut self, sample: f64) {
        if !sample.is_finite() {
            return;
        }
        self.samples = self.samples.saturating_add(1);
        // The prior counts as one sample.
        let weight = self.weight.max(1.0 / (f64::from(self.samples) + 1.0));
        self.mean += weight * (sample - self.mean);
    }

    /// The mean.
    pub fn mean(&self) -> f64 {
        self.mean
    }
}

/// How the prompts of one tenant for one model compare with a first estimate of their text: a ratio, and what a template
/// adds to each. Short prompts teach the latter and long ones the former, so that many short ones say nothing of a long one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Density {
    /// Tokens that engines counted for estimated ones.
    counted: f64,
    estimated: f64,
    added: Ewma,
}

/// The first estimate is believed like an observation of so many tokens.
const DENSITY_PRIOR_TOKENS: f64 = 4_000.0;

/// Observations of about so many tokens back have lost most of their weight.
const DENSITY_MEMORY_TOKENS: f64 = 400_000.0;

/// A text is this many times as dense as estimated at most, and this share of it at least.
const DENSITY_MAX: f64 = 4.0;
const DENSITY_MIN: f64 = 0.25;

/// Below so many tokens of text what is added outweighs how dense the text is.
const SHORT_TOKENS: f64 = 400.0;

/// A template adds at most so many tokens.
const ADDED_MAX: f64 = 4_096.0;

impl Default for Density {
    fn default() -> Self {
        Self { counted: DENSITY_PRIOR_TOKENS, estimated: DENSITY_PRIOR_TOKENS, added: Ewma::new(0.0, 0.02) }
    }
}

impl Density {
    /// Tokens to be expected of a text of so many by the first estimate.
    pub fn tokens(&self, estimated: f64) -> f64 {
        estimated * self.ratio() + self.added()
    }

    /// An engine counted so many tokens for inputs with so much text together.
    pub fn learn(&mut self, inputs: f64, estimated: f64, counted: f64) {
        if !(inputs >= 1.0 && estimated > 0.0 && counted > 0.0) {
            return;
        }
        if estimated < SHORT_TOKENS * inputs {
            // One prompt is denser than another: what is below and above must cancel out.
            self.added.add(((counted - estimated * self.ratio()) / inputs).clamp(-ADDED_MAX, ADDED_MAX));
            return;
        }
        let text = (counted - inputs * self.added()).clamp(estimated * DENSITY_MIN, estimated * DENSITY_MAX);
        self.counted += text;
        self.estimated += estimated;
        let kept = (DENSITY_MEMORY_TOKENS / self.estimated).min(1.0);
        self.counted *= kept;
        self.estimated *= kept;
    }

    /// What a template adds to each prompt.
    fn added(&self) -> f64 {
        self.added.mean().max(0.0)
    }

    fn ratio(&self) -> f64 {
        self.counted / self.estimated
    }
}

/// How an endpoint departs from its prior: observed over predicted, kept between a quarter and four times so that one
/// odd request cannot attract or repel all others.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Correction(Ewma);

/// Samples about this many requests back have lost most of their weight.
const CORRECTION_WEIGHT: f64 = 0.05;

impl Default for Correction {
    fn default() -> Self {
        Self(Ewma::new(1.0, CORRECTION_WEIGHT))
    }
}

impl Correction {
    /// Compares what was observed with what was predicted with the correction that was in force.
    pub fn observe(&mut self, observed_ms: f64, predicted_ms: f64, in_force: f64) {
        if predicted_ms > 0.0 && observed_ms > 0.0 && in_force > 0.0 {
            self.0.add((observed_ms / (predicted_ms / in_force)).clamp(0.25, 4.0));
        }
    }

    /// The factor to apply.
    pub fn factor(&self) -> f64 {
        self.0.mean()
    }
}

/// A round trip: the smallest of the last probes, which is the network without the server's dither, and the mean
/// deviation from it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rtt {
    last: [f64; RTT_WINDOW],
    count: usize,
    deviation: Ewma,
}

const RTT_WINDOW: usize = 8;

impl Default for Rtt {
    fn default() -> Self {
        Self { last: [f64::INFINITY; RTT_WINDOW], count: 0, deviation: Ewma::new(0.0, 0.1) }
    }
}

impl Rtt {
    /// Takes a probe.
    pub fn add(&mut self, rtt_ms: f64) {
        if !rtt_ms.is_finite() || rtt_ms < 0.0 {
            return;
        }
        self.last[self.count % RTT_WINDOW] = rtt_ms;
        self.count += 1;
        let least = self.last.iter().copied().fold(f64::INFINITY, f64::min);
        self.deviation.add(rtt_ms - least);
    }

    /// The round trip; `None` before the first probe.
    pub fn ms(&self) -> Option<f64> {
        let least = self.last.iter().copied().fold(f64::INFINITY, f64::min);
        (self.count > 0).then_some(least)
    }

    /// Its mean deviation.
    pub fn deviation_ms(&self) -> f64 {
        self.deviation.mean()
    }
}

/// The price of power headroom at a site, integrated slowly: above the target share of the envelope it rises, below it
/// falls, so that load leaves a site before the gate at the envelope itself shuts.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct PowerPrice {
    usd_per_joule: f64,
}

/// Share of the envelope above which power is scarce.
pub const POWER_TARGET: f64 = 0.8;

/// The price climbs to this, USD per joule (36 USD per kWh), in a minute at the envelope.
pub const POWER_USD_MAX: f64 = 1e-5;

impl PowerPrice {
    /// Integrates `dt_s` seconds at a share of the envelope.
    pub fn integrate(&mut self, share: f64, dt_s: f64) {
        let error = (share - POWER_TARGET) / (1.0 - POWER_TARGET);
        let step = POWER_USD_MAX * error.clamp(-1.0, 1.0) * dt_s / 60.0;
        self.usd_per_joule = (self.usd_per_joule + step).clamp(0.0, POWER_USD_MAX);
    }

    /// The price.
    pub fn usd_per_joule(&self) -> f64 {
        self.usd_per_joule
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_follows_its_samples() {
        let mut m = Ewma::new(100.0, 0.1);
        m.add(f64::NAN);
        assert_eq!(m.mean(), 100.0);
        m.add(0.0);
        assert_eq!(m.mean(), 50.0);
        m.add(50.0);
        assert_eq!(m.mean(), 50.0);
        for _ in 0..50 {
            m.add(10.0);
        }
        assert!((m.mean() - 10.0).abs() < 1.0);
        m.add(20.0);
        assert!((m.mean() - 11.0).abs() < 0.3, "{}", m.mean());
    }

    #[test]
    fn short_prompts_teach_what_a_template_adds_and_nothing_of_long_texts() {
        let mut d = Density::default();
        assert_eq!(d.tokens(1_000.0), 1_000.0);
        for _ in 0..10_000 {
            d.learn(1.0, 5.0, 69.0);
        }
        assert!((d.tokens(5.0) - 69.0).abs() < 0.5, "{}", d.tokens(5.0));
        assert!((d.tokens(30_000.0) - 30_064.0).abs() < 1.0, "{}", d.tokens(30_000.0));
        // A list of inputs has a template around each.
        d.learn(100.0, 500.0, 6_900.0);
        assert!((d.tokens(5.0) - 69.0).abs() < 0.5);
        // Long ones teach how dense their text is, and each by its length.
        for _ in 0..40 {
            d.learn(1.0, 30_000.0, 24_064.0);
            d.learn(1.0, 500.0, 2_064.0);
        }
        let ratio = (d.tokens(30_000.0) - 64.0) / 30_000.0;
        assert!((ratio - 0.852).abs() < 0.01, "{ratio}");
    }

    #[test]
    fn what_one_prompt_teaches_of_density_is_bounded() {
        let mut d = Density::default();
        for (inputs, estimated, counted) in
            [(0.0, 10.0, 10.0), (1.0, f64::NAN, 10.0), (1.0, 10.0, f64::NAN), (1.0, 0.0, 9.0), (1.0, 9.0, 0.0)]
        {
            d.learn(inputs, estimated, counted);
            assert_eq!(d, Density::default());
        }
        for _ in 0..1_000 {
            d.learn(1.0, 1e6, 1e300);
            d.learn(1.0, 10.0, 1e300);
        }
        assert!((d.tokens(1_000.0) - 8_096.0).abs() < 100.0, "{}", d.tokens(1_000.0));
        for _ in 0..1_000 {
            d.learn(1.0, 1e6, 1.0);
            d.learn(1.0, 10.0, 1.0);
        }
        assert!((d.tokens(1_000.0) - 250.0).abs() < 10.0, "{}", d.tokens(1_000.0));
    }

    #[test]
    fn a_correction_learns_the_ratio_and_is_bounded() {
        let mut c = Correction::default();
        assert_eq!(c.factor(), 1.0);
        for _ in 0..200 {
            let f = c.factor();
            c.observe(30.0, 10.0 * f, f);
        }
        assert!((c.factor() - 3.0).abs() < 0.01, "{}", c.factor());
        for _ in 0..500 {
            c.observe(1e9, 1.0, 1.0);
        }
        assert!((c.factor() - 4.0).abs() < 0.01);
        let before = c.factor();
        c.observe(0.0, 1.0, 1.0);
        c.observe(1.0, 0.0, 1.0);
        c.observe(1.0, 1.0, 0.0);
        assert_eq!(c.factor(), before);
        for _ in 0..500 {
            c.observe(1e-9, 1.0, 1.0);
        }
        assert!((c.factor() - 0.25).abs() < 0.01);
    }

    #[test]
    fn a_round_trip_is_the_least_of_the_last_eight() {
        let mut r = Rtt::default();
        assert_eq!((r.ms(), r.deviation_ms()), (None, 0.0));
        r.add(f64::NAN);
        r.add(-1.0);
        assert_eq!(r.ms(), None);
        r.add(0.0);
        assert_eq!(r.ms(), Some(0.0));
        for ms in [30.0, 20.0, 40.0, 50.0, 50.0, 50.0, 50.0, 50.0] {
            r.add(ms);
        }
        assert_eq!(r.ms(), Some(20.0));
        r.add(50.0);
        r.add(50.0);
        assert_eq!(r.ms(), Some(40.0));
        assert!(r.deviation_ms() > 5.0 && r.deviation_ms() < 40.0, "{}", r.deviation_ms());
    }

    #[test]
    fn power_gets_dear_slowly_above_its_target_and_cheap_again_below() {
        let mut p = PowerPrice::default();
        p.integrate(0.5, 60.0);
        assert_eq!(p.usd_per_joule(), 0.0);
        p.integrate(1.0, 30.0);
        assert!((p.usd_per_joule() - POWER_USD_MAX / 2.0).abs() < 1e-12);
        p.integrate(0.9, 30.0);
        assert!((p.usd_per_joule() - POWER_USD_MAX * 0.75).abs() < 1e-12);
        p.integrate(5.0, 600.0);
        assert!((p.usd_per_joule() - POWER_USD_MAX).abs() < 1e-18);
        p.integrate(0.7, 60.0);
        assert!((p.usd_per_joule() - POWER_USD_MAX / 2.0).abs() < 1e-12);
    }
}
