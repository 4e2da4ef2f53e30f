//! The task that owns the engine: it runs steps against the clock and hands out their tokens, with one timer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rhumb_engine::{Engine, Step};
use rhumb_process::clock;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::Shared;
use crate::answer::Answer;
use crate::command::Command;
use crate::outbox::{Outbox, Parcel};

/// How far behind the clock the engine may fall and still catch up. Beyond it, the machine is too slow for the
/// speed asked, and the lost time is let go.
const MAX_LAG: Duration = Duration::from_millis(250);
/// Steps run before the other tasks get a turn.
const STEPS_PER_TURN: u32 = 64;

#[derive(Debug)]
struct Live {
    answer: Arc<Answer>,
    link: usize,
    cached_tokens: u32,
    submitted_at: Instant,
    last_token_at: Instant,
}

struct Driver {
    shared: Arc<Shared>,
    engine: Engine,
    outbox: Outbox,
    live: BTreeMap<u64, Live>,
    step: Step,
    /// When the step under way ends.
    step_end: Option<Instant>,
}

/// Runs the engine until the emulator stops.
pub(crate) async fn drive(
    shared: Arc<Shared>,
    engine: Engine,
    half_rtts: Vec<Duration>,
    mut commands: mpsc::UnboundedReceiver<Command>,
) {
    let mut stop = shared.stop.subscribe();
    let outbox = Outbox::new(&half_rtts);
    let mut driver = Driver { shared, engine, outbox, live: BTreeMap::new(), step: Step::default(), step_end: None };
    let timer = tokio::time::sleep(Duration::ZERO);
    tokio::pin!(timer);
    loop {
        let due = driver.next_due();
        if let Some(due) = due
            && timer.deadline() != due
        {
            timer.as_mut().reset(due);
        }
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            command = commands.recv() => {
                let Some(command) = command else { return };
                driver.obey(command);
                while let Ok(command) = commands.try_recv() {
                    driver.obey(command);
                }
            }
            () = &mut timer, if due.is_some() => {}
        }
        if !driver.advance(clock::timer_now()) {
            tokio::task::yield_now().await;
        }
    }
}

impl Driver {
    fn obey(&mut self, command: Command) {
        match command {
            Command::Submit { request, link, answer } => {
                let now = clock::timer_now();
                let id = request.id;
                if self.engine.submit(request).is_ok() {
                    let live = Live { answer, link, cached_tokens: 0, submitted_at: now, last_token_at: now };
                    self.live.insert(id, live);
                }
            }
            Command::Cancel(id) => {
                self.live.remove(&id);
                if self.engine.cancel(id) {
                    self.shared.board().cancelled += 1;
                }
            }
        }
    }

    fn next_due(&self) -> Option<Instant> {
        [self.step_end, self.outbox.next_due()].into_iter().flatten().min()
    }

    /// Ends and starts steps up to `now` and delivers what is due; `false` when there is more to do at once.
    fn advance(&mut self, now: Instant) -> bool {
        let mut caught_up = false;
        for _ in 0..STEPS_PER_TURN {
            let start = match self.step_end {
                Some(end) if end > now => {
                    caught_up = true;
                    break;
                }
                Some(end) => {
                    self.finish_step(end);
                    // The next step starts where this one ended, not where the timer woke us, so that the timer's
                    // grain does not slow the engine down.
                    end.max(now.checked_sub(MAX_LAG).unwrap_or(end))
                }
                None => now,
            };
            if self.engine.is_idle() {
                self.step_end = None;
                caught_up = true;
                break;
            }
            self.start_step(start);
        }
        self.outbox.deliver(now);
        self.report(now);
        caught_up
    }

    fn start_step(&mut self, start: Instant) {
        self.engine.step_into(&mut self.step);
        for admitted in &self.step.admitted {
            if let Some(live) = self.live.get_mut(&admitted.id)
                && live.last_token_at == live.submitted_at
            {
                live.cached_tokens = admitted.cached_tokens;
            }
        }
        let duration = Duration::from_micros(self.step.duration_us);
        self.step_end = Some(start + duration.div_f64(self.shared.config.speedup.max(1e-3)));
    }

    fn finish_step(&mut self, end: Instant) {
        let mut board = self.shared.board();
        for token in &self.step.emitted {
            let Some(live) = self.live.get_mut(&token.id) else { continue };
            if token.first {
                board.ttft.observe((end - live.submitted_at).as_secs_f64());
            } else {
                board.inter_token.observe((end - live.last_token_at).as_secs_f64());
            }
            live.last_token_at = end;
            let parcel = Parcel {
                answer: Arc::clone(&live.answer),
                finished: token.finished,
                cached_tokens: live.cached_tokens,
            };
            self.outbox.push(live.link, end, parcel);
            if token.finished {
                self.live.remove(&token.id);
            }
        }
        self.step.emitted.clear();
    }

    fn report(&self, now: Instant) {
        let watts = if self.step_end.is_some() { self.step.watts } else { self.engine.perf().idle_watts() };
        self.shared.board().update(now, watts, &self.engine);
    }
}
