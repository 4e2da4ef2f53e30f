//! How many requests an endpoint is of use with.

use crate::rate::Rate;

/// What an endpoint can do with at once, learnt. More than that waits in its engine, where nothing can be decided about
/// it any more; less leaves the engine short of work.
///
/// Two things are learnt from. An engine's own report says how many of its requests wait. Where it reports nothing, the
/// slope of the time to first token over the requests in flight does: below the engine's capacity one more request
/// costs the others little, above it each one more waits for one completion, so that slope × completion rate rises
/// from near 0 to 1 (Little's law).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    useful: f64,
    ceiling: f64,
    floor: f64,
    completions: Rate<RATE_MS>,
    slope: Slope,
    reported_ms: Option<u64>,
    rtt_ms: f64,
    /// Where it was last found too wide: up to there it widens fast, beyond slowly.
    knee: f64,
    /// The endpoint has said that it is busy until then.
    closed_until_ms: u64,
    /// Times in a row that it has said so as soon as it was asked again.
    refusals: u32,
    /// What ran at the last report, and the most that ever did, of late.
    ran: (f64, f64),
}

/// For how long an endpoint is left alone that said it is busy: when it does not say for how long, and the shortest and
/// longest. One that answers so at once would look idle otherwise, and draw more requests than it ever did.
const BUSY_MS: u64 = 1_000;
const BUSY_MS_MIN: u64 = 100;
const BUSY_MS_MAX: u64 = 30_000;

/// For how long one is left alone that says it is unavailable and not until when, ms: what it was asked may be at fault,
/// and others wait.
const UNAVAILABLE_MS: u64 = 250;

/// Whoever says so again and again is left alone for up to so many doublings of it.
const BUSY_DOUBLINGS: u32 = 2;

/// A window may grow to so many times what the configuration states.
const CEILING: f64 = 4.0;

/// Least window, as a share of what is stated, and at least one request: an endpoint that gets nothing teaches nothing,
/// and a few requests at a time tell chance from load no better. Gateways that share an endpoint would each be left with
/// so few.
const FLOOR: f64 = 1.0 / 16.0;

/// Share of a window that is kept free for those who cannot wait, where there are any, in whole requests.
const KEPT_FREE: f64 = 0.1;

/// From this share of the window on, an endpoint counts as used to its limit.
const FULL: f64 = 0.8;

/// From this share of the KV cache in use on, a request that waits may be waiting for memory.
const KV_FULL: f64 = 0.9;

/// So many may be found waiting: they come while the engine is inside a step.
const SLACK: f64 = 2.0;

/// Share of what a report shows to be too much by which it narrows a window.
const LEARN: f64 = 0.5;

/// A report is learnt from, and slopes are not, for so long.
const REPORT_TTL_MS: u64 = 10_000;

/// Completions of the last so long tell their rate, ms.
const RATE_MS: u32 = 5_000;

impl Window {
    /// The window of an endpoint that is stated to run so many requests at once.
    #[must_use]
    pub fn new(stated: f64) -> Self {
        let useful = stated.max(1.0);
        Self {
            useful,
            floor: (useful * FLOOR).max(1.0),
            ceiling: useful * CEILING,
            completions: Rate::default(),
            slope: Slope::default(),
            reported_ms: None,
            rtt_ms: 0.0,
            knee: f64::INFINITY,
            closed_until_ms: 0,
            refusals: 0,
            ran: (0.0, 0.0),
        }
    }

    /// A window that lets everything through.
    #[must_use]
    pub fn open() -> Self {
        Self::new(f64::INFINITY)
    }

    /// It does not let everything through.
    #[must_use]
    pub fn is_closable(&self) -> bool {
        self.useful.is_finite()
    }

    /// What has been learnt of it so far: nothing of one that lets everything through.
    #[must_use]
    pub fn learnt(&self, now_ms: u64) -> Option<f64> {
        self.is_closable().then(|| self.limit(now_ms))
    }

    /// Requests that may be in flight there: those the engine is of use with, and those that are on the way while it
    /// finishes others, so that distance does not idle it.
    #[must_use]
    pub fn limit(&self, now_ms: u64) -> f64 {
        self.useful + self.completions.per_s(now_ms) * self.rtt_ms / 1e3
    }

    /// One more request may be sent there when so many of this gateway's are in flight.
    #[must_use]
    pub fn has_room(&self, now_ms: u64, own: f64) -> bool {
        self.closed_ms(now_ms) == 0 && own + 1.0 <= self.limit(now_ms)
    }

    /// The same for a request that leaves a part of the window free for others who may come.
    #[must_use]
    pub fn has_room_beside(&self, now_ms: u64, own: f64) -> bool {
        self.has_room(now_ms, own + libm::floor(KEPT_FREE * self.limit(now_ms)))
    }

    /// The endpoint answered that it is busy, and for how long, where it says so.
    pub fn busy(&mut self, now_ms: u64, after_ms: Option<u64>) {
        if self.is_closable() {
            let after_ms = after_ms.unwrap_or(BUSY_MS).clamp(BUSY_MS_MIN, BUSY_MS_MAX);
            // Those that were on their way together say it once.
            let again = self.closed_ms(now_ms) == 0;
            let doubled = (after_ms << self.refusals.min(BUSY_DOUBLINGS)).min(BUSY_MS_MAX);
            self.closed_until_ms = self.closed_until_ms.max(now_ms + if again { doubled } else { after_ms });
            self.refusals += u32::from(again && self.refusals < BUSY_DOUBLINGS);
        }
    }

    /// The endpoint served a request, and says that a rate limit is used up for so long: it is left alone before it has to refuse.
    pub fn used_up(&mut self, now_ms: u64, for_ms: u64) {
        if self.is_closable() {
            self.closed_until_ms = self.closed_until_ms.max(now_ms + for_ms.min(BUSY_MS_MAX));
        }
    }

    /// The endpoint called itself unavailable, to more than one client alone.
    pub fn unavailable(&mut self, now_ms: u64) {
        self.busy(now_ms, Some(UNAVAILABLE_MS));
    }

    /// How long it is still busy by its own word, ms.
    #[must_use]
    pub fn closed_ms(&self, now_ms: u64) -> u64 {
        self.closed_until_ms.saturating_sub(now_ms)
    }

    fn is_reported(&self, now_ms: u64) -> bool {
        self.reported_ms.is_some_and(|at| now_ms.saturating_sub(at) < REPORT_TTL_MS)
    }

    /// A round trip to the endpoint takes so long.
    pub fn round_trip(&mut self, rtt_ms: f64) {
        self.rtt_ms = rtt_ms.max(0.0);
    }

    /// A request has ended there.
    pub fn completed(&mut self, now_ms: u64) {
        self.refusals = 0;
        self.completions.add(now_ms, 1.0);
    }

    /// The engine reported what runs and waits, all gateways' requests together, when this gateway had `own` in flight.
    pub fn report(&mut self, now_ms: u64, own: f64, running: f64, waiting: f64, kv_use: Option<f64>) {
        if !self.is_closable() {
            return;
        }
        self.reported_ms = Some(now_ms);
        let excess = waiting - SLACK;
        // Where neither window, seats nor memory are used up, what waits waits for prompts to be computed, and not for a
        // place: fewer places would idle it.
        let lacks_places =
            self.is_level(running) || own >= FULL * self.useful || kv_use.is_none_or(|used| used >= KV_FULL);
        if excess > 0.0 && own > 0.0 && lacks_places {
            // This gateway's share of the excess goes. Part of it at a time: the report is late, and may have met a
            // burst at its worst.
            let share = (own / (running + waiting)).min(1.0);
            self.narrow(own.clamp((1.0 - LEARN) * self.useful, self.useful) - LEARN * share * excess);
        } else if own >= FULL * self.useful && waiting < 1.0 {
            self.widen();
        }
    }

    /// As many ran last time, and of late never more: they are all the engine's seats.
    fn is_level(&mut self, running: f64) -> bool {
        let (last, most) = self.ran;
        self.ran = (running, running.max(0.99 * most));
        running >= most && running == last
    }

    /// A first token came after `ttft_ms`, prefill and network aside as far as they are known, when `in_flight` of this
    /// gateway's requests were there.
    pub fn first_token(&mut self, now_ms: u64, ttft_ms: f64, in_flight: f64) {
        if !self.is_closable() {
            return;
        }
        self.refusals = 0;
        let Some((slope_ms, mean)) = self.slope.add(in_flight, ttft_ms) else { return };
        if self.is_reported(now_ms) || mean < FULL * self.useful {
            return;
        }
        match slope_ms / 1e3 * self.completions.per_s(now_ms) {
            queueing if queueing > 0.5 => self.narrow(0.95 * self.useful),
            queueing if queueing < 0.25 => self.widen(),
            _ => {}
        }
    }

    fn narrow(&mut self, to: f64) {
        self.useful = to.max(self.floor);
        self.knee = self.useful;
    }

    fn widen(&mut self) {
        let wider = if self.useful < 0.9 * self.knee { 1.1 * self.useful + 0.5 } else { 1.02 * self.useful + 0.1 };
        self.useful = wider.min(self.ceiling);
    }
}

/// A straight line through recent points, older ones weighing less.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Slope {
    seen: u32,
    x: f64,
    y: f64,
    xx: f64,
    xy: f64,
}

impl Slope {
    const SHARE: f64 = 1.0 / 128.0;
    /// Points between two answers.
    const EVERY: u32 = 16;

    /// Takes a point; now and then, when the points differ enough in x to tell, the slope and the mean x.
    fn add(&mut self, x: f64, y: f64) -> Option<(f64, f64)> {
        self.seen = self.seen.saturating_add(1);
        let share = (1.0 / f64::from(self.seen)).max(Self::SHARE);
        let (dx, dy) = (x - self.x, y - self.y);
        self.x += share * dx;
        self.y += share * dy;
        self.xx = (1.0 - share) * (self.xx + share * dx * dx);
        self.xy = (1.0 - share) * (self.xy + share * dx * dy);
        let spread = 0.05 * self.x + 0.5;
        let told = self.seen.is_multiple_of(Self::EVERY) && self.xx > spread * spread;
        told.then(|| (self.xy / self.xx, self.x))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_in_the_engine_narrows_the_window_and_a_full_one_without_widens_it() {
        let mut w = Window::new(128.0);
        for second in 0..20 {
            let own = w.useful;
            let running = own.min(32.0);
            w.report(second * 1_000, own, running, own - running, Some(0.5));
        }
        assert!((30.0..40.0).contains(&w.useful), "{w:?}");
        for second in 20..200 {
            let own = w.useful;
            w.report(second * 1_000, own, own, 0.0, Some(0.5));
        }
        assert_eq!(w.useful, 512.0, "four times what is stated");
        let before = w;
        w.report(200_000, 3.0, 3.0, 0.0, None);
        assert_eq!(w.useful, before.useful, "an idle endpoint teaches nothing");
    }

    #[test]
    fn who_says_it_is_busy_is_left_alone_for_so_long() {
        let mut w = Window::new(8.0);
        w.busy(1_000, Some(700));
        w.busy(1_000, Some(300));
        assert!(!w.has_room(1_699, 0.0) && w.has_room(1_700, 0.0));
        w.busy(2_000, None);
        assert_eq!(w.closed_ms(2_400), 1_600, "for twice as long the second time");
        for (at, closed) in [(4_000, 4_000), (8_000, 4_000)] {
            w.busy(at, None);
            assert_eq!(w.closed_ms(at), closed);
        }
        w.completed(12_000);
        w.busy(12_000, None);
        assert_eq!(w.closed_ms(12_000), 1_000, "it has answered since");
        w.busy(20_000, Some(u64::MAX));
        assert_eq!(w.closed_ms(20_000), BUSY_MS_MAX);
        // What it says of its limits beside an answer doubles nothing and shortens nothing.
        let mut w = Window::new(8.0);
        w.used_up(1_000, 700);
        w.used_up(1_000, 300);
        assert_eq!((w.closed_ms(1_000), w.closed_ms(1_700)), (700, 0));
        w.used_up(2_000, 86_400_000);
        assert_eq!(w.closed_ms(2_000), BUSY_MS_MAX);
        w = Window::new(8.0);
        w.busy(0, Some(0));
        assert!(!w.has_room(50, 0.0), "never at once");
    }

    #[test]
    fn an_open_window_stays_open() {
        let mut w = Window::open();
        w.busy(0, Some(5_000));
        w.report(0, 1e6, 10.0, 1e6, None);
        (0..1_000).for_each(|i| w.first_token(i, 1e3 * i as f64, i as f64));
        assert!(w.has_room(1_000, 1e9));
    }

    #[test]
    fn only_the_own_share_of_the_excess_goes() {
        let mut w = Window::new(40.0);
        w.report(0, 10.0, 100.0, 102.0, None);
        assert!((17.5..17.6).contains(&w.useful), "half the way down at once at most: {w:?}");
        (1..200).for_each(|i| w.report(i, 1.0, 0.0, 1e9, Some(0.95)));
        assert_eq!(w.useful, 2.5, "a sixteenth of what is stated");
    }

    #[test]
    fn prompts_that_wait_to_be_computed_do_not_narrow_a_window_that_is_not_used_up() {
        let mut w = Window::new(40.0);
        (0..10_u32).for_each(|i| w.report(u64::from(i) * 1_000, 20.0, 8.0 - f64::from(i % 2), 30.0, Some(0.5)));
        assert_eq!(w.useful, 40.0);
        w.report(10_000, 20.0, 8.0, 30.0, Some(0.95));
        assert!(w.useful < 20.0, "there is no memory for more");
        w = Window::new(40.0);
        (0..3).for_each(|i| w.report(i, 20.0, 16.0, 20.0, Some(0.5)));
        assert!(w.useful < 20.0, "sixteen are all its seats");
    }

    /// An engine without reports that runs `capacity` at once, 100 ms each.
    fn learn(stated: f64, capacity: f64) -> f64 {
        let mut w = Window::new(stated);
        let mut now = 0.0;
        for i in 0..40_000_u32 {
            // The load goes up and down, to the limit and no further.
            let want = (0.75 + 0.25 * libm::sin(f64::from(i) / 50.0)) * w.useful;
            let queue = (want - capacity).max(0.0);
            let rate = want.min(capacity) / 0.1;
            now += 1e3 / rate;
            w.completed(now as u64);
            w.first_token(now as u64, 5.0 + 0.02 * want + queue / rate * 1e3, want);
        }
        w.useful
    }

    #[test]
    fn without_reports_the_slope_of_the_first_token_finds_the_capacity() {
        let (low, high) = (learn(10.0, 30.0), learn(100.0, 30.0));
        assert!((25.0..45.0).contains(&low) && (25.0..45.0).contains(&high), "{low} {high}");
    }

    #[test]
    fn distance_widens_the_limit_by_what_ends_in_a_round_trip() {
        let mut w = Window::new(10.0);
        for i in 0..2_000 {
            w.completed(i * 10);
        }
        let now = 2_000 * 10;
        assert!((w.completions.per_s(now) - 100.0).abs() < 3.0, "{}", w.completions.per_s(now));
        w.round_trip(50.0);
        assert!((w.limit(now) - 15.0).abs() < 0.2 && w.has_room(now, 13.0) && !w.has_room(now, 15.0));
        assert!(w.limit(now + 60_000) < 10.1, "what ended long ago does not count");
        assert_eq!(Window::new(10.0).limit(5), 10.0);
    }
}
