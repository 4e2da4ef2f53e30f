//! Whatever the bytes, a reader gives a workload or an error, and the workload plays.

use std::io::Cursor;

use proptest::prelude::*;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use crate::file::Source;
use crate::fleet::Fleet;
use crate::mix::Stream;
use crate::replay::Replay;
use crate::rows::Rows;
use crate::{Options, TraceError, Workload, agentic, azure, mooncake, own, servegen};

/// Text that is like a trace more often than not.
fn text(header: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let cell = prop_oneof![
        8 => "[0-9]{1,3}",
        1 => "-?[0-9]{1,20}(\\.[0-9]{1,3})?(e[0-9]{1,3})?",
        1 => prop::sample::select(vec!["", "G", "W", "NaN", "inf", "m", "input_tokens", "output_tokens", "\"", "a b", "600"])
            .prop_map(str::to_owned),
    ];
    let columns = header.split(',').count();
    let line = prop::collection::vec(cell, columns - 1..=columns).prop_map(|cells| cells.join(","));
    let table = prop::collection::vec(line, 0..8).prop_map(move |lines| {
        let mut sorted = lines;
        sorted.sort();
        format!("{header}\n{}\n", sorted.join("\n")).into_bytes()
    });
    prop_oneof![4 => table, 1 => prop::collection::vec(any::<u8>(), 0..200)]
}

/// A good text in which one character is another.
fn mutated(good: &'static str) -> impl Strategy<Value = Vec<u8>> {
    (any::<prop::sample::Index>(), prop::sample::select(b"0123456789,.\n-eGW\xff".to_vec())).prop_map(|(at, byte)| {
        let mut bytes = good.as_bytes().to_vec();
        let i = at.index(bytes.len());
        bytes[i] = byte;
        bytes
    })
}

fn json() -> impl Strategy<Value = Vec<u8>> {
    let value = prop_oneof![
        4 => "[0-9]{1,4}",
        1 => prop::sample::select(vec!["null", "-1", "1e300", "[]", "[1,2]", "\"a\"", "{", "18446744073709551616"])
            .prop_map(str::to_owned),
    ];
    let name = prop::sample::select(vec![
        "arrival_s",
        "timestamp",
        "input_tokens",
        "output_tokens",
        "session",
        "think_s",
        "client",
        "hash_ids",
        "block_tokens",
    ]);
    let object = prop::collection::vec((name, value), 0..9).prop_map(|fields| {
        let fields: Vec<String> = fields.iter().map(|(n, v)| format!("\"{n}\":{v}")).collect();
        format!("{{\"input_tokens\":9,\"output_tokens\":9,\"arrival_s\":1,{}}}\n", fields.join(","))
    });
    let lines = prop::collection::vec(object, 0..5).prop_map(|lines| lines.concat().into_bytes());
    prop_oneof![3 => lines, 1 => prop::collection::vec(any::<u8>(), 0..200)]
}

fn options() -> impl Strategy<Value = Options> {
    let copies = prop::collection::vec(0.0..100.0_f64, 0..3);
    let rate = prop::option::of(0.001..10.0_f64);
    (
        any::<u64>(),
        prop::option::of(0..40_u64),
        rate,
        prop::option::of(0.01..1.0_f64),
        0.0..99.0_f64,
        any::<bool>(),
        copies,
    )
        .prop_map(|(seed, limit, rate, thin, from_s, repeat, copies)| Options {
            seed,
            limit,
            rate,
            thin,
            from_s,
            until_s: None,
            repeat,
            copies,
        })
}

fn play(mut workload: impl Workload) {
    let mut before_us = 0;
    for _ in 0..30 {
        let Some(call) = workload.next_call() else { return };
        assert!(call.at_us >= before_us && call.output_tokens >= 1);
        before_us = call.at_us;
        if let Some(next) = workload.ended(call.tag, u64::MAX - 1) {
            assert!(next.at_us >= u64::MAX - 1 && next.tag != call.tag);
        }
    }
}

fn replay(rows: Result<Rows, TraceError>, options: &Options) {
    if let Ok(workload) = rows.and_then(|rows| Replay::new(rows, options)) {
        play(workload);
    }
}

fn source(name: &str, bytes: &[u8]) -> Source {
    Source::new(name, Cursor::new(bytes.to_vec()))
}

const OWN: &str = "arrival_s,input_tokens,output_tokens,session,client,think_s,hash_ids,block_tokens";
const TURNS: &str = "session,agent,seq,t_s,think_s,api_s,input_tokens,output_tokens,blocks64,shared_prefix_blocks64";

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn tables(azure in text("arrival_s,input_tokens,output_tokens"), own in text(OWN), json in json(), o in options()) {
        replay(azure::read(source("a.csv", &azure)), &o);
        replay(own::read(source("a.csv", &own)), &o);
        replay(own::read(source("a.jsonl", &json)), &o);
        replay(mooncake::read(source("a.jsonl", &json), o.seed), &o);
    }

    #[test]
    fn sessions(turns in text(TURNS), sessions in text("session,tool_tokens,system_tokens"), o in options()) {
        if let Ok(trace) = agentic::read(source("r.csv", &turns), source("s.csv", &sessions)) {
            play(Fleet::new(trace, &o));
        }
    }

    #[test]
    fn good_sessions_gone_wrong(
        turns in mutated(agentic::tests::REQUESTS),
        sessions in mutated(agentic::tests::SESSIONS),
        o in options(),
    ) {
        if let Ok(trace) = agentic::read(source("r.csv", &turns), source("s.csv", &sessions)) {
            play(Fleet::new(trace, &o));
        }
    }

    #[test]
    fn good_client_mixes_gone_wrong(
        rates in mutated(servegen::tests::RATES),
        lengths in mutated(servegen::tests::LENGTHS),
        o in options(),
    ) {
        let mix = servegen::read(source("r.csv", &rates), source("l.csv", &lengths), "m");
        if let Ok(workload) = mix.and_then(|mix| Stream::new(mix, &o)) {
            play(workload);
        }
    }

    #[test]
    fn client_mixes(
        rates in text("client,window_s,rate_rps,cv,pattern"),
        lengths in text("model,client,field,windows,mean,p5,p25,p50,p75,p90,p95,p99"),
        cv in 0.001..1e4_f64,
        o in options(),
    ) {
        let _ = servegen::read(source("r.csv", &rates), source("l.csv", &lengths), "m");
        let rates = format!("client,window_s,rate_rps,cv,pattern\n0,0,0.5,{cv},W\n0,600,0.3,{cv},G\n");
        let known = servegen::tests::LENGTHS;
        let mix = servegen::read(source("r.csv", rates.as_bytes()), source("l.csv", known.as_bytes()), "m").unwrap();
        play(Stream::new(mix, &o).unwrap());
    }

    #[test]
    fn archives(own in text(OWN), junk in prop::collection::vec(any::<u8>(), 0..80), at in any::<prop::sample::Index>(), o in options()) {
        let mut packed = compress_to_vec(own.as_slice(), CompressionLevel::Fastest);
        replay(own::read(source("a.csv.zst", &packed)), &o);
        let i = at.index(packed.len());
        packed.splice(i.., junk.iter().copied());
        replay(own::read(source("a.csv.zst", &packed)), &o);
        replay(own::read(source("a.jsonl.zst", &junk)), &o);
    }
}
