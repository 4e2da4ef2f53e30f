//! The calls that one client makes in one window.

use rhumb_rng::{Rng, weibull_shape};

use crate::servegen::{WINDOW_S, Window};

/// The calls of one window, laid out as gaps that fill it.
///
/// The number of calls is the window's rate, rounded up or down by a draw; gaps of the fitted distribution are drawn and
/// scaled to fill the window. So the rate is met however uneven the gaps. The sum to scale by is found by drawing all gaps
/// ahead with a copy of the generator, which needs no memory.
pub(crate) struct Burst {
    rng: Rng,
    gaps: Gaps,
    left: u64,
    start_us: u64,
    passed: f64,
    us_per_gap: f64,
}

#[derive(Clone, Copy)]
enum Gaps {
    Even,
    Gamma { cv: f64 },
    Weibull { shape: f64 },
}

impl Gaps {
    fn draw(self, rng: &mut Rng) -> f64 {
        match self {
            Self::Even => 1.0,
            Self::Gamma { cv } => rng.gamma(1.0, cv),
            Self::Weibull { shape } => rng.weibull(1.0, shape),
        }
    }
}

/// Length of a window.
pub(crate) const WINDOW_US: u64 = WINDOW_S as u64 * 1_000_000;

impl Burst {
    /// No calls.
    pub(crate) fn none() -> Self {
        let (rng, gaps) = (Rng::new(0), Gaps::Even);
        Self { rng, gaps, left: 0, start_us: 0, passed: 0.0, us_per_gap: 0.0 }
    }

    /// The calls of a window that begins at `start_us`, with `scale` times its rate.
    pub(crate) fn new(window: &Window, start_us: u64, scale: f64, seed: u64) -> Self {
        let wanted = window.rate_rps * f64::from(WINDOW_S) * scale;
        let calls = (wanted + Rng::labelled(seed, "trace: calls").unit()) as u64;
        let rng = Rng::labelled(seed, "trace: gaps");
        let (gaps, sum) = fit(window, calls, &rng);
        Self { rng, gaps, left: calls, start_us, passed: 0.0, us_per_gap: WINDOW_US as f64 / sum }
    }

    /// When the next call comes, in the shifted trace's time.
    pub(crate) fn next_us(&mut self) -> Option<u64> {
        self.left = self.left.checked_sub(1)?;
        self.passed += self.gaps.draw(&mut self.rng);
        Some(self.start_us + (self.passed * self.us_per_gap) as u64)
    }
}

/// Times that the gaps of a window are drawn ahead, and how near they should then come to its coefficient of variation.
const FITS: u32 = 6;
const NEAR: f64 = 0.05;

/// The distribution of a window's gaps, and the sum of them.
///
/// A window's coefficient of variation is that of the calls it had. A small sample of a long-tailed distribution is evener
/// than the distribution, so this is widened until the gaps that the generator will draw are as uneven as they should be.
fn fit(window: &Window, calls: u64, rng: &Rng) -> (Gaps, f64) {
    // Of n gaps none can spread more than when all but one are nothing, whose coefficient is √(n − 1).
    let wanted = window.cv.min(libm::sqrt(calls as f64)).max(0.01);
    let even = (Gaps::Even, calls as f64 + 1.0);
    let (mut cv, mut best, mut off) = (wanted, even, f64::INFINITY);
    for _ in 0..FITS {
        let gaps = if window.weibull { Gaps::Weibull { shape: weibull_shape(cv) } } else { Gaps::Gamma { cv } };
        let mut ahead = rng.clone();
        let (sum, squares) = (0..=calls).fold((0.0, 0.0), |(sum, squares), _| {
            let gap = gaps.draw(&mut ahead);
            (sum + gap, squares + gap * gap)
        });
        let found = libm::sqrt((squares * (calls as f64 + 1.0) / (sum * sum) - 1.0).max(0.0));
        // Gaps that are all nothing, or beyond a float, can fill no window.
        if !(sum.is_finite() && sum > 0.0 && found.is_finite() && found > 0.0) {
            break;
        }
        let ratio = wanted / found;
        if libm::fabs(ratio - 1.0) < off {
            (best, off) = ((gaps, sum), libm::fabs(ratio - 1.0));
        }
        // With few calls chance decides, and a draw should stay a draw.
        if off < NEAR || calls < 10 || window.cv < 1.5 {
            break;
        }
        cv = (cv * ratio).clamp(0.01, 1e3);
    }
    best
}
