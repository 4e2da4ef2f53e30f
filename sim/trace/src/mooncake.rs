//! Mooncake's conversations (Qin et al., FAST 2025): arrivals, lengths, and the ids of the prompts' 512-token blocks.

use rhumb_rng::Rng;

use crate::TraceError;
use crate::file::Source;
use crate::jsonl;
use crate::rows::{Builder, Row, Rows};

/// The trace was written down every three seconds.
const BATCH_US: u64 = 3_000_000;

/// Reads `timestamp,input_length,output_length,hash_ids` and spreads each batch.
pub(crate) fn read(source: Source, seed: u64) -> Result<Rows, TraceError> {
    let mut rows = Builder::default();
    let file = jsonl::read(source, &mut rows)?;
    let mut rows = rows.finish(file)?;
    spread(&mut rows.list, &mut Rng::labelled(seed, "trace: mooncake batches"));
    for row in &mut rows.list {
        // Every prompt begins with the same block, the service's own; the second tells the conversation.
        row.unit = row.ids.get(1).copied();
    }
    Ok(rows)
}

/// Spreads the calls of one timestamp over the time until the next, three seconds at most, one in each equal part.
///
/// The timestamps are when a batch was written down and not when its calls came: a simulator that takes them at their
/// word sees ten calls at once and none for three seconds. Within a batch the order stays.
fn spread(rows: &mut [Row], rng: &mut Rng) {
    let mut rest = rows;
    while let Some(first) = rest.first() {
        let at_us = first.at_us;
        let n = rest.partition_point(|r| r.at_us == at_us);
        let room_us = rest.get(n).map_or(BATCH_US, |next| (next.at_us - at_us).min(BATCH_US));
        let (batch, later) = rest.split_at_mut(n);
        for (i, row) in batch.iter_mut().enumerate() {
            row.at_us = at_us + (room_us as f64 * (i as f64 + rng.unit()) / n as f64) as u64;
        }
        rest = later;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Rows, TraceError> {
        read(Source::new("m.jsonl", std::io::Cursor::new(text.as_bytes().to_vec())), 1)
    }

    #[test]
    fn a_batch_is_spread_over_its_time() {
        let line = |ms: u64| {
            format!("{{\"timestamp\":{ms},\"input_length\":1100,\"output_length\":5,\"hash_ids\":[0,7,9]}}\n")
        };
        let text: String = [0, 0, 0, 3000, 3000, 4000].map(line).concat();
        let rows = of(&text).unwrap();
        let at: Vec<u64> = rows.list.iter().map(|r| r.at_us / 1_000).collect();
        let parts = [0..1000, 1000..2000, 2000..3000, 3000..3500, 3500..4000, 4000..7000];
        assert!(at.iter().zip(&parts).all(|(at, part)| part.contains(at)), "{at:?}");
        assert_eq!((rows.list[0].ids.as_slice(), rows.block_tokens), (&[0, 7][..], 512), "the third block is not full");
    }

    #[test]
    fn errors_name_line_and_field() {
        let good = r#"{"timestamp":0,"input_length":600,"output_length":5,"hash_ids":[0,1]}"#;
        let error = |line: &str| of(&format!("{good}\n{line}\n")).unwrap_err().to_string();
        let cut = error(r#"{"timestamp":1,"#);
        assert_eq!(cut, "m.jsonl line 2, column 15: EOF while parsing a value; write one JSON object on each line");
        assert!(error("[1]").ends_with("write one JSON object on each line"));
        assert_eq!(
            error(r#"{"timestamp":1,"output_length":5}"#),
            "m.jsonl line 2, input_tokens or input_length: is missing; give a whole number from 1 to 10000000"
        );
        assert_eq!(
            error(r#"{"timestamp":1,"input_length":-3,"output_length":5}"#),
            "m.jsonl line 2, input_length: is -3; give a whole number from 1 to 10000000"
        );
        assert_eq!(
            error(r#"{"timestamp":1,"input_length":600,"output_length":5,"hash_ids":[1,2,3]}"#),
            "m.jsonl line 2, hash_ids: has 3 blocks of 512 tokens for 600 input tokens; give at most 2"
        );
        assert_eq!(
            error(r#"{"timestamp":1,"input_length":600,"output_length":5,"hash_ids":["a"]}"#),
            "m.jsonl line 2, hash_ids: is \"a\"; give a list of whole numbers, one for each block of the prompt"
        );
        assert_eq!(
            error(r#"{"timestamp":"x","input_length":600,"output_length":5}"#),
            "m.jsonl line 2, timestamp: is \"x\"; give milliseconds since the start, from 0 to 1000000000000"
        );
        let back = of(&format!("{}\n{good}\n", good.replace(":0,", ":9,"))).unwrap_err().to_string();
        assert_eq!(back, "m.jsonl line 2, timestamp: goes back, from 0.009 s to 0 s; sort the lines by time");
    }
}
