//! Counts a workload's calls: `cargo run --release -p rhumb-trace --example count -- mooncake DATA [CALLS]`. Run it under
//! `time` to see how fast it draws.

use std::path::Path;

use rhumb_trace::{Kind, Options, TraceError, open, stats};

fn main() -> Result<(), TraceError> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let kind: Kind = given.first().map_or("", String::as_str).parse()?;
    let data = given.get(1).map(Path::new);
    println!("{:?}", stats(&kind, data)?);
    let limit = given.get(2).and_then(|n| n.parse().ok());
    let options = Options { limit, repeat: limit.is_some(), ..Options::default() };
    let mut workload = open(&kind, data, &options)?;
    let (mut calls, mut tokens, mut last_us) = (0_u64, 0_u64, 0);
    let mut unasked = 0_u64;
    while let Some(first) = workload.next_call() {
        unasked += 1;
        let mut next = Some(first);
        while let Some(call) = next {
            calls += 1;
            tokens += u64::from(call.input_tokens);
            last_us = call.at_us.max(last_us);
            next = workload.ended(call.tag, call.at_us + 1_000_000);
        }
    }
    println!("{calls} calls, {unasked} of them unasked, {tokens} input tokens, {} s", last_us / 1_000_000);
    Ok(())
}
