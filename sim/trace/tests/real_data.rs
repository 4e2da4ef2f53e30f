//! The published traces, where they are at hand: what their README says of them is what the readers find.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::PathBuf;

use rhumb_trace::{Call, Kind, Options, Workload, open, stats};

/// The data directory; None, and a word about it, where there is none.
fn data() -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "where the data lie is the machine's affair, not the simulation's")]
    let named = std::env::var("RHUMB_DATA_DIR").ok().map(PathBuf::from);
    let beside = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data"));
    let found = named.into_iter().chain([beside]).find(|dir| dir.join("traces").is_dir());
    if found.is_none() {
        println!("not run: the traces are not here; set RHUMB_DATA_DIR");
    }
    found
}

/// Every call, each answered a second after it was sent.
fn all(workload: &mut dyn Workload) -> Vec<Call> {
    let mut calls = Vec::new();
    while let Some(first) = workload.next_call() {
        let mut next = Some(first);
        while let Some(call) = next {
            next = workload.ended(call.tag, call.at_us + 1_000_000);
            calls.push(call);
        }
    }
    calls
}

fn near(found: f64, wanted: f64, part: f64) {
    assert!((found / wanted - 1.0).abs() <= part, "{found} instead of {wanted}");
}

#[test]
fn tables_have_their_rows_and_means() {
    let Some(data) = data() else { return };
    let rows = [
        (Kind::AzureConv, 19_366, 5.53, 1154.7, 211.1, Some(1.09)),
        (Kind::AzureCode, 8_819, 2.57, 2047.8, 27.9, Some(13.15)),
        // Its README's 3.03 is of the batched timestamps, which are spread here.
        (Kind::Mooncake, 12_031, 3.40, 12_035.0, 342.6, None),
    ];
    for (kind, calls, rps, input, output, cv) in rows {
        let stats = stats(&kind, Some(&data)).unwrap();
        assert_eq!(stats.calls, calls);
        near(stats.rps, rps, 0.002);
        near(stats.input_tokens, input, 0.001);
        near(stats.output_tokens, output, 0.002);
        cv.into_iter().for_each(|cv| near(stats.cv, cv, 0.005));
        let mut workload = open(&kind, Some(&data), &Options::default()).unwrap();
        let calls_read = all(workload.as_mut());
        assert_eq!(calls_read.len() as u64, calls);
        assert!(calls_read.is_sorted_by_key(|c| c.at_us) && calls_read.iter().all(|c| c.output_tokens >= 1));
    }
    assert!(stats(&Kind::Mooncake, Some(&data)).unwrap().cv < 1.2);
}

/// Share of the prompts' tokens in blocks that were seen before.
fn hit(calls: &[Call], block_tokens: u32) -> f64 {
    let mut seen = BTreeSet::new();
    let (mut hits, mut tokens) = (0, 0);
    for call in calls {
        hits += call.blocks.iter().filter(|b| seen.contains(*b)).count() as u64;
        tokens += u64::from(call.input_tokens);
        seen.extend(call.blocks.iter().copied());
    }
    hits as f64 * f64::from(block_tokens) / tokens as f64
}

#[test]
fn mooncake_reuses_what_it_reuses() {
    let Some(data) = data() else { return };
    let mut workload = open(&Kind::Mooncake, Some(&data), &Options::default()).unwrap();
    let whole = hit(&all(workload.as_mut()), workload.block_tokens());
    // 37.4 % counts the last, part-filled block of a prompt that came twice word for word.
    assert!((whole - 0.374).abs() < 0.002, "{whole}");
    // A unit is a conversation, the longest of which have forty calls: the share and the hits hold over many draws.
    let thinned: Vec<(f64, f64)> = (0..12)
        .map(|seed| {
            let thin = Options { seed, thin: Some(0.2), ..Options::default() };
            let calls = all(open(&Kind::Mooncake, Some(&data), &thin).unwrap().as_mut());
            (calls.len() as f64, hit(&calls, 512))
        })
        .collect();
    let (n, hits) = thinned.iter().fold((0.0, 0.0), |(n, h), t| (n + t.0 / 12.0, h + t.1 / 12.0));
    println!("{thinned:?}");
    near(n, 0.2 * 12_031.0, 0.02);
    near(hits, whole, 0.05);
    let copied = Options { copies: vec![0.0, 0.25], ..Options::default() };
    let mut workload = open(&Kind::Mooncake, Some(&data), &copied).unwrap();
    let calls = all(workload.as_mut());
    assert_eq!((calls.len(), calls.iter().map(|c| c.client).max()), (24_062, Some(1)));
    assert!((hit(&calls, 512) - whole).abs() < 0.01, "a copy has prefixes of its own");
}

#[test]
fn agents_share_what_the_call_before_had() {
    let Some(data) = data() else { return };
    let mut workload = open(&Kind::Agentic, Some(&data), &Options::default()).unwrap();
    let (mut calls, mut sessions, mut blocks, mut shared) = (0, BTreeSet::new(), 0, 0);
    while let Some(first) = workload.next_call() {
        let mut next = Some(first);
        let mut before: Vec<u64> = Vec::new();
        while let Some(call) = next {
            calls += 1;
            sessions.insert(call.session);
            blocks += call.blocks.len();
            shared += call.blocks.iter().zip(&before).take_while(|(a, b)| a == b).count();
            next = workload.ended(call.tag, call.at_us + 1_000_000);
            before = call.blocks;
        }
    }
    assert_eq!((calls, sessions.len()), (36_689, 568));
    assert!((shared as f64 / blocks as f64 - 0.962).abs() < 0.0005, "{}", shared as f64 / blocks as f64);
    let stats = stats(&Kind::Agentic, Some(&data)).unwrap();
    assert_eq!(stats.calls, 36_689);
    // The README's 118,296 and 440 are of the whole source, of which some sessions are kept apart.
    near(stats.input_tokens, 118_296.0, 0.005);
    near(stats.output_tokens, 440.0, 0.005);
}

#[test]
fn client_mixes_have_their_rate() {
    let Some(data) = data() else { return };
    let large = stats(&Kind::ServegenMLarge, Some(&data)).unwrap();
    near(large.rps, 195.8, 0.001);
    // m-small has windows in which nobody called: 1196.4 is over those in which someone did.
    near(stats(&Kind::ServegenMSmall, Some(&data)).unwrap().rps, 1196.4 * 1979.0 / 2016.0, 0.001);
    near(stats(&Kind::ServegenMmImage, Some(&data)).unwrap().rps, 9.47, 0.001);
    // An hour of each hour of a day at a twentieth of the rate: the day's mean and its shape.
    let day = Options { thin: Some(0.02), from_s: 86_400.0, until_s: Some(172_800.0), ..Options::default() };
    let mut workload = open(&Kind::ServegenMLarge, Some(&data), &day).unwrap();
    let (mut n, mut input, mut output) = (0.0, 0.0, 0.0);
    while let Some(call) = workload.next_call() {
        assert!(call.at_us < 86_400_000_000);
        n += 1.0;
        input += f64::from(call.input_tokens);
        output += f64::from(call.output_tokens);
    }
    near(n / 86_400.0 / 0.02, 195.8, 0.15);
    near(input / n, large.input_tokens, 0.25);
    near(output / n, large.output_tokens, 0.25);
}

#[test]
fn thinning_keeps_the_bursts_of_the_coding_service() {
    let Some(data) = data() else { return };
    let spread = |options: &Options| {
        let mut workload = open(&Kind::AzureCode, Some(&data), options).unwrap();
        let mut counts = vec![0.0; 344];
        all(workload.as_mut()).iter().for_each(|c| counts[(c.at_us / 10_000_000) as usize] += 1.0);
        let mean = counts.iter().sum::<f64>() / 344.0;
        (counts.iter().map(|c| (c - mean) * (c - mean)).sum::<f64>() / 344.0).sqrt() / mean
    };
    let whole = spread(&Options::default());
    for p in [0.5, 0.1] {
        near(spread(&Options { thin: Some(p), ..Options::default() }), whole, 0.03);
    }
}

#[test]
fn the_same_seed_gives_the_same_calls() {
    let Some(data) = data() else { return };
    for kind in [Kind::AzureCode, Kind::Mooncake, Kind::Agentic, Kind::ServegenMmImage] {
        let calls = |seed| {
            let options =
                Options { seed, limit: Some(3_000), thin: Some(0.5), copies: vec![0.0, 6.0], ..Options::default() };
            all(open(&kind, Some(&data), &options).unwrap().as_mut())
        };
        let once = calls(7);
        assert_eq!(once.len(), 3_000);
        assert!(once == calls(7), "{kind}");
        assert!(once != calls(8), "{kind}");
    }
}

/// Requests a second of a service, by windows of ten minutes; those without any are not there.
fn windows(data: &std::path::Path, service: &str) -> Vec<(u32, f64)> {
    let file = std::fs::File::open(data.join(format!("traces/servegen_{service}_rates.csv.zst"))).unwrap();
    let mut rows = csv::Reader::from_reader(ruzstd::decoding::StreamingDecoder::new(file).unwrap());
    let mut sums = std::collections::BTreeMap::new();
    for row in rows.records().map(Result::unwrap) {
        *sums.entry(row[1].parse::<u32>().unwrap()).or_insert(0.0) += row[2].parse::<f64>().unwrap();
    }
    sums.into_iter().collect()
}

fn p99(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() * 99 / 100]
}

/// What B1's pass lines rest on, and the busiest two hours that it takes.
#[test]
fn the_demand_of_regions_in_other_time_zones_peaks_below_the_sum_of_their_peaks() {
    let Some(data) = data() else { return };
    for (service, regions, wanted) in [("m-small", 3, 0.795), ("m-small", 6, 0.719), ("m-large", 3, 0.800)] {
        let rates: Vec<f64> = windows(&data, service).into_iter().map(|(_, rate)| rate).collect();
        let shift = 6 * 24 / regions;
        let together = |at: usize| (0..regions).map(|r| rates[(at + rates.len() - r * shift) % rates.len()]).sum();
        let pooled = p99((0..rates.len()).map(together).collect()) / (regions as f64 * p99(rates));
        near(pooled, wanted, 0.001);
    }
    for (service, busiest_s) in [("m-small", 920_400), ("m-large", 66_000)] {
        let windows = windows(&data, service);
        let (begins_s, rates): (Vec<u32>, Vec<f64>) = windows.into_iter().unzip();
        let two_hours: Vec<f64> = rates.windows(12).map(|w| w.iter().sum()).collect();
        let busiest = (0..two_hours.len()).max_by(|a, b| two_hours[*a].total_cmp(&two_hours[*b])).unwrap();
        assert_eq!(begins_s[busiest], busiest_s, "{service}");
    }
}
