//! The bill: what serving a request at a candidate costs, all in US dollars, line by line.

use rhumb_grid::rates::Rates;
use serde::{Deserialize, Serialize};

use crate::facts::Facts;
use crate::predict::Prediction;
use crate::row::Row;

/// One line for each way of costing something. No line is negative.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Bill {
    /// Metered tokens.
    pub tokens_usd: f64,
    /// Bytes sent out of the site.
    pub egress_usd: f64,
    /// Electricity.
    pub energy_usd: f64,
    /// Carbon, where it is priced.
    pub carbon_usd: f64,
    /// The value of the time until the first token, and of missing the objective.
    pub waiting_usd: f64,
    /// The value of the time lost when generation is slower than reading.
    pub pace_usd: f64,
    /// The shortfall of the model, and the leaving of a pin.
    pub fit_usd: f64,
    /// The delay imposed on the others there, at their value of time.
    pub headroom_usd: f64,
    /// The scarcity of power at the site.
    pub power_usd: f64,
}

impl Bill {
    /// The lines, in the order of the fields.
    pub fn lines(&self) -> [f64; 9] {
        [
            self.tokens_usd,
            self.egress_usd,
            self.energy_usd,
            self.carbon_usd,
            self.waiting_usd,
            self.pace_usd,
            self.fit_usd,
            self.headroom_usd,
            self.power_usd,
        ]
    }

    /// The sum of the lines, in their order.
    pub fn total_usd(&self) -> f64 {
        self.lines().iter().sum()
    }
}

/// The share of their time that an answer takes from readers at this pace, at most all of it: the rest is theirs to spare.
pub(crate) fn slack_used(pace_ms: f64, rates: &Rates) -> f64 {
    (pace_ms / rates.reading_pace_ms).min(1.0)
}

/// How far ahead of a reader an answer of so many tokens is when it ends, ms: none where it comes no faster than it is read.
pub(crate) fn lead_ms(output_tokens: f64, pace_ms: f64, rates: &Rates) -> f64 {
    output_tokens * (rates.reading_pace_ms - pace_ms).max(0.0)
}

/// The share of a pause that readers lose whose answers are so far ahead of them when they end. Halfway through, where one
/// is on average, that is half of it, s. Were it distributed exponentially, a pause of d would cost `d - s (1 - exp(-d / s))`;
/// `d² / (d + 2 s)` is never more and at most an eighth less.
pub(crate) fn lost_share(pause_ms: f64, lead_ms: f64) -> f64 {
    if pause_ms > 0.0 { pause_ms / (pause_ms + lead_ms) } else { 0.0 }
}

/// The bill of one candidate.
pub fn bill(row: &Row, p: &Prediction, facts: &Facts, rates: &Rates) -> Bill {
    with_miss(before_miss(row, p, facts, rates), p, rates)
}

/// Adds the chance of missing the objective to a bill that lacks it.
pub(crate) fn with_miss(mut bill: Bill, p: &Prediction, rates: &Rates) -> Bill {
    bill.waiting_usd += rates.miss_usd * p.miss(rates.ttft_slo_ms);
    bill
}

/// The bill but for the chance of missing the objective, which takes as long to compute as all the rest: no candidate's
/// bill is below this.
pub(crate) fn before_miss(row: &Row, p: &Prediction, facts: &Facts, rates: &Rates) -> Bill {
    let joules = p.uncached_tokens * row.prefill_joules + facts.output_tokens * row.step_joules / (p.running + 1.0);
    let network_extra_ms = (rates.network_factor - 1.0) * (p.client_ms + p.site_ms);
    let waiting_s = (p.expected_ms() + network_extra_ms) / 1_000.0;
    let slow_ms = (p.pace_ms - rates.reading_pace_ms).max(0.0);
    let left = facts.pin.is_some_and(|pin| pin != (row.endpoint, row.model));
    let prompt_ms = p.uncached_tokens * row.prefill_ms;
    let slack_used = slack_used(p.pace_ms, rates);
    let lost = lost_share(prompt_ms, lead_ms(facts.output_tokens, p.pace_ms, rates));
    // A pause keeps places taken for as long: the more of them are, the likelier somebody waits for one.
    let taken = p.running / row.concurrency;
    // Whoever waits loses all of a delay.
    let delayed = p.waiting + p.running * (taken * slack_used + (1.0 - taken) * lost);
    // Those of other gateways who come while it is computed know nothing of it, and wait for half of it on average. Those
    // of this gateway know, and go elsewhere.
    let unaware = row.others_per_ms * prompt_ms / 2.0;
    let prefill_delay_ms = prompt_ms * (delayed + unaware);
    let step_delay_ms = facts.output_tokens * row.step_ms_per_seq * p.running * slack_used;
    Bill {
        tokens_usd: p.uncached_tokens * row.input_usd
            + p.cached_tokens * row.cached_usd
            + facts.output_tokens * row.output_usd,
        egress_usd: facts.output_tokens * facts.bytes_per_token * row.egress_usd,
        energy_usd: joules * row.joule_usd,
        carbon_usd: joules * row.carbon_usd,
        waiting_usd: rates.second_usd * waiting_s,
        pace_usd: rates.second_usd * facts.output_tokens * slow_ms / 1_000.0,
        fit_usd: rates.quality_usd * (rates.quality - row.quality).max(0.0) + if left { rates.switch_usd } else { 0.0 },
        headroom_usd: row.others_second_usd * (prefill_delay_ms + step_delay_ms) / 1_000.0,
        power_usd: joules * row.power_usd,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_lose_little_of_a_short_pause_and_most_of_a_long_one() {
        let rates = Rates { reading_pace_ms: 50.0, ..Rates::preset(rhumb_grid::config::Preset::Balanced) };
        assert_eq!((lead_ms(100.0, 30.0, &rates), lead_ms(100.0, 60.0, &rates)), (2_000.0, 0.0));
        assert_eq!((lost_share(0.0, 2_000.0), lost_share(500.0, 0.0), lost_share(0.0, 0.0)), (0.0, 1.0, 0.0));
        assert_eq!((lost_share(500.0, 2_000.0), lost_share(18_000.0, 2_000.0)), (0.2, 0.9));
        for tenths in 1..1_000 {
            let d = f64::from(tenths) / 10.0;
            let (lost, drawn) = (d * lost_share(d, 2.0), d - (1.0 - libm::exp(-d)));
            assert!((0.875 * drawn..=drawn).contains(&lost), "{d}: {lost} of {drawn}");
        }
    }
}
