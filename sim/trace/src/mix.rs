//! Plays a client mix: each client draws its calls window by window, and a heap merges them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rhumb_rng::{Rng, hash};

use crate::burst::{Burst, WINDOW_US};
use crate::servegen::{Mix, WINDOW_S, Whose, Window};
use crate::{Call, Options, TraceError, Workload};

/// A client mix being played. What it holds does not grow with the calls drawn.
pub(crate) struct Stream {
    mix: Mix,
    stretch: Stretch,
    /// Upper bounds of the clients' shares in the pool of lengths.
    pool: Vec<f64>,
    cursors: Vec<Cursor>,
    /// Time of each client's next call, and the client.
    heap: BinaryHeap<Reverse<(u64, usize)>>,
    clients: u32,
    tag: u64,
}

/// What of the mix is played, and how.
struct Stretch {
    from_us: u64,
    until_us: u64,
    /// By which each rate is multiplied.
    scale: f64,
    repeat: bool,
    seed: u64,
}

/// Where one client of one copy is.
struct Cursor {
    client: usize,
    copy: u32,
    shift_s: u32,
    /// Place of the window that comes first once the copy is shifted.
    first: usize,
    /// Windows gone by in this pass.
    done: usize,
    pass: u64,
    burst: Burst,
    lengths: Rng,
}

/// Windows without a call that a client may have in a row before it is taken to have no more.
const IDLE_WINDOWS_MAX: u32 = 1_000_000;

impl Cursor {
    fn new(mix: &Mix, client: usize, copy: u32, shift_s: u32) -> Self {
        let turn_s = mix.length_s - shift_s;
        let first = mix.clients[client].windows.partition_point(|w| w.at_s < turn_s);
        Self { client, copy, shift_s, first, done: 0, pass: 0, burst: Burst::none(), lengths: Rng::new(0) }
    }

    /// The window `done` places on, and when it begins in the shifted trace.
    fn window(&self, mix: &Mix, done: usize) -> Option<(Window, u64)> {
        let windows = &mix.clients[self.client].windows;
        let window = *windows.get((self.first + done) % windows.len()).filter(|_| done < windows.len())?;
        let at_s = (u64::from(window.at_s) + u64::from(self.shift_s)) % u64::from(mix.length_s);
        Some((window, at_s * 1_000_000))
    }

    /// When the client's next call comes, in the workload's time.
    fn advance(&mut self, mix: &Mix, stretch: &Stretch) -> Option<u64> {
        let Stretch { from_us, until_us, .. } = *stretch;
        let mut idle = 0;
        while idle < IDLE_WINDOWS_MAX {
            match self.burst.next_us() {
                Some(at_us) if at_us < from_us => continue,
                Some(at_us) if at_us < until_us => {
                    let passed_us = (until_us - from_us).saturating_mul(self.pass);
                    return Some(passed_us.saturating_add(at_us - from_us));
                }
                // What is left of the window lies behind the stretch.
                Some(_) => self.burst = Burst::none(),
                None => {}
            }
            idle += 1;
            match self.window(mix, self.done) {
                Some((_, start_us)) if start_us + WINDOW_US <= from_us => self.done += 1,
                Some((window, start_us)) if start_us < until_us => {
                    self.done += 1;
                    let who = hash(u64::from(self.copy), u64::from(mix.clients[self.client].number));
                    let seed = hash(hash(hash(stretch.seed, who), self.pass), u64::from(window.at_s));
                    self.burst = Burst::new(&window, start_us, stretch.scale, seed);
                    self.lengths = Rng::labelled(seed, "trace: lengths");
                }
                _ if stretch.repeat => (self.done, self.pass) = (0, self.pass + 1),
                _ => return None,
            }
        }
        None
    }
}

impl Stream {
    pub(crate) fn new(mix: Mix, options: &Options) -> Result<Self, TraceError> {
        let (from_us, until_us) = options.stretch_us(u64::from(mix.length_s) * 1_000_000)?;
        let scale = options.thin.unwrap_or(1.0);
        let mut stretch = Stretch { from_us, until_us, scale, repeat: options.repeat, seed: options.seed };
        let mut cursors = Vec::new();
        for (copy, hours) in (0_u32..).zip(options.shifts_h()) {
            // To the nearest window: a shifted window then still ends where the next begins.
            let windows = libm::round(hours * 3600.0 / f64::from(WINDOW_S)) as u64;
            let shift_s = (windows * u64::from(WINDOW_S) % u64::from(mix.length_s)) as u32;
            cursors.extend((0..mix.clients.len()).map(|client| Cursor::new(&mix, client, copy, shift_s)));
        }
        if let Some(rate) = options.rate {
            let natural = cursors.iter().map(|c| calls(&mix, c, &stretch)).sum::<f64>();
            let length_s = (until_us - from_us) as f64 / 1e6;
            stretch.scale = if natural > 0.0 { rate * length_s / natural } else { 0.0 };
        }
        let heap = cursors.iter_mut().enumerate().filter_map(|(i, c)| Some(Reverse((c.advance(&mix, &stretch)?, i))));
        let heap = heap.collect();
        let pool = mix.lengths.iter().scan(0.0, |sum, lengths| {
            *sum += lengths.weight;
            Some(*sum)
        });
        let pool = pool.collect();
        let clients = mix.clients.iter().map(|c| c.number).max().unwrap_or(0).saturating_add(1);
        Ok(Self { mix, stretch, pool, cursors, heap, clients, tag: 0 })
    }
}

/// Calls that a client's rates come to within the stretch.
fn calls(mix: &Mix, cursor: &Cursor, stretch: &Stretch) -> f64 {
    let within = |start_us: u64| {
        (start_us + WINDOW_US).min(stretch.until_us).saturating_sub(start_us.max(stretch.from_us)) as f64 / 1e6
    };
    (0..).map_while(|done| cursor.window(mix, done)).map(|(w, start_us)| w.rate_rps * within(start_us)).sum()
}

impl Workload for Stream {
    fn next_call(&mut self) -> Option<Call> {
        let Reverse((at_us, i)) = self.heap.pop()?;
        let cursor = &mut self.cursors[i];
        let client = &self.mix.clients[cursor.client];
        let place = match client.lengths {
            Whose::One(place) => place,
            Whose::Pool => {
                let share = cursor.lengths.unit() * self.pool.last().copied().unwrap_or(0.0);
                self.pool.partition_point(|bound| *bound <= share).min(self.pool.len() - 1)
            }
        };
        let (input_tokens, output_tokens) = self.mix.lengths[place].draw(&mut cursor.lengths);
        let copy = cursor.copy;
        let number = client.number.wrapping_add(copy.wrapping_mul(self.clients));
        if let Some(next_us) = cursor.advance(&self.mix, &self.stretch) {
            self.heap.push(Reverse((next_us, i)));
        }
        let tag = self.tag;
        self.tag += 1;
        Some(Call { at_us, input_tokens, output_tokens, client: number, copy, session: None, blocks: Vec::new(), tag })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::servegen::tests::{LENGTHS, RATES, of};

    fn calls(options: &Options) -> Vec<Call> {
        let mut stream = Stream::new(of(RATES, LENGTHS).unwrap(), options).unwrap();
        std::iter::from_fn(|| stream.next_call()).collect()
    }

    #[test]
    fn each_window_has_its_rate_and_calls_come_in_order() {
        let all = calls(&Options::default());
        assert!(all.is_sorted_by_key(|c| c.at_us) && all.iter().all(|c| c.output_tokens >= 1));
        let n = |client: u32, from: u64, until: u64| {
            all.iter().filter(|c| c.client == client && (from..until).contains(&(c.at_us / 1_000_000))).count()
        };
        assert_eq!((n(0, 0, 600), n(0, 600, 1200), n(3, 0, 600), all.len()), (1200, 600, 300, 2100));
        assert_eq!(all, calls(&Options::default()));
        assert_ne!(all, calls(&Options { seed: 1, ..Options::default() }));
    }

    #[test]
    fn a_rate_scales_each_client_and_keeps_its_bursts() {
        let all = calls(&Options { rate: Some(17.5), ..Options::default() });
        assert!((20_990..21_010).contains(&all.len()), "{}", all.len());
        let cv = |client: u32| {
            let at: Vec<f64> =
                all.iter().filter(|c| c.client == client && c.at_us < 600_000_000).map(|c| c.at_us as f64).collect();
            let gaps: Vec<f64> = at.windows(2).map(|w| w[1] - w[0]).collect();
            let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
            (gaps.iter().map(|g| (g - mean) * (g - mean)).sum::<f64>() / gaps.len() as f64).sqrt() / mean
        };
        assert!((cv(0) / 1.5 - 1.0).abs() < 0.1, "{}", cv(0));
        assert!((cv(3) / 8.0 - 1.0).abs() < 0.1, "{}", cv(3));
        assert!((1_040..1_060).contains(&calls(&Options { thin: Some(0.5), ..Options::default() }).len()));
    }

    #[test]
    fn a_stretch_is_cut_and_copies_go_around() {
        let cut = calls(&Options { from_s: 300.0, until_s: Some(900.0), ..Options::default() });
        assert!(cut.iter().all(|c| c.at_us < 600_000_000));
        let later = |c: &&Call| c.at_us >= 300_000_000 && c.client == 0;
        assert!((200..400).contains(&cut.iter().filter(later).count()));
        let shifted = calls(&Options { copies: vec![0.0, 1.0 / 6.0], ..Options::default() });
        let n = |client: u32, half: u64| {
            shifted.iter().filter(|c| c.client == client && c.at_us / 600_000_000 == half).count()
        };
        assert_eq!([n(0, 0), n(0, 1), n(4, 0), n(4, 1), n(7, 1)], [1200, 600, 600, 1200, 300]);
        let mut again =
            Stream::new(of(RATES, LENGTHS).unwrap(), &Options { repeat: true, ..Options::default() }).unwrap();
        let all: Vec<Call> = std::iter::from_fn(|| again.next_call()).take(5_000).collect();
        assert!(all.is_sorted_by_key(|c| c.at_us));
        assert!((2_400_000_000..3_600_000_000).contains(&all[4_999].at_us));
    }

    #[test]
    fn a_stretch_without_a_call_ends_even_when_repeated() {
        let rates = "client,window_s,rate_rps,cv,pattern\n0,0,1,1,G\n0,1200,1,1,G\n";
        let options =
            Options { from_s: 600.0, until_s: Some(1200.0), repeat: true, rate: Some(5.0), ..Options::default() };
        assert!(Stream::new(of(rates, LENGTHS).unwrap(), &options).unwrap().next_call().is_none());
    }
}
