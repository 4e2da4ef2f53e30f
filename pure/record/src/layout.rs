//! The present layout, and the way into it from any other.
//!
//! A record is the number of its layout, one byte, and sections. Each section is a struct of this file, and not one of the
//! router's: a field that the router adds does not compile until it is added here too, at the end of its section, with a
//! default for records from before.

use rhumb_grid::config::{Accepts, Router};
use rhumb_grid::dialects::Dialects;
use rhumb_grid::position::{EndpointIndex, ModelIndex, SiteIndex};
use rhumb_grid::rates::Rates;
use rhumb_grid::tasks::Tasks;
use rhumb_route::decide::Choice;
use rhumb_route::facts::{Facts, Hit};
use rhumb_route::record::Kept;
use rhumb_route::row::{Able, CandidateHealth, LocalLoad, Row};
use serde::{Deserialize, Serialize};

use crate::before;
use crate::section::{pop, push};
use crate::stored::{Damaged, Named, Stored};

/// First byte of what is written.
const LAYOUT: u8 = 5;

/// A struct that is written with exactly these fields of another, in this order.
macro_rules! written {
    ($(#[$doc:meta])* $written:ident = $plain:ident { $($field:ident: $type:ty,)* } $(but $skipped:ident)?) => {
        $(#[$doc])*
        #[derive(Serialize, Deserialize)]
        struct $written { $($field: $type,)* }

        impl From<$plain> for $written {
            fn from(plain: $plain) -> Self {
                let $plain { $($field,)* $($skipped: _)? } = plain;
                Self { $($field: $field.into(),)* }
            }
        }

        impl From<$written> for $plain {
            fn from(written: $written) -> Self {
                Self { $($field: written.$field.into(),)* $($skipped: Default::default())? }
            }
        }
    };
}

/// Abilities as bits, so that there may be more of them.
#[derive(Serialize, Deserialize)]
struct Abilities(u32);

impl From<Able> for Abilities {
    fn from(able: Able) -> Self {
        let Able { vision, audio, tools, tasks, dialects } = able;
        let bits = [vision, audio, tools].iter().rev().fold(0, |bits, has| bits << 1 | u32::from(*has));
        Self(bits | u32::from(tasks.bits()) << 3 | u32::from(dialects.bits()) << 11)
    }
}

impl From<Abilities> for Able {
    fn from(Abilities(bits): Abilities) -> Self {
        let has = |bit: u32| bits >> bit & 1 == 1;
        let byte = |from: u32| (bits >> from & 0xff) as u8;
        let (tasks, dialects) = (Tasks::from_bits(byte(3)), Dialects::from_bits(byte(11)));
        Self { vision: has(0), audio: has(1), tools: has(2), tasks, dialects }
    }
}

#[derive(Serialize, Deserialize)]
struct Head {
    run: u64,
    view: u64,
    fingerprint: u64,
    router: Router,
    seed: u64,
}

written! {
    WrittenFacts = Facts {
        models: Vec<ModelIndex>,
        prompt_tokens: f64,
        output_tokens: f64,
        max_tokens: Option<u64>,
        bytes_per_token: f64,
        needs: Abilities,
        countries: Vec<[u8; 2]>,
        client_ms: f64,
        affinity: Option<u64>,
        pin: Option<(EndpointIndex, ModelIndex)>,
        hits: Vec<Hit>,
        longest_tokens: f64,
        certain_tokens: f64,
    }
}

written! {
    WrittenRates = Rates {
        second_usd: f64,
        network_factor: f64,
        ttft_slo_ms: f64,
        miss_usd: f64,
        reading_pace_ms: f64,
        quality: f64,
        quality_usd: f64,
        switch_usd: f64,
        first_token_timeout_ms: u64,
        idle_timeout_ms: u64,
        max_attempts: u32,
    }
}

written! {
    WrittenRow = Row {
        endpoint: EndpointIndex,
        site: SiteIndex,
        model: ModelIndex,
        country: [u8; 2],
        able: Abilities,
        health: CandidateHealth,
        accepts: Accepts,
        context_tokens: u32,
        input_usd: f64,
        cached_usd: f64,
        output_usd: f64,
        egress_usd: f64,
        joule_usd: f64,
        carbon_usd: f64,
        power_usd: f64,
        prefill_joules: f64,
        step_joules: f64,
        prefill_ms: f64,
        step_ms: f64,
        step_ms_per_seq: f64,
        concurrency: f64,
        ttft_correction: f64,
        pace_correction: f64,
        reported: f64,
        own_at_report: f64,
        others_tokens: f64,
        stalled_ms: f64,
        others_per_ms: f64,
        unseen_ms: f64,
        load_age_ms: f64,
        rtt_ms: f64,
        rtt_dev_ms: f64,
        rtt_age_ms: f64,
        site_watts: f64,
        site_watts_max: f64,
        seq_watts: f64,
        quality: f64,
        others_second_usd: f64,
    } but reserves_answer
}

/// One of the candidates kept: a section of its own.
#[derive(Serialize, Deserialize)]
struct WrittenKept {
    endpoint: EndpointIndex,
    model: ModelIndex,
    in_flight: f64,
    backlog_tokens: f64,
}

impl From<Kept> for WrittenKept {
    fn from(kept: Kept) -> Self {
        let Kept { endpoint, model, local_load: LocalLoad { in_flight, backlog_tokens } } = kept;
        Self { endpoint, model, in_flight, backlog_tokens }
    }
}

impl From<WrittenKept> for Kept {
    fn from(written: WrittenKept) -> Self {
        let WrittenKept { endpoint, model, in_flight, backlog_tokens } = written;
        Self { endpoint, model, local_load: LocalLoad { in_flight, backlog_tokens } }
    }
}

/// A request's record as it is stored.
pub fn encode_record(stored: Stored) -> Vec<u8> {
    let Stored { run, view, facts, choice: Choice { rates, router, seed }, kept, fingerprint } = stored;
    let mut out = Vec::with_capacity(256 + 32 * kept.len());
    out.push(LAYOUT);
    push(&mut out, &Head { run, view, fingerprint, router, seed });
    push(&mut out, &WrittenFacts::from(facts));
    push(&mut out, &WrittenRates::from(rates));
    for kept in kept {
        push(&mut out, &WrittenKept::from(kept));
    }
    out
}

/// A row of a view as it is stored, with the names that its indices stand for.
pub fn encode_row(row: Row, names: &Named) -> Vec<u8> {
    let mut out = vec![LAYOUT];
    push(&mut out, &WrittenRow::from(row));
    push(&mut out, names);
    out
}

/// Reads a record of any layout that is known.
pub(crate) fn decode_record(blob: &[u8]) -> Result<Stored, Damaged> {
    match blob.split_first() {
        Some((&LAYOUT, body)) => present(body).ok_or(Damaged),
        Some((&layout, body)) => before::record(layout, body).ok_or(Damaged),
        None => Err(Damaged),
    }
}

fn present(mut body: &[u8]) -> Option<Stored> {
    let body = &mut body;
    let Head { run, view, fingerprint, router, seed } = pop(body)?;
    let (facts, rates): (WrittenFacts, WrittenRates) = (pop(body)?, pop(body)?);
    let mut kept = Vec::new();
    while !body.is_empty() {
        kept.push(Kept::from(pop::<WrittenKept>(body)?));
    }
    let choice = Choice { rates: rates.into(), router, seed };
    Some(Stored { run, view, facts: facts.into(), choice, kept, fingerprint })
}

/// Reads a row of a view of any layout that is known.
pub(crate) fn decode_row(blob: &[u8]) -> Result<(Row, Named), Damaged> {
    match blob.split_first() {
        Some((&LAYOUT, mut body)) => {
            let row: WrittenRow = pop(&mut body).ok_or(Damaged)?;
            Ok((row.into(), pop(&mut body).ok_or(Damaged)?))
        }
        Some((&layout, body)) => before::row(layout, body).ok_or(Damaged),
        None => Err(Damaged),
    }
}

#[cfg(test)]
mod tests {
    use rhumb_grid::config::Preset;

    use super::*;

    fn kept(endpoint: u32, model: u32, local_load: LocalLoad) -> Kept {
        Kept { endpoint: EndpointIndex(endpoint), model: ModelIndex(model), local_load }
    }

    fn stored() -> Stored {
        Stored {
            run: 7,
            view: 9,
            facts: Facts { models: vec![ModelIndex(0), ModelIndex(3)], prompt_tokens: 12.5, ..Facts::default() },
            choice: Choice { rates: Rates::preset(Preset::Economy), router: Router::Rhumb, seed: u64::MAX },
            kept: vec![
                kept(1, 3, LocalLoad { in_flight: 2.0, backlog_tokens: 0.5 }),
                kept(300, 0, LocalLoad::default()),
            ],
            fingerprint: 1,
        }
    }

    #[test]
    fn a_record_comes_back_as_it_was() {
        let blob = encode_record(stored());
        assert_eq!(decode_record(&blob), Ok(stored()));
        for end in [0, 1, blob.len() - 1] {
            assert_eq!(decode_record(&blob[..end]), Err(Damaged));
        }
        assert_eq!(decode_record(&[LAYOUT + 1, 0]), Err(Damaged));
    }

    #[test]
    fn abilities_are_bits() {
        for bits in 0..1 << 10 {
            for dialects in 1..8 {
                let bits = bits | dialects << 11;
                assert_eq!(Abilities::from(Able::from(Abilities(bits))).0, bits);
            }
        }
        assert_eq!(
            Able::from(Abilities(0)),
            Able::default(),
            "before there were dialects, chat completions were meant"
        );
        assert_eq!(Able::from(Abilities(0xffff_c400)), Able::default(), "of those that come later nothing is known");
    }
}
