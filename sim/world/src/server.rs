//! An engine at its endpoint: steps against the virtual clock, faults, and the energy it draws.

use rhumb_engine::{Engine, Request, Step, SubmitError};
use rhumb_grid::position::SiteIndex;

use crate::setup::EngineSpec;

/// Whether and how an endpoint answers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Mode {
    /// As it should.
    Up,
    /// New work is refused.
    Refusing,
    /// Nobody is there.
    Dead,
    /// It takes requests and says nothing.
    Silent,
    /// It answers this share of them with an error.
    Erring(f64),
    /// It says of this share of them that it is busy.
    Busy(f64),
}

/// One engine.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) engine: Engine,
    pub(crate) site: SiteIndex,
    pub(crate) mode: Mode,
    /// What it answers is wrong, canaries among it.
    pub(crate) answers_wrongly: bool,
    /// Since when nothing moves in it, if it is frozen, µs.
    pub(crate) frozen_us: Option<u64>,
    /// The end of the step under way is held up by that.
    pub(crate) held_up: bool,
    /// Every step takes this many times as long.
    pub(crate) slow: f64,
    /// What the step under way did.
    pub(crate) step: Step,
    /// Counts restarts.
    pub(crate) life: u32,
    /// A step is under way.
    pub(crate) stepping: bool,
    /// Power it draws now, watts.
    pub(crate) watts: f64,
    /// Since when it draws that, µs.
    since_us: u64,
    /// Energy drawn until then, joules.
    joules: f64,
    /// What the engines that died here had counted.
    before: Counted,
    spec: EngineSpec,
}

/// What an engine counts of its cache and memory.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counted {
    /// Prompt tokens looked up in the cache.
    pub(crate) looked_up: u64,
    /// Of those, found.
    pub(crate) found: u64,
    /// Sequences preempted.
    pub(crate) preemptions: u64,
}

impl Server {
    pub(crate) fn new(spec: EngineSpec, site: SiteIndex) -> Self {
        Self {
            engine: Engine::new(spec.perf, spec.limits),
            site,
            mode: Mode::Up,
            answers_wrongly: false,
            frozen_us: None,
            held_up: false,
            slow: 1.0,
            step: Step::default(),
            life: 0,
            stepping: false,
            watts: spec.perf.idle_watts(),
            since_us: 0,
            joules: 0.0,
            before: Counted::default(),
            spec,
        }
    }

    pub(crate) fn submit(&mut self, request: Request) -> Result<(), SubmitError> {
        self.engine.submit(request)
    }

    /// Starts a step when there is work and none is under way; how long it takes, µs. `throttle` says how many times as
    /// long the site's power cap makes a step that draws so many watts.
    pub(crate) fn start(&mut self, now_us: u64, throttle: impl FnOnce(f64) -> f64) -> Option<u64> {
        if self.stepping || self.engine.is_idle() {
            return None;
        }
        self.engine.step_into(&mut self.step);
        self.stepping = true;
        let throttle = throttle(self.step.watts);
        self.draw(now_us, self.step.watts / throttle);
        // A step that only puts a sequence back takes no time in the model: time must pass all the same.
        Some(((self.step.duration_us as f64 * self.slow * throttle) as u64).max(1))
    }

    /// The step under way has ended.
    pub(crate) fn end(&mut self, now_us: u64) {
        self.stepping = false;
        if self.engine.is_idle() {
            self.draw(now_us, self.spec.perf.idle_watts());
        }
    }

    /// Draws this power from now on.
    fn draw(&mut self, now_us: u64, watts: f64) {
        self.joules = self.joules_at(now_us);
        (self.since_us, self.watts) = (now_us, watts);
    }

    /// Energy drawn so far, joules.
    pub(crate) fn joules_at(&self, now_us: u64) -> f64 {
        self.joules + self.watts * (now_us - self.since_us) as f64 / 1e6
    }

    /// Tokens of an answer under way that have left: those of the step under way come out at its end.
    pub(crate) fn sent_tokens(&self, id: u64, output_tokens: u32) -> u32 {
        match self.step.emitted.iter().find(|token| self.stepping && token.id == id) {
            // The engine has forgotten what it ends in the step.
            Some(token) if token.finished => output_tokens - 1,
            Some(_) => self.engine.generated_tokens(id) - 1,
            None => self.engine.generated_tokens(id),
        }
    }

    /// What was counted here since the beginning, by engines that died too.
    pub(crate) fn counted(&self) -> Counted {
        let now = self.engine.counters();
        Counted {
            looked_up: self.before.looked_up + now.prefix_query_tokens,
            found: self.before.found + now.prefix_hit_tokens,
            preemptions: self.before.preemptions + now.preemptions,
        }
    }

    /// It dies: what runs and what is cached is gone, and it draws nothing.
    pub(crate) fn die(&mut self, now_us: u64) {
        self.before = self.counted();
        self.engine = Engine::new(self.spec.perf, self.spec.limits);
        self.step = Step::default();
        self.life += 1;
        (self.stepping, self.held_up) = (false, false);
        self.mode = Mode::Dead;
        self.draw(now_us, 0.0);
    }

    /// It answers again.
    pub(crate) fn recover(&mut self, now_us: u64) {
        if self.mode == Mode::Dead {
            self.draw(now_us, self.spec.perf.idle_watts());
        }
        self.mode = Mode::Up;
    }
}

#[cfg(test)]
mod tests {
    use rhumb_engine::{Limits, Perf, gpu, shape};

    use super::*;

    /// Room for one of the two requests it has, not for both to their end.
    fn tight() -> Server {
        let perf = Perf::new(gpu("l4").unwrap(), 1, shape("tiny").unwrap(), 2.0).unwrap();
        let perf = perf.with_kv_capacity_tokens(64);
        let mut server = Server::new(EngineSpec { perf, limits: Limits::default() }, SiteIndex(0));
        for id in [1, 2] {
            server.submit(Request { id, prompt_blocks: Vec::new(), prompt_tokens: 16, output_tokens: 40 }).unwrap();
        }
        server
    }

    #[test]
    fn what_was_counted_outlives_the_engine() {
        let (mut server, mut now_us) = (tight(), 0);
        while server.counted().preemptions == 0 {
            now_us += server.start(now_us, |_| 1.0).unwrap();
            server.end(now_us);
        }
        server.die(now_us);
        server.die(now_us);
        let Counted { looked_up, found, preemptions } = server.counted();
        assert_eq!((looked_up, found, preemptions), (32, 0, 1));
        assert_eq!(server.sent_tokens(1, 40), 0);
    }

    #[test]
    fn tokens_leave_at_the_end_of_their_step() {
        let (mut server, mut now_us) = (tight(), 0);
        for step in 0..40 {
            now_us += server.start(now_us, |_| 1.0).unwrap();
            assert_eq!(server.sent_tokens(1, 40), step);
            server.end(now_us);
        }
        // Its last token has left and it is forgotten; the other one, put back, keeps what it had sent.
        assert_eq!(server.sent_tokens(1, 40), 0);
        assert!((1..40).contains(&server.sent_tokens(2, 40)));
    }
}
