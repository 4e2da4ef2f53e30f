//! `rhumb sim data`: which files the simulator reads, where they are from, and what runs without them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use rhumb_lab::BENCHMARKS;

use rhumb_cli::exit::{self, Outcome};
use rhumb_cli::lab::Data;
use rhumb_cli::out;

/// Where files come from.
struct Source {
    /// How the names of its files begin.
    begins: &'static str,
    what: &'static str,
    from: &'static str,
    licence: &'static str,
}

const SOURCES: [Source; 6] = [
    Source {
        begins: "traces/azure_llm_2023_",
        what: "an hour of Azure's chat or coding service: arrival_s, input_tokens, output_tokens",
        from: "github.com/Azure/AzurePublicDataset, data/AzureLLMInferenceTrace_{conv,code}.csv",
        licence: "CC-BY-4.0",
    },
    Source {
        begins: "traces/mooncake_",
        what: "an hour of Kimi's conversations with their prefix blocks, as published",
        from: "github.com/kvcache-ai/Mooncake, FAST25-release/traces/",
        licence: "Apache-2.0",
    },
    Source {
        begins: "traces/agentic_",
        what: "Claude Code sessions, call by call",
        from: "github.com/callanjfox/kv-cache-tester, traces/",
        licence: "Apache-2.0",
    },
    Source {
        begins: "traces/servegen_",
        what: "clients of three services of Alibaba: rates in ten minutes, lengths as quantiles",
        from: "github.com/alibaba/ServeGen, data/",
        licence: "Apache-2.0",
    },
    Source {
        begins: "power/electricity_price_2024_",
        what: "market prices of electricity by the hour of 2024",
        from: "github.com/HewlettPackard/green-dcc",
        licence: "MIT",
    },
    Source {
        begins: "carbon/carbon_intensity_2024_",
        what: "direct carbon intensity by the hour of 2024",
        from: "github.com/HewlettPackard/green-dcc; underlying data by Electricity Maps",
        licence: "MIT; the data ODbL (attribute, share alike)",
    },
];

/// Measurements that the engine model is fitted to and judged by: file, where it is from, and its licence.
const MEASURED: [[&str; 3]; 5] = [
    ["perf/silicon_ttft_tpot.csv.zst", "github.com/ai-dynamo/aiconfigurator, silicon_sample.csv", "Apache-2.0"],
    ["perf/gemm_latency.csv.zst", "github.com/ai-dynamo/aiconfigurator", "Apache-2.0"],
    ["perf/vllm_rtxpro6000_requests.csv", "github.com/casys-kaist/LLMServingSim, bench/examples/", "MIT"],
    ["perf/vllm_rtxpro6000_timeseries.csv", "github.com/casys-kaist/LLMServingSim, bench/examples/", "MIT"],
    [
        "power/mlenergy_llm_runs.csv",
        "github.com/ml-energy/leaderboard, public/data/tasks/",
        "none stated: cite ML.ENERGY",
    ],
];

/// Prints what is needed for what.
pub(crate) fn run(data: &Data) -> Outcome {
    let mut needed: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut without = Vec::new();
    for (name, _) in rhumb_lab::list()? {
        let files = rhumb_lab::load(name).and_then(|loaded| loaded.data_files())?;
        if files.is_empty() {
            without.push(name);
        }
        for file in files {
            needed.entry(file).or_default().push(name);
        }
    }
    out::print(text(&needed, &without, data.dir().as_deref()))?;
    Ok(exit::DONE)
}

fn text(needed: &BTreeMap<String, Vec<&str>>, without: &[&str], dir: Option<&Path>) -> String {
    let mut out = format!("Runs without a data folder: {}, b10, and files of your own.\n", without.join(", "));
    let _ = match dir {
        None => writeln!(out, "No data folder is given: set RHUMB_DATA_DIR, or pass `--data DIR`."),
        Some(dir) => writeln!(out, "The data folder is `{}`.", dir.display()),
    };
    let lacking: Vec<&str> = BENCHMARKS.into_iter().filter(|name| !without.contains(name)).collect();
    let _ = writeln!(
        out,
        "`rhumb-lab compare` and `tune` run {};\nof these {} need it.\nHow each file is made: docs/reference/traces.md.",
        BENCHMARKS.join(", "),
        lacking.join(", ")
    );
    let there = |file: &str| match dir {
        Some(dir) if dir.join(file).is_file() => "  (there)",
        Some(_) => "  (missing)",
        None => "",
    };
    for (file, scenarios) in needed {
        let _ = write!(out, "\n{file}{}\n  for      {}\n", there(file), scenarios.join(", "));
        if let Some(source) = SOURCES.iter().find(|source| file.starts_with(source.begins)) {
            let Source { what, from, licence, .. } = source;
            let _ = writeln!(out, "  what     {what}\n  from     {from}\n  licence  {licence}");
        }
    }
    for [file, from, licence] in MEASURED {
        let found = there(file);
        let _ = writeln!(out, "\n{file}{found}\n  for      b9, fidelity, fit\n  from     {from}\n  licence  {licence}");
    }
    out
}
