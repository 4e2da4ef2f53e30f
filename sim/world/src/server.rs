//! An engine at its endpoint: steps against the virtual clock, faults, and the energy it draws.

use rhumb_engine::{Engine, Request, Step, SubmitError};

use crate::setup::EngineSpec;

/// Whether and how an endpoint answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// As it should.
    Up,
    /// New work is refused.
    Refusing,
    /// Nobody is there.
    Dead,
    /// It takes requests and says nothing.
    Silent,
}

/// One engine.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) engine: Engine,
    pub(crate) site: u32,
    pub(crate) mode: Mode,
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
    spec: EngineSpec,
}

impl Server {
    pub(crate) fn new(spec: EngineSpec, site: u32) -> Self {
        Self {
            engine: Engine::new(spec.perf, spec.limits),
            site,
            mode: Mode::Up,
            slow: 1.0,
            step: Step::default(),
            life: 0,
            stepping: false,
            watts: spec.perf.idle_watts(),
            since_us: 0,
            joules: 0.0,
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

    /// It dies: what runs and what is cached is gone, and it draws nothing.
    pub(crate) fn die(&mut self, now_us: u64) {
        self.engine = Engine::new(self.spec.perf, self.spec.limits);
        self.step = Step::default();
        self.life += 1;
        self.stepping = false;
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
