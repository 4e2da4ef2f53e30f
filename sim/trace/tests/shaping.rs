//! One's own file through the front door: a fixture that the zstd tool packed, and what the options make of it.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::path::{Path, PathBuf};

use rhumb_trace::{Call, Kind, Options, TraceError, Workload, open, stats};

fn fixture(name: &str) -> Kind {
    Kind::Own(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name))
}

fn workload(options: &Options) -> Box<dyn Workload> {
    open(&fixture("own.csv.zst"), None, options).unwrap()
}

fn unasked(options: &Options) -> Vec<Call> {
    let mut workload = workload(options);
    std::iter::from_fn(|| workload.next_call()).take(1_000).collect()
}

fn at_s(calls: &[Call]) -> Vec<f64> {
    calls.iter().map(|c| c.at_us as f64 / 1e6).collect()
}

// The fixture: calls at 0, 1, 2 and 3 s; the one at 2 s waits 0.5 s after the answer to the one at 0 s, in session `a`.

#[test]
fn a_call_that_waits_is_sent_when_the_one_before_is_answered() {
    let mut workload = workload(&Options::default());
    assert_eq!(workload.block_tokens(), 64);
    let first = workload.next_call().unwrap();
    let rest: Vec<Call> = std::iter::from_fn(|| workload.next_call()).collect();
    assert_eq!(at_s(&rest), [1.0, 3.0]);
    let next = workload.ended(first.tag, 7_000_000).unwrap();
    assert_eq!((next.at_us, next.session, next.client), (7_500_000, first.session, 4));
    assert_eq!(next.blocks[..2], first.blocks[..]);
    assert!(workload.ended(first.tag, 8_000_000).is_none(), "it has ended before");
    assert!(workload.ended(rest[0].tag, 8_000_000).is_none());
}

#[test]
fn a_rate_stretches_time_and_a_repetition_has_names_of_its_own() {
    let options = Options { rate: Some(0.5), repeat: true, ..Options::default() };
    let calls = unasked(&options);
    assert_eq!(at_s(&calls[..6]), [0.0, 2.0, 6.0, 8.0, 10.0, 14.0]);
    assert_ne!(calls[0].session, calls[3].session);
    assert_ne!(calls[0].blocks, calls[3].blocks);
    assert_eq!(calls[0].client, calls[3].client);
}

#[test]
fn a_stretch_is_cut_and_starts_at_zero() {
    let calls = unasked(&Options { from_s: 1.0, until_s: Some(3.5), ..Options::default() });
    assert_eq!(at_s(&calls), [0.0, 2.0]);
    let error = open(&fixture("own.csv.zst"), None, &Options { from_s: 9.0, ..Options::default() });
    assert_eq!(error.err().unwrap().to_string(), "from_s is 9; the trace lasts 4 s: give less");
}

#[test]
fn copies_go_around_the_length_of_the_trace() {
    let calls = unasked(&Options { copies: vec![0.0, 1.5 / 3600.0], ..Options::default() });
    assert_eq!(at_s(&calls), [0.0, 0.5, 1.0, 1.5, 2.5, 3.0]);
    assert_eq!(calls.iter().map(|c| c.client).collect::<Vec<_>>(), [4, 5, 0, 9, 5, 0]);
    assert_ne!(calls[0].session, calls[3].session);
    assert_ne!(calls[0].blocks, calls[3].blocks);
}

#[test]
fn a_limit_counts_calls_that_wait_too() {
    let mut workload = workload(&Options { limit: Some(2), ..Options::default() });
    let first = workload.next_call().unwrap();
    assert!(workload.ended(first.tag, 5).is_some());
    assert!(workload.next_call().is_none());
}

#[test]
fn stats_are_of_all_rows() {
    let stats = stats(&fixture("own.csv.zst"), None).unwrap();
    assert_eq!((stats.calls, stats.input_tokens, stats.output_tokens, stats.cv), (4, 128.0, 6.5, 0.0));
}

#[test]
fn a_cut_archive_says_so() {
    let error = open(&fixture("cut.csv.zst"), None, &Options::default()).err().unwrap();
    assert!(matches!(error, TraceError::Archive { .. }));
    let text = error.to_string();
    assert!(text.contains("cut.csv.zst is not a whole zstandard archive: "), "{text}");
    assert!(text.ends_with("; fetch or compress it anew"), "{text}");
}

#[test]
fn a_data_directory_without_the_file_is_named_with_it() {
    let error = |dir| open(&Kind::Agentic, dir, &Options::default()).err().unwrap().to_string();
    assert_eq!(
        error(None),
        "no data directory is given to look for traces/agentic_coding_requests.csv.zst in; set RHUMB_DATA_DIR or pass \
         `--data DIR` (`rhumb sim data` says what is needed)"
    );
    assert!(
        error(Some(Path::new("/nowhere")))
            .starts_with("/nowhere/traces/agentic_coding_requests.csv.zst is not there; ")
    );
}
