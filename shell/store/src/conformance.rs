//! What every store must do. A new one calls [`check`] in a test of its own.

use std::time::Duration;

use rhumb_grid::config::{Preset, Router};
use rhumb_grid::position::{EndpointIndex, ModelIndex, SiteIndex};
use rhumb_grid::rates::Rates;
use rhumb_record::{Named, Outcome, Stored, encode_record, encode_row};
use rhumb_route::decide::Choice;
use rhumb_route::facts::Facts;
use rhumb_route::record::Kept;
use rhumb_route::row::{LocalLoad, Row};

use crate::entry::Ended;
use crate::error::StoreError;
use crate::rows::{Batch, RequestRow, ViewNote, ViewRow};
use crate::store::{Pruned, ReadStore, Retention, Store};

/// Holds a store to all of it; `make` gives an empty one, what opens a reader of it, and what removes it.
pub(crate) fn check<S, R, O, E>(make: &impl Fn() -> (S, O, E))
where
    S: Store,
    R: ReadStore,
    O: Fn() -> Result<R, StoreError>,
    E: FnOnce(),
{
    for case in [
        what_was_written_is_read_back,
        the_same_rows_may_be_written_again,
        a_row_that_runs_ends_once_and_one_without_an_end_is_lost,
        old_rows_are_left_out_and_those_that_run_stay,
        views_stay_as_long_as_a_row_needs_them,
        it_is_opened_again_after_it_was_closed,
    ] {
        let (mut store, open, remove) = make();
        assert!(!store.ready().unwrap(), "nothing was written before");
        case(&mut store, &|| Box::new(open().unwrap()));
        store.close();
        drop(store);
        remove();
    }
}

type Open<'a> = &'a dyn Fn() -> Box<dyn ReadStore + 'a>;

const RUN: u64 = 1_000;

fn ended(id: u64, outcome: Outcome) -> Ended {
    Ended {
        id,
        outcome,
        status: 200,
        attempts: 1,
        served: None,
        prompt_tokens: 7,
        cached_tokens: 3,
        completion_tokens: 5,
        estimated: false,
        usd: 0.25,
        ttft_ms: Some(12.0),
        total_ms: 30.0,
    }
}

/// The endpoint of every row.
const ENDPOINT: EndpointIndex = EndpointIndex(2);

/// A row of a request that was decided on this view, at the same time as its id says.
fn request(id: u64, view: u64, outcome: Outcome) -> RequestRow {
    let kept = vec![Kept { endpoint: ENDPOINT, model: ModelIndex(0), local_load: LocalLoad::default() }];
    let choice = Choice { rates: Rates::preset(Preset::Balanced), router: Router::Rhumb, seed: id };
    let facts = Facts { models: vec![ModelIndex(0)], prompt_tokens: 7.0, ..Facts::default() };
    RequestRow {
        id,
        at_unix_ms: id,
        tenant: "acme".into(),
        key: "k".into(),
        api: "/v1/chat/completions",
        model: "m".into(),
        policy: "balanced".into(),
        view,
        config: "1-abc".into(),
        served: ["s".into(), "e".into(), "m".into()],
        end: ended(id, outcome),
        was_running: false,
        record: encode_record(Stored { run: RUN, view, facts, choice, kept, fingerprint: id }),
    }
}

fn view(version: u64) -> ViewRow {
    let names = Named {
        endpoint: ENDPOINT,
        endpoint_name: "e".into(),
        site: SiteIndex(1),
        site_name: "s".into(),
        model: ModelIndex(0),
        model_name: "m".into(),
    };
    let row = Row { endpoint: ENDPOINT, site: SiteIndex(1), rtt_ms: version as f64, ..plain_row() };
    ViewRow { key: (version, ENDPOINT, ModelIndex(0)), row: encode_row(row, &names) }
}

fn plain_row() -> Row {
    let config = serde_json::json!({
        "sites": [{"name": "s", "operator": "o", "country": "DE", "latitude": 0, "longitude": 0}],
        "models": [{"name": "m"}],
        "endpoints": [{"name": "e", "site": "s", "url": "http://e", "models": [{"model": "m"}]}],
    });
    let grid = rhumb_grid::index::Grid::new(serde_json::from_value(config).unwrap());
    let mut viewer = rhumb_route::view::Viewer::new(&grid, rhumb_route::view::perf_of(&grid));
    viewer.view(&[Default::default()], 1).rows[0]
}

fn batch(views: &[u64], running: Vec<RequestRow>, ended: Vec<RequestRow>) -> Batch {
    Batch { views: views.iter().map(|v| view(*v)).collect(), running, ended }
}

fn note(at_unix_ms: u64, view: u64) -> Option<ViewNote> {
    Some(ViewNote { at_unix_ms, view })
}

fn what_was_written_is_read_back(store: &mut dyn Store, open: Open<'_>) {
    assert_eq!(store.begin_run(RUN).unwrap(), 0);
    let rows = vec![request(11, 1, Outcome::Complete), request(12, 2, Outcome::Failed)];
    assert!(store.write(RUN, &batch(&[1, 2], Vec::new(), rows), None).unwrap());
    let reader = open();
    for (id, rtt_ms, outcome) in [(11, 1.0, "complete"), (12, 2.0, "failed")] {
        let row = reader.row(id).unwrap().unwrap();
        assert_eq!((row.outcome.as_str(), row.endpoint.as_str(), row.policy.as_str()), (outcome, "e", "balanced"));
        assert_eq!((row.config.as_str(), row.logged.fingerprint), ("1-abc", id));
        assert_eq!(row.logged.record.inputs.len(), 1);
        assert_eq!(row.logged.record.inputs[0].row.rtt_ms, rtt_ms, "the row of its own view");
        assert_eq!(row.logged.names[0].site_name, "s");
    }
    assert!(reader.row(13).unwrap().is_none());
    let status = reader.status().unwrap();
    assert_eq!((status.outcomes["complete"], status.outcomes["failed"]), (1, 1));
    assert_eq!((status.oldest_unix_ms, status.newest_unix_ms), (Some(11), Some(12)));
}

fn the_same_rows_may_be_written_again(store: &mut dyn Store, open: Open<'_>) {
    store.begin_run(RUN).unwrap();
    let rows = || batch(&[1], Vec::new(), vec![request(11, 1, Outcome::Complete)]);
    for _ in 0..3 {
        assert!(store.write(RUN, &rows(), note(5, 1)).unwrap());
    }
    assert_eq!(open().status().unwrap().outcomes.values().sum::<u64>(), 1);
}

fn a_row_that_runs_ends_once_and_one_without_an_end_is_lost(store: &mut dyn Store, open: Open<'_>) {
    store.begin_run(RUN).unwrap();
    let running = vec![request(11, 1, Outcome::Running), request(12, 1, Outcome::Running)];
    store.write(RUN, &batch(&[1], running, Vec::new()), None).unwrap();
    assert_eq!(open().row(11).unwrap().unwrap().outcome, "running");
    let end = RequestRow { was_running: true, ..request(11, 1, Outcome::Complete) };
    store.write(RUN, &batch(&[], Vec::new(), vec![end]), None).unwrap();
    assert_eq!(open().row(11).unwrap().unwrap().outcome, "complete");
    // The gateway is killed, and another one begins.
    assert_eq!(store.begin_run(RUN + 1).unwrap(), 1);
    let reader = open();
    assert_eq!(reader.row(11).unwrap().unwrap().outcome, "complete");
    assert_eq!(reader.row(12).unwrap().unwrap().outcome, "lost");
    assert_eq!(store.begin_run(RUN + 2).unwrap(), 0);
}

/// Prunes until there is nothing more to leave out.
fn prune(store: &mut dyn Store, now_ms: u64, age_ms: u64) -> Pruned {
    let keep = Retention { age: Some(Duration::from_millis(age_ms)), bytes: None };
    let mut all = Pruned::default();
    loop {
        let some = store.prune(now_ms, &keep).unwrap();
        if some == Pruned::default() {
            return all;
        }
        all.requests += some.requests;
        all.view_rows += some.view_rows;
    }
}

fn old_rows_are_left_out_and_those_that_run_stay(store: &mut dyn Store, open: Open<'_>) {
    store.begin_run(RUN).unwrap();
    let rows = (1..=900).map(|id| request(id, 1, Outcome::Complete)).collect();
    store.write(RUN, &batch(&[1], vec![request(901, 1, Outcome::Running)], rows), None).unwrap();
    assert_eq!(prune(store, 2_000, 1_200).requests, 799, "those older than 800");
    let reader = open();
    assert!(reader.row(799).unwrap().is_none() && reader.row(800).unwrap().is_some());
    assert_eq!(prune(store, 9_000, 10).requests, 101);
    assert_eq!(open().row(901).unwrap().unwrap().outcome, "running");
}

fn views_stay_as_long_as_a_row_needs_them(store: &mut dyn Store, open: Open<'_>) {
    store.begin_run(RUN).unwrap();
    store.write(RUN, &batch(&[1], Vec::new(), vec![request(2_100, 1, Outcome::Complete)]), note(2_000, 1)).unwrap();
    store.write(RUN, &batch(&[5], Vec::new(), vec![request(3_100, 5, Outcome::Complete)]), note(3_000, 5)).unwrap();
    let left_out = prune(store, 5_000, 2_000);
    assert_eq!((left_out.requests, left_out.view_rows), (1, 1));
    let row = open().row(3_100).unwrap().unwrap();
    assert_eq!(row.logged.record.inputs[0].row.rtt_ms, 5.0);
}

fn it_is_opened_again_after_it_was_closed(store: &mut dyn Store, open: Open<'_>) {
    store.begin_run(RUN).unwrap();
    store.write(RUN, &batch(&[1], Vec::new(), vec![request(11, 1, Outcome::Complete)]), None).unwrap();
    store.close();
    assert!(!store.ready().unwrap(), "what was written before is still there");
    store.write(RUN, &batch(&[], Vec::new(), vec![request(12, 1, Outcome::Complete)]), None).unwrap();
    let reader = open();
    assert!(reader.row(11).unwrap().is_some() && reader.row(12).unwrap().is_some());
}
