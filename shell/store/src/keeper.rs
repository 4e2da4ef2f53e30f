//! The thread that the data plane hands its messages to. It never waits for the disk.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use rhumb_process::clock;

use crate::entry::{Ended, Intent};
use crate::inbox::Inbox;
use crate::message::Message;
use crate::recent::Recent;
use crate::rows::{Batch, RequestRow, ViewKey, ViewRow};
use crate::spool::Spool;
use crate::state::State;

/// Rows are committed together, at least this often.
const COMMIT_EVERY: Duration = Duration::from_millis(500);

/// Rows remembered as handed over, those of the newest views: forgetting one costs a write that the database ignores, and
/// what is remembered should not grow for half an hour.
const VIEWS_KNOWN_MAX: usize = 4_096;

/// Losses are said at most this often.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// Decisions whose request has not ended, and what waits to be written.
pub(crate) struct Keeper {
    /// This run of the gateway, by its start.
    run: u64,
    /// Messages that have been taken and not dealt with.
    taken: VecDeque<Message>,
    open: BTreeMap<u64, Box<Intent>>,
    /// Those of them of which no row, or one of an earlier decision, has been handed over.
    unwritten: BTreeSet<u64>,
    recent: Recent,
    spool: Spool,
    /// Rows of views that have been handed over.
    known: BTreeSet<ViewKey>,
    /// Where rows are handed over; none after the end.
    disk: Option<Sender<Batch>>,
    /// What was handed over last has not been written yet.
    is_busy: bool,
    /// When the first change that is not handed over came.
    since: Option<Instant>,
    said_lost_at: Option<Instant>,
    state: Arc<State>,
}

impl Keeper {
    pub(crate) fn new(run: u64, disk: Sender<Batch>, state: Arc<State>) -> Self {
        Self {
            run,
            taken: VecDeque::new(),
            open: BTreeMap::new(),
            unwritten: BTreeSet::new(),
            recent: Recent::default(),
            spool: Spool::default(),
            known: BTreeSet::new(),
            disk: Some(disk),
            is_busy: false,
            since: None,
            said_lost_at: None,
            state,
        }
    }

    /// Takes messages until told to stop.
    pub(crate) fn run(&mut self, inbox: &Inbox<Message>) {
        loop {
            let idle = Duration::from_secs(3_600);
            let wait =
                self.since.filter(|_| !self.is_busy).map_or(idle, |at| COMMIT_EVERY.saturating_sub(clock::since(at)));
            inbox.take(&mut self.taken, wait);
            while let Some(message) = self.taken.pop_front() {
                if let Message::Stop(deadline, done) = message {
                    self.finish(inbox, deadline);
                    let _ = done.send(());
                    return;
                }
                self.take(message);
            }
            if self.since.is_some_and(|at| clock::since(at) >= COMMIT_EVERY) {
                self.hand_over();
            }
            self.state.waits(&self.spool);
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Decided(intent) => {
                self.unwritten.insert(intent.id);
                self.open.insert(intent.id, intent);
                self.since.get_or_insert_with(clock::now);
            }
            Message::Ended(ended) => self.end(ended),
            Message::Find(id, reply) => {
                let _ = reply.send(self.find(id));
            }
            Message::Written { is_new } => {
                self.is_busy = false;
                self.spool.arrived();
                if is_new {
                    // The file that knew of them is gone.
                    self.known.clear();
                    self.unwritten.extend(self.open.keys());
                    self.since.get_or_insert_with(clock::now);
                }
            }
            Message::Closed => self.disk = None,
            // Whoever takes messages deals with it.
            Message::Stop(..) => {}
        }
    }

    fn find(&self, id: u64) -> Option<Intent> {
        self.open.get(&id).map(|i| &**i).or_else(|| self.recent.find(id)).cloned()
    }

    fn end(&mut self, ended: Ended) {
        // The end of a request that was refused before a decision, or ended twice, has nothing to be written to.
        let Some(intent) = self.open.remove(&ended.id) else { return };
        let was_running = !self.unwritten.remove(&ended.id);
        if self.spool.has_room() {
            self.views_of(&intent);
            self.spool.push(RequestRow::new(self.run, &intent, ended, was_running));
            self.since.get_or_insert_with(clock::now);
        } else {
            self.lose(1, "more rows wait than there is room for");
        }
        self.recent.push(intent);
    }

    /// Has the rows written that a decision was made on, each once for all decisions of its view.
    fn views_of(&mut self, intent: &Intent) {
        for k in &intent.kept {
            let key = (intent.view.version, k.endpoint, k.model);
            if !self.known.insert(key) {
                continue;
            }
            if let Some(row) = ViewRow::of(intent, key) {
                self.spool.push_view(row);
            }
            if self.known.len() > VIEWS_KNOWN_MAX {
                self.known.pop_first();
            }
        }
    }

    /// Gives the disk what waits, unless it has something to do: requests that have ended, and the first row of those that
    /// still run.
    fn hand_over(&mut self) {
        if self.is_busy {
            return;
        }
        let unwritten = std::mem::take(&mut self.unwritten);
        let mut running = Vec::with_capacity(unwritten.len());
        for id in &unwritten {
            let Some(intent) = self.open.remove(id) else { continue };
            self.views_of(&intent);
            running.push(RequestRow::running(self.run, &intent));
            self.open.insert(*id, intent);
        }
        let mut batch = self.spool.take();
        batch.running = running;
        self.since = Some(clock::now()).filter(|_| !self.spool.is_empty());
        if let Some(disk) = &self.disk {
            self.is_busy = disk.send(batch).is_ok();
        }
    }

    /// Counts rows that will not be written, and says so now and then.
    fn lose(&mut self, rows: usize, why: &str) {
        let all = self.state.dropped.fetch_add(rows as u64, Ordering::Relaxed) + rows as u64;
        if self.said_lost_at.is_none_or(|at| clock::since(at) >= SAY_EVERY) {
            self.said_lost_at = Some(clock::now());
            tracing::error!("the decision log loses rows, {all} so far: {why}");
        }
    }

    /// Has everything written by a deadline, and counts what could not be.
    fn finish(&mut self, inbox: &Inbox<Message>, deadline: Instant) {
        loop {
            let is_written = self.spool.is_empty() && self.unwritten.is_empty() && !self.is_busy;
            if is_written {
                // The disk closes its file and says so.
                self.disk = None;
            } else {
                self.hand_over();
            }
            let left = deadline.saturating_duration_since(clock::now());
            if left.is_zero() {
                break;
            }
            inbox.take(&mut self.taken, left);
            while let Some(message) = self.taken.pop_front() {
                if matches!(message, Message::Closed) {
                    return;
                }
                self.take(message);
            }
        }
        self.state.gives_up.store(true, Ordering::Relaxed);
        let rows = self.spool.rows();
        if rows > 0 {
            self.said_lost_at = None;
            self.lose(rows, "the gateway stops and cannot write what waits");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use rhumb_grid::position::{EndpointIndex, ModelIndex, SiteIndex};
    use rhumb_route::decide::Choice;
    use rhumb_route::explain::Names;
    use rhumb_route::facts::Facts;
    use rhumb_route::view::{View, Viewer, perf_of};

    use super::*;
    use crate::spool::ROWS_MAX;
    use rhumb_record::Outcome;

    struct Nobody;

    impl Names for Nobody {
        fn config(&self) -> &str {
            ""
        }
        fn endpoint(&self, _: EndpointIndex) -> &str {
            "e"
        }
        fn site(&self, _: SiteIndex) -> &str {
            "s"
        }
        fn model(&self, _: ModelIndex) -> &str {
            "m"
        }
    }

    fn view() -> Arc<View> {
        let config = serde_json::json!({
            "sites": [{"name": "s", "operator": "o", "country": "DE", "latitude": 0, "longitude": 0}],
            "models": [{"name": "m"}],
            "endpoints": [{"name": "e", "site": "s", "url": "http://e", "models": [{"model": "m"}]}],
        });
        let grid = rhumb_grid::index::Grid::new(serde_json::from_value(config).unwrap());
        Arc::new(Viewer::new(&grid, perf_of(&grid)).view(&[Default::default()], 1))
    }

    fn request(keeper: &mut Keeper, view: &Arc<View>, id: u64) {
        keeper.take(Message::Decided(Box::new(Intent {
            id,
            at_unix_ms: 1,
            tenant: "".into(),
            key: "".into(),
            api: "/v1/chat/completions",
            model: "m".into(),
            policy: "p".into(),
            names: Arc::new(Nobody),
            view: Arc::clone(view),
            facts: Facts::default(),
            choice: Choice {
                rates: rhumb_grid::rates::Rates::preset(rhumb_grid::config::Preset::Balanced),
                router: rhumb_grid::config::Router::Rhumb,
                seed: 0,
            },
            kept: Vec::new(),
            fingerprint: 0,
            local_loads: Vec::new(),
        })));
        let mut end = RequestRow::running(0, &keeper.open[&id]).end;
        end.outcome = Outcome::Complete;
        keeper.take(Message::Ended(end));
    }

    #[test]
    fn h6_what_waits_is_bounded_and_what_is_more_is_counted() {
        let (disk, batches) = channel();
        let state = Arc::new(State::default());
        let (mut keeper, view) = (Keeper::new(1, disk, Arc::clone(&state)), view());
        let most = ROWS_MAX as u64;
        for id in 1..=most + 7 {
            request(&mut keeper, &view, id);
            if id == 5 {
                // What is on its way counts as well.
                keeper.hand_over();
            }
        }
        assert_eq!((keeper.spool.rows(), state.dropped.load(Ordering::Relaxed)), (ROWS_MAX, 7));
        keeper.hand_over();
        assert_eq!(batches.try_iter().map(|b| b.ended.len()).collect::<Vec<_>>(), [5], "one batch at a time");
        keeper.take(Message::Written { is_new: false });
        request(&mut keeper, &view, most + 8);
        assert_eq!((keeper.spool.rows(), state.dropped.load(Ordering::Relaxed)), (ROWS_MAX - 4, 7));
        keeper.hand_over();
        let next: Vec<u64> = batches.try_iter().flat_map(|b| b.ended).map(|row| row.id).take(2).collect();
        assert_eq!(next, [6, 7], "in the order they came");
    }
}
