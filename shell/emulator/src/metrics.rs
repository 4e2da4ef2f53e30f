//! Prometheus text in vLLM's names, so that whatever scrapes vLLM can scrape this.

use std::fmt::Write;

use crate::Shared;

/// A cumulative histogram.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    bounds: &'static [f64],
    counts: Vec<u64>,
    sum: f64,
}

impl Histogram {
    pub(crate) fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1], sum: 0.0 }
    }

    pub(crate) fn observe(&mut self, value: f64) {
        self.counts[self.bounds.partition_point(|bound| *bound < value)] += 1;
        self.sum += value;
    }

    fn write(&self, name: &str, labels: &str, out: &mut String) {
        let _ = writeln!(out, "# TYPE {name} histogram");
        let mut total = 0;
        for (bound, count) in self.bounds.iter().zip(&self.counts) {
            total += count;
            let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{bound:?}\"}} {total}");
        }
        total += self.counts[self.bounds.len()];
        let _ = writeln!(out, "{name}_bucket{{{labels},le=\"+Inf\"}} {total}");
        let _ = writeln!(out, "{name}_sum{{{labels}}} {}", self.sum);
        let _ = writeln!(out, "{name}_count{{{labels}}} {total}");
    }
}

/// The whole exposition.
pub(crate) fn exposition(shared: &Shared) -> String {
    let (stats, ttft, inter_token) = {
        let board = shared.board();
        (board.stats(), board.ttft.clone(), board.inter_token.clone())
    };
    let labels = format!("engine=\"0\",model_name=\"{}\"", label_value(&shared.config.model));
    let mut out = String::with_capacity(8 * 1024);
    let gauges = [
        ("vllm:num_requests_running", stats.running as f64),
        ("vllm:num_requests_waiting", stats.waiting as f64),
        ("vllm:kv_cache_usage_perc", stats.kv_use),
        ("rhumb_emulator_watts", stats.watts),
    ];
    for (name, value) in gauges {
        let _ = writeln!(out, "# TYPE {name} gauge\n{name}{{{labels}}} {value:?}");
    }
    let counters = [
        ("vllm:prefix_cache_queries", stats.prefix_query_tokens as f64),
        ("vllm:prefix_cache_hits", stats.prefix_hit_tokens as f64),
        ("vllm:prompt_tokens", stats.prompt_tokens as f64),
        ("vllm:generation_tokens", stats.generation_tokens as f64),
        ("vllm:num_preemptions", stats.preemptions as f64),
        ("rhumb_emulator_joules", stats.joules),
    ];
    for (name, value) in counters {
        let _ = writeln!(out, "# TYPE {name}_total counter\n{name}_total{{{labels}}} {value:?}");
    }
    let block_tokens = u64::from(shared.config.limits.block_tokens.max(1));
    let blocks = shared.kv_capacity_tokens / block_tokens;
    let _ = writeln!(
        out,
        "# TYPE vllm:cache_config_info gauge\n\
         vllm:cache_config_info{{block_size=\"{block_tokens}\",engine=\"0\",num_gpu_blocks=\"{blocks}\"}} 1.0"
    );
    ttft.write("vllm:time_to_first_token_seconds", &labels, &mut out);
    inter_token.write("vllm:inter_token_latency_seconds", &labels, &mut out);
    out
}

fn label_value(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_bounds_inclusive() {
        let mut histogram = Histogram::new(&[0.1, 1.0]);
        [0.1, 0.5, 7.0].into_iter().for_each(|value| histogram.observe(value));
        let mut out = String::new();
        histogram.write("h", "a=\"b\"", &mut out);
        let expected = "# TYPE h histogram\nh_bucket{a=\"b\",le=\"0.1\"} 1\nh_bucket{a=\"b\",le=\"1.0\"} 2\n\
                        h_bucket{a=\"b\",le=\"+Inf\"} 3\nh_sum{a=\"b\"} 7.6\nh_count{a=\"b\"} 3\n";
        assert_eq!(out, expected);
    }
}
