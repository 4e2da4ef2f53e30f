//! What a site can serve and what it must charge, derived from the engine model and the price of a GPU-hour.

use rhumb_engine::{Limits, Perf};
use rhumb_grid::config::Price;

use crate::atlas::SitePlan;

/// The model that every site serves.
pub const MODEL: &str = "llama-3.1-8b";

/// Longest prompt plus answer.
pub const CONTEXT_TOKENS: u32 = 16_384;

/// Share of its capacity that every operator plans to sell: prices earn the GPU-hour back at this load.
pub const PLANNED_UTILISATION: f64 = 0.5;

/// A cached token costs this share of an uncached one: the median of public price lists.
const CACHED_SHARE: f64 = 0.1;

/// The request that capacity is counted in: mean prompt and answer, tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeanRequest {
    /// Mean prompt.
    pub input_tokens: f64,
    /// Mean answer.
    pub output_tokens: f64,
}

/// The speed of one engine of a site.
pub fn perf(site: &SitePlan) -> Perf {
    let gpu = rhumb_engine::gpu(&site.gpu).expect("the sites name known GPUs");
    let shape = rhumb_engine::shape(MODEL).expect("the model is known");
    Perf::new(gpu, 1, shape, site.quantization.bytes()).expect("the model fits every GPU of the sites")
}

/// Sequences of the mean request that run at once: what memory and the scheduler allow.
pub fn seats(perf: &Perf, mean: MeanRequest) -> u32 {
    let fit = perf.kv_capacity_tokens() as f64 / (mean.input_tokens + mean.output_tokens);
    (fit as u32).clamp(1, Limits::default().max_num_seqs)
}

/// GPU time of one prompt token, seconds.
fn input_s(perf: &Perf) -> f64 {
    1.0 / (perf.prefill_tokens_per_ms() * 1e3)
}

/// GPU time of one generated token in a full batch, seconds.
fn output_s(perf: &Perf, mean: MeanRequest) -> f64 {
    let batch = f64::from(seats(perf, mean));
    let context = mean.input_tokens + mean.output_tokens / 2.0;
    (perf.decode_base_ms() + batch * perf.decode_ms_per_seq(context)) / batch / 1e3
}

/// Rate of mean requests at which one engine saturates.
pub fn capacity_rps(perf: &Perf, mean: MeanRequest) -> f64 {
    1.0 / (mean.input_tokens * input_s(perf) + mean.output_tokens * output_s(perf, mean))
}

/// The list price that earns back `gpu_hour_usd` at the planned load.
pub fn price(perf: &Perf, gpu_hour_usd: f64, mean: MeanRequest) -> Price {
    let usd_per_mtok = |gpu_s: f64| gpu_hour_usd / 3_600.0 * gpu_s / PLANNED_UTILISATION * 1e6;
    let input = usd_per_mtok(input_s(perf));
    Price {
        input_usd_per_mtok: input,
        cached_usd_per_mtok: Some(input * CACHED_SHARE),
        output_usd_per_mtok: usd_per_mtok(output_s(perf, mean)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::atlas::Atlas;

    const MEAN: MeanRequest = MeanRequest { input_tokens: 1_000.0, output_tokens: 200.0 };

    #[test]
    fn the_list_price_earns_the_gpu_hour_back_at_the_planned_load() {
        for site in Atlas::embedded().sites {
            let perf = perf(&site);
            let price = price(&perf, site.gpu_hour_usd, MEAN);
            let request_usd =
                (MEAN.input_tokens * price.input_usd_per_mtok + MEAN.output_tokens * price.output_usd_per_mtok) / 1e6;
            let hour_usd = request_usd * capacity_rps(&perf, MEAN) * PLANNED_UTILISATION * 3_600.0;
            assert!((hour_usd / site.gpu_hour_usd - 1.0).abs() < 1e-9, "{}", site.name);
            assert!((price.cached_usd_per_mtok.unwrap() / price.input_usd_per_mtok - 0.1).abs() < 1e-12);
        }
    }

    #[test]
    fn memory_or_the_scheduler_bounds_the_seats() {
        let site = |name: &str| Atlas::embedded().sites.into_iter().find(|s| s.name == name).unwrap();
        assert!(seats(&perf(&site("frankfurt")), MEAN) < 128);
        assert_eq!(seats(&perf(&site("helsinki")), MEAN), 128);
        assert!(capacity_rps(&perf(&site("helsinki")), MEAN) > 2.0 * capacity_rps(&perf(&site("frankfurt")), MEAN));
    }
}
