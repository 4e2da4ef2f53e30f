//! Engine metrics in the Prometheus text format, one table of names per engine.

use rhumb_grid::config::EngineKind;

/// What an engine says of its load.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// Requests running.
    pub running: f64,
    /// Requests waiting.
    pub waiting: f64,
    /// Share of the KV cache in use, 0 to 1.
    pub kv_use: Option<f64>,
    /// Power of its GPUs, watts.
    pub watts: Option<f64>,
}

/// Names of one engine's metrics, without the separator after the engine's own prefix: both `:` and `_` are in use.
struct Names {
    prefix: &'static str,
    running: &'static [&'static str],
    waiting: &'static [&'static str],
    kv_use: &'static [&'static str],
}

fn names(engine: EngineKind) -> Option<Names> {
    match engine {
        EngineKind::Vllm => Some(Names {
            prefix: "vllm",
            running: &["num_requests_running"],
            waiting: &["num_requests_waiting"],
            // Renamed in 2025; old deployments still print the second.
            kv_use: &["kv_cache_usage_perc", "gpu_cache_usage_perc"],
        }),
        EngineKind::Sglang => Some(Names {
            prefix: "sglang",
            running: &["num_running_reqs"],
            waiting: &["num_queue_reqs"],
            kv_use: &["token_usage"],
        }),
        EngineKind::LlamaCpp => Some(Names {
            prefix: "llamacpp",
            running: &["requests_processing"],
            waiting: &["requests_deferred"],
            kv_use: &[],
        }),
        EngineKind::Generic => None,
    }
}

/// More requests than this at one endpoint is a lie or a fault, not a load.
const REQUESTS_MAX: f64 = 1e6;

/// More power than this at one endpoint is a lie or a fault.
const WATTS_MAX: f64 = 1e7;

/// Reads an engine's metrics page. Several series of one name (data-parallel ranks, models) are added up; shares are
/// averaged.
///
/// # Errors
/// What is missing or makes no sense.
pub fn read(engine: EngineKind, page: &str) -> Result<Reading, &'static str> {
    let names = names(engine).ok_or("this engine has no metrics that are known")?;
    let (mut running, mut waiting) = (Series::default(), Series::default());
    let (mut kv, mut watts) = (Series::default(), Series::default());
    for line in page.lines().filter(|l| !l.starts_with('#')) {
        let Some((name, value)) = sample(line) else { continue };
        if name == "rhumb_emulator_watts" {
            watts.add(value);
            continue;
        }
        let Some(rest) = name.strip_prefix(names.prefix).and_then(|r| r.strip_prefix([':', '_'])) else { continue };
        for (series, wanted) in [(&mut running, names.running), (&mut waiting, names.waiting), (&mut kv, names.kv_use)]
        {
            if wanted.contains(&rest) {
                series.add(value);
            }
        }
    }
    let running = running.total(REQUESTS_MAX).ok_or("the number of running requests is missing")?;
    let waiting = waiting.total(REQUESTS_MAX).ok_or("the number of waiting requests is missing")?;
    Ok(Reading {
        running: running.ok_or("the number of running requests makes no sense")?,
        waiting: waiting.ok_or("the number of waiting requests makes no sense")?,
        kv_use: kv.mean(1.0).flatten(),
        watts: watts.total(WATTS_MAX).flatten(),
    })
}

/// The name and value of a sample line.
fn sample(line: &str) -> Option<(&str, f64)> {
    let end = line.find(['{', ' ', '\t'])?;
    let name = &line[..end];
    let rest = match line[end..].strip_prefix('{') {
        // Label values may hold any character in quotes, a brace among them: the last brace ends the labels.
        Some(labels) => &labels[labels.rfind('}')? + 1..],
        None => &line[end..],
    };
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some((name, value))
}

#[derive(Default)]
struct Series {
    sum: f64,
    count: u32,
    bad: bool,
}

impl Series {
    fn add(&mut self, value: f64) {
        self.bad |= !value.is_finite() || value < 0.0;
        self.sum += value;
        self.count += 1;
    }

    /// `None` when absent, `Some(None)` when senseless.
    fn total(&self, max: f64) -> Option<Option<f64>> {
        (self.count > 0).then(|| (!self.bad && self.sum <= max).then_some(self.sum))
    }

    fn mean(&self, max: f64) -> Option<Option<f64>> {
        let mean = self.sum / f64::from(self.count.max(1));
        (self.count > 0).then(|| (!self.bad && mean <= max).then_some(mean))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_vllm() {
        let page = "# HELP vllm:num_requests_running x\nvllm:num_requests_running{engine=\"0\",model_name=\"a{b}\"} 3.0\n\
            vllm:num_requests_running{engine=\"1\"} 4.0\nvllm:num_requests_waiting{engine=\"0\"} 2.0 1700000000\n\
            vllm:num_requests_waiting_by_reason{reason=\"capacity\"} 9\nvllm:kv_cache_usage_perc{engine=\"0\"} 0.5\n\
            vllm:kv_cache_usage_perc{engine=\"1\"} 0.25\nrhumb_emulator_watts 420.5\n";
        let want = Reading { running: 7.0, waiting: 2.0, kv_use: Some(0.375), watts: Some(420.5) };
        assert_eq!(read(EngineKind::Vllm, page), Ok(want));
        let old = "vllm_num_requests_running 1\nvllm_num_requests_waiting 0\nvllm_gpu_cache_usage_perc 0.1\n";
        assert_eq!(read(EngineKind::Vllm, old).unwrap().kv_use, Some(0.1));
    }

    #[test]
    fn reads_sglang_and_llama_cpp() {
        let page = "sglang:num_running_reqs{x=\"y\"} 5\nsglang:num_queue_reqs 1\nsglang:token_usage 0.9\n";
        let want = Reading { running: 5.0, waiting: 1.0, kv_use: Some(0.9), watts: None };
        assert_eq!(read(EngineKind::Sglang, page), Ok(want));
        let page = "llamacpp:requests_processing 2\nllamacpp:requests_deferred 1\n";
        let want = Reading { running: 2.0, waiting: 1.0, kv_use: None, watts: None };
        assert_eq!(read(EngineKind::LlamaCpp, page), Ok(want));
    }

    #[test]
    fn f23_a_lying_or_broken_page_is_refused() {
        let of = |running: &str| {
            read(
                EngineKind::LlamaCpp,
                &format!("llamacpp:requests_processing {running}\nllamacpp:requests_deferred 0\n"),
            )
        };
        for lie in ["-1", "NaN", "inf", "1e300", "9999999"] {
            assert_eq!(of(lie), Err("the number of running requests makes no sense"), "{lie}");
        }
        assert!(of("12").is_ok());
        assert!(of("twelve").is_err());
        assert_eq!(read(EngineKind::Vllm, ""), Err("the number of running requests is missing"));
        assert!(read(EngineKind::Vllm, "<html>{}}{ 1\n}").is_err());
        assert!(read(EngineKind::Generic, "x 1").is_err());
        let kv = "vllm:num_requests_running 1\nvllm:num_requests_waiting 0\nvllm:kv_cache_usage_perc 7\n";
        assert_eq!(read(EngineKind::Vllm, kv).unwrap().kv_use, None);
    }
}
