//! Layouts 3 and 4, which are read and no longer written: fields in a row, without sections. Nothing here changes any more.

use rhumb_grid::config::{Accepts, Router};
use rhumb_grid::dialects::Dialects;
use rhumb_grid::position::{EndpointIndex, ModelIndex, SiteIndex};
use rhumb_grid::rates::Rates;
use rhumb_grid::tasks::Tasks;
use rhumb_route::decide::Choice;
use rhumb_route::facts::{Facts, Hit};
use rhumb_route::record::Kept;
use rhumb_route::row::{Able, CandidateHealth, LocalLoad, Row};
use serde::Deserialize;

use crate::stored::{Named, Stored};

/// A record of layout 3 or 4.
pub(crate) fn record(layout: u8, body: &[u8]) -> Option<Stored> {
    match layout {
        3 => postcard::from_bytes::<Record<Facts3>>(body).ok().map(Into::into),
        4 => postcard::from_bytes::<Record<Facts4>>(body).ok().map(Into::into),
        _ => None,
    }
}

/// A row of a view: both layouts write it alike.
pub(crate) fn row(layout: u8, body: &[u8]) -> Option<(Row, Named)> {
    let OldRow { row, names } = (layout == 3 || layout == 4).then(|| postcard::from_bytes(body).ok())??;
    Some((row.into(), names))
}

#[derive(Deserialize)]
struct Record<F> {
    run: u64,
    view: u64,
    facts: F,
    choice: OldChoice,
    kept: Vec<OldKept>,
    fingerprint: u64,
}

impl<F: Into<Facts>> From<Record<F>> for Stored {
    fn from(old: Record<F>) -> Self {
        let OldChoice { rates, router, seed } = old.choice;
        Self {
            run: old.run,
            view: old.view,
            facts: old.facts.into(),
            choice: Choice { rates: rates.into(), router, seed },
            kept: old.kept.into_iter().map(Into::into).collect(),
            fingerprint: old.fingerprint,
        }
    }
}

#[derive(Deserialize)]
struct OldChoice {
    rates: OldRates,
    router: Router,
    seed: u64,
}

#[derive(Deserialize)]
struct OldKept {
    endpoint: EndpointIndex,
    model: ModelIndex,
    local_load: (f64, f64),
}

impl From<OldKept> for Kept {
    fn from(old: OldKept) -> Self {
        let (in_flight, backlog_tokens) = old.local_load;
        Self { endpoint: old.endpoint, model: old.model, local_load: LocalLoad { in_flight, backlog_tokens } }
    }
}

#[derive(Deserialize)]
struct OldRow {
    row: RowBefore,
    names: Named,
}

/// Vision, audio, tools, embedding.
#[derive(Deserialize)]
struct OldAble(bool, bool, bool, bool);

impl From<OldAble> for Able {
    fn from(OldAble(vision, audio, tools, embedding): OldAble) -> Self {
        let tasks = if embedding { Tasks::EMBEDDING } else { Tasks::default() };
        Self { vision, audio, tools, tasks, dialects: Dialects::default() }
    }
}

/// A struct that was written with these fields, and what it is made into.
macro_rules! before {
    ($before:ident -> $plain:ident { $($field:ident: $type:ty,)* } $(with $old:ident: $($later:ident = $value:expr),*)?) => {
        #[derive(Deserialize)]
        struct $before { $($field: $type,)* }

        impl From<$before> for $plain {
            fn from(before: $before) -> Self {
                $(let $old = &before; $(let $later = $value;)*)?
                Self { $($($later,)*)? $($field: before.$field.into(),)* }
            }
        }
    };
}

before! {
    Facts3 -> Facts {
        models: Vec<ModelIndex>,
        prompt_tokens: f64,
        output_tokens: f64,
        max_tokens: Option<u64>,
        bytes_per_token: f64,
        needs: OldAble,
        countries: Vec<[u8; 2]>,
        client_ms: f64,
        affinity: Option<u64>,
        pin: Option<(EndpointIndex, ModelIndex)>,
        hits: Vec<Hit>,
    }
    // What was kept then had passed a gate that took the estimate for certain, so it decides the same now.
    with old: longest_tokens = old.prompt_tokens, certain_tokens = 1.0
}

before! {
    Facts4 -> Facts {
        models: Vec<ModelIndex>,
        prompt_tokens: f64,
        output_tokens: f64,
        max_tokens: Option<u64>,
        bytes_per_token: f64,
        needs: OldAble,
        countries: Vec<[u8; 2]>,
        client_ms: f64,
        affinity: Option<u64>,
        pin: Option<(EndpointIndex, ModelIndex)>,
        hits: Vec<Hit>,
        longest_tokens: f64,
        certain_tokens: f64,
    }
}

before! {
    OldRates -> Rates {
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

before! {
    RowBefore -> Row {
        endpoint: EndpointIndex,
        site: SiteIndex,
        model: ModelIndex,
        country: [u8; 2],
        able: OldAble,
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
    }
    with _old: reserves_answer = false
}
