//! Engine metrics in the Prometheus text format, one table of names per engine.

use std::collections::BTreeMap;

use rhumb_grid::config::EngineKind;
use rhumb_promtext::{Sample, samples};

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

/// Names of one engine's metrics.
struct Names {
    /// What stands before each name, with `:` or `_` behind it. Ray Serve puts `ray_` before that, NIM leaves it out.
    prefix: &'static str,
    running: &'static [&'static str],
    waiting: &'static [&'static str],
    /// The first of them that the page has counts.
    kv_use: &'static [&'static str],
}

fn names(engine: EngineKind) -> Option<Names> {
    match engine {
        EngineKind::Vllm => Some(Names {
            prefix: "vllm",
            running: &["num_requests_running"],
            waiting: &["num_requests_waiting"],
            // Renamed in 2025; some versions print both.
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
            // Versions before the middle of 2025 have it.
            kv_use: &["kv_cache_usage_ratio"],
        }),
        EngineKind::Generic => None,
    }
}

/// The engine that prints this page, told by the names of its metrics; `None` where none is known.
pub(crate) fn engine_of(page: &str) -> Option<EngineKind> {
    [EngineKind::Vllm, EngineKind::Sglang, EngineKind::LlamaCpp].into_iter().find(|engine| {
        let prefix = names(*engine).map_or("", |names| names.prefix);
        samples(page).any(|sample| {
            let written = sample.name.strip_prefix("ray_").unwrap_or(sample.name);
            written.strip_prefix(prefix).is_some_and(|rest| rest.starts_with([':', '_']))
        })
    })
}

/// More requests than this at one endpoint is a lie or a fault, not a load.
const REQUESTS_MAX: f64 = 1e6;

/// More power than this at one endpoint is a lie or a fault.
const WATTS_MAX: f64 = 1e7;

/// Reads an engine's metrics page. Data-parallel ranks, engines and models have requests of their own, which are added
/// up, as their shares are averaged. The other ranks of one engine (tensor, pipeline, context and expert parallel) each
/// print the same requests, which count once.
///
/// # Errors
/// What is missing or makes no sense.
pub fn read(engine: EngineKind, page: &str) -> Result<Reading, &'static str> {
    let names = names(engine).ok_or("this engine has no metrics that are known")?;
    let mut found: BTreeMap<&str, Series> = BTreeMap::new();
    for sample in samples(page) {
        if let Some(name) = plain_name(&names, sample.name) {
            found.entry(name).or_default().add(&sample);
        }
    }
    let count = |wanted: &[&str]| wanted.iter().find_map(|name| found.get(name)).map(|s| s.total(REQUESTS_MAX));
    let running = count(names.running).ok_or("the number of running requests is missing")?;
    let waiting = count(names.waiting).ok_or("the number of waiting requests is missing")?;
    Ok(Reading {
        running: running.ok_or("the number of running requests makes no sense")?,
        waiting: waiting.ok_or("the number of waiting requests makes no sense")?,
        kv_use: names.kv_use.iter().find_map(|name| found.get(name)?.mean(1.0)),
        watts: found.get(WATTS).and_then(|s| s.total(WATTS_MAX)),
    })
}

/// Power of the GPUs, as `rhumb engine` prints it.
const WATTS: &str = "rhumb_emulator_watts";

/// A metric's name without what deployments put before it, if it is one that is read.
fn plain_name<'a>(names: &Names, written: &'a str) -> Option<&'a str> {
    if written == WATTS {
        return Some(written);
    }
    let rest = written.strip_prefix("ray_").unwrap_or(written);
    let name = rest.strip_prefix(names.prefix).and_then(|r| r.strip_prefix([':', '_'])).unwrap_or(rest);
    [names.running, names.waiting, names.kv_use].iter().any(|known| known.contains(&name)).then_some(name)
}

/// Whether series that differ in this label alone are copies of one number. SGLang also prints its queue by priority,
/// beside the whole of it; `pid` tells processes of one engine apart.
fn is_copy(label: &str) -> bool {
    let has = |wanted: &[&str]| label.split('_').any(|word| wanted.contains(&word));
    matches!(label, "priority" | "pid") || has(&["rank", "tp", "pp", "cp", "ep", "sp"]) && !has(&["dp", "data"])
}

/// The samples of one metric: of copies, the largest.
#[derive(Default)]
struct Series<'a> {
    groups: BTreeMap<Vec<(&'a str, &'a str)>, f64>,
    bad: bool,
}

impl<'a> Series<'a> {
    fn add(&mut self, sample: &Sample<'a>) {
        self.bad |= !sample.value.is_finite() || sample.value < 0.0;
        let labels = sample.labels.iter().filter(|(name, _)| !is_copy(name)).copied().collect();
        let largest = self.groups.entry(labels).or_insert(sample.value);
        *largest = largest.max(sample.value);
    }

    /// The sum of the groups, if it makes sense.
    fn total(&self, max: f64) -> Option<f64> {
        let sum: f64 = self.groups.values().sum();
        (!self.bad && sum <= max).then_some(sum)
    }

    /// The mean of the groups, if it makes sense.
    fn mean(&self, max: f64) -> Option<f64> {
        let mean = self.groups.values().sum::<f64>() / self.groups.len().max(1) as f64;
        (!self.bad && mean <= max).then_some(mean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_told_by_its_metrics() {
        assert_eq!(engine_of("# x\nvllm:num_requests_running{a=\"b\"} 3\n"), Some(EngineKind::Vllm));
        assert_eq!(engine_of("ray_vllm_num_requests_running 3\n"), Some(EngineKind::Vllm));
        assert_eq!(engine_of("sglang:num_running_reqs 1\n"), Some(EngineKind::Sglang));
        assert_eq!(engine_of("llamacpp:requests_processing 1\n"), Some(EngineKind::LlamaCpp));
        assert_eq!(engine_of("process_cpu_seconds_total 1\nvllmx_a 1\n<html>"), None);
    }

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

    /// Running, waiting, and the share of the KV cache.
    fn three(engine: EngineKind, page: &str) -> (f64, f64, Option<f64>) {
        let r = read(engine, page).unwrap();
        (r.running, r.waiting, r.kv_use)
    }

    #[test]
    fn ranks_of_one_engine_count_once_and_data_parallel_ones_add_up() {
        let page = |label: &dyn Fn(usize) -> String| {
            let of = |i: usize| {
                let (l, engine) = (label(i), "engine_type=\"unified\",model_name=\"m\"");
                format!(
                    "sglang:num_running_reqs{{{l},{engine}}} 4.0\nsglang:num_queue_reqs{{{engine},{l}}} 1\n\
                     sglang:token_usage{{{engine},{l}}} 0.5\n"
                )
            };
            (0..8).map(of).collect::<String>()
        };
        for rank in ["tp_rank", "pp_rank", "attn_cp_rank", "moe_ep_rank", "rank", "pid"] {
            let text = page(&|i| format!("{rank}=\"{i}\""));
            assert_eq!(three(EngineKind::Sglang, &text), (4.0, 1.0, Some(0.5)), "{rank}");
        }
        let text = page(&|i| format!("dp_rank=\"{}\",pp_rank=\"{}\",tp_rank=\"{i}\"", i / 4, i % 2));
        assert_eq!(three(EngineKind::Sglang, &text), (8.0, 2.0, Some(0.5)), "two of four ranks each");
        let text = page(&|i| format!("priority=\"{}\"", if i == 0 { String::new() } else { i.to_string() }));
        assert_eq!(three(EngineKind::Sglang, &text), (4.0, 1.0, Some(0.5)), "the whole and its parts");
    }

    #[test]
    fn names_are_known_whatever_stands_before_them() {
        for prefix in ["vllm:", "vllm_", "ray_vllm:", "ray_vllm_", ""] {
            for kv in ["kv_cache_usage_perc", "gpu_cache_usage_perc"] {
                let page = format!(
                    "{prefix}num_requests_running{{WorkerId=\"a\"}} 3\n{prefix}num_requests_waiting{{WorkerId=\"a\"}} 2\n\
                     {prefix}{kv}{{WorkerId=\"a\"}} 0.4\n"
                );
                assert_eq!(three(EngineKind::Vllm, &page), (3.0, 2.0, Some(0.4)), "{page}");
            }
        }
        let page = "sglang_num_running_reqs 3\nsglang_num_queue_reqs 1\nsglang_token_usage 0.2\n";
        assert_eq!(three(EngineKind::Sglang, page), (3.0, 1.0, Some(0.2)));
        let both = "vllm:num_requests_running 3\nvllm:num_requests_waiting 2\nvllm:gpu_cache_usage_perc 0.4\n";
        assert_eq!(three(EngineKind::Vllm, &format!("{both}vllm:kv_cache_usage_perc 0.5\n")).2, Some(0.5));
        assert_eq!(three(EngineKind::Vllm, &format!("{both}vllm:kv_cache_usage_perc NaN\n")).2, Some(0.4));
        assert!(read(EngineKind::Vllm, "xvllm:num_requests_running 1\nother_num_requests_waiting 1\n").is_err());
    }

    #[test]
    fn lines_are_read_as_the_formats_allow() {
        let page = "vllm:num_requests_running {b=\"}\\\"{, x=\", a=\"1\",} 3e0 1700000000 # {trace_id=\"x}\"} 7 1.0\r\n\
            vllm:num_requests_running{a=\"1\",b=\"}\\\"{, x=\"}\t3\n  vllm:num_requests_waiting\t2 # {} 9\n\
            vllm:num_requests_waiting{a=1} 5\nvllm:num_requests_waiting{a=\"} 5\n# vllm:num_requests_waiting 5\n# EOF\n";
        assert_eq!(three(EngineKind::Vllm, page), (3.0, 2.0, None));
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
