//! What the live view knows: the last seconds of each site, the figures of the whole, and what happened.

use std::collections::VecDeque;

use rhumb_gateway::{SiteReading, Totals};

use crate::load::{Answered, Sample};
use crate::summary::quantile;
use rhumb_scene::scene::Scene;

/// Figures are of the answers of the last seconds.
pub(crate) const WINDOW_S: f64 = 10.0;

/// Events kept.
const EVENTS_MAX: usize = 100;

/// A site as the view shows it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SiteRow {
    pub(crate) name: String,
    pub(crate) city: String,
    pub(crate) operator: String,
    pub(crate) gpus: String,
    /// Answers a second.
    pub(crate) rps: f64,
    /// Share of all answers.
    pub(crate) share: f64,
    pub(crate) in_flight: f64,
    pub(crate) watts: f64,
    pub(crate) watts_max: f64,
    /// List price of a million tokens in the trace's mix of prompt and answer.
    pub(crate) usd_per_mtok: f64,
    pub(crate) ttft_p50_ms: Option<f64>,
    /// Engines there that a gateway holds unhealthy.
    pub(crate) ill: usize,
}

/// The time to first token in the window, and its shares at the median.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Wait {
    pub(crate) p50_ms: f64,
    pub(crate) p95_ms: f64,
    pub(crate) network_ms: f64,
    pub(crate) queue_ms: f64,
    pub(crate) prefill_ms: f64,
}

/// What a million tokens cost, prompts and answers together.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Cost {
    /// At list prices, for what was used.
    pub(crate) metered: Option<f64>,
    /// All GPU-hours, used or not.
    pub(crate) provisioned: Option<f64>,
}

/// Everything that is shown.
#[derive(Debug)]
pub(crate) struct Scoreboard {
    pub(crate) rows: Vec<SiteRow>,
    pub(crate) wait: Wait,
    pub(crate) now_s: f64,
    /// Lines to paste: a request, and where the admin API is.
    pub(crate) paste: Vec<String>,
    /// What happened, the newest first.
    pub(crate) events: VecDeque<String>,
    /// Money per million tokens since the start.
    pub(crate) usd_per_mtok: Cost,
    gpus_usd_per_hour: f64,
    /// Events that were not taken yet.
    news: usize,
    window: VecDeque<(f64, Answered)>,
    answered: usize,
    failed: usize,
    all_ttft_ms: Vec<f64>,
    ill_before: Vec<bool>,
}

impl Scoreboard {
    /// An empty board for a scene.
    pub(crate) fn new(scene: &Scene, paste: Vec<String>) -> Self {
        use rhumb_scene::economics::{perf, price};
        let row = |s: &rhumb_scene::atlas::SitePlan| {
            let price = price(&perf(s), s.gpu_hour_usd, scene.mean);
            let (input, output) = (scene.mean.input_tokens, scene.mean.output_tokens);
            SiteRow {
                name: s.name.clone(),
                city: s.city.clone(),
                operator: s.operator.clone(),
                gpus: format!("{}x {}", s.engines, s.gpu),
                rps: 0.0,
                share: 0.0,
                in_flight: 0.0,
                watts: 0.0,
                watts_max: s.power_kw * 1e3,
                usd_per_mtok: (input * price.input_usd_per_mtok + output * price.output_usd_per_mtok)
                    / (input + output),
                ttft_p50_ms: None,
                ill: 0,
            }
        };
        let rows: Vec<SiteRow> = scene.atlas.sites.iter().map(row).collect();
        Self {
            ill_before: vec![false; rows.len()],
            rows,
            wait: Wait::default(),
            now_s: 0.0,
            paste,
            events: VecDeque::new(),
            usd_per_mtok: Cost::default(),
            gpus_usd_per_hour: scene.gpus_usd_per_hour(),
            news: 0,
            window: VecDeque::new(),
            answered: 0,
            failed: 0,
            all_ttft_ms: Vec::new(),
        }
    }

    /// Requests that got no whole answer.
    pub(crate) fn failures(&self) -> usize {
        self.failed
    }

    /// Requests that got one.
    pub(crate) fn answered(&self) -> usize {
        self.answered
    }

    /// Adds an event.
    pub(crate) fn note(&mut self, now_s: f64, text: impl AsRef<str>) {
        let s = now_s as u64;
        self.events.push_front(format!("{:02}:{:02} {}", s / 60, s % 60, text.as_ref()));
        self.events.truncate(EVENTS_MAX);
        self.news += 1;
    }

    /// Events since the last time, the oldest first.
    pub(crate) fn take_news(&mut self) -> Vec<String> {
        let news = std::mem::take(&mut self.news);
        self.events.iter().take(news).rev().cloned().collect()
    }

    /// The site that serves most now, with its share of the answers.
    pub(crate) fn busiest(&self) -> (usize, f64) {
        let shares = self.rows.iter().map(|row| row.share).enumerate();
        shares.max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0))).unwrap_or((0, 0.0))
    }

    /// Takes what has happened since the last time.
    pub(crate) fn observe(&mut self, now_s: f64, samples: Vec<Sample>, gateways: &[Vec<SiteReading>], totals: Totals) {
        self.now_s = now_s;
        for sample in samples {
            match sample.answer {
                Some(answer) => {
                    self.answered += 1;
                    self.all_ttft_ms.push(answer.ttft_ms);
                    self.window.push_back((now_s, answer));
                }
                None => {
                    self.failed += 1;
                    self.note(now_s, "a request failed");
                }
            }
        }
        while self.window.front().is_some_and(|(at, _)| *at < now_s - WINDOW_S) {
            self.window.pop_front();
        }
        self.read_sites(gateways);
        self.read_window();
        let tokens = totals.prompt_tokens + totals.completion_tokens;
        let per_mtok = |usd: f64| (tokens > 0).then(|| usd / tokens as f64 * 1e6);
        let provisioned_usd = self.gpus_usd_per_hour * now_s / 3_600.0;
        self.usd_per_mtok = Cost { metered: per_mtok(totals.usd), provisioned: per_mtok(provisioned_usd) };
    }

    /// Requests in flight add up over gateways; power is what any of them has read last, and all read the same.
    fn read_sites(&mut self, gateways: &[Vec<SiteReading>]) {
        for row in &mut self.rows {
            (row.in_flight, row.watts, row.ill) = (0.0, 0.0, 0);
        }
        for reading in gateways.iter().flatten() {
            let Some(row) = self.rows.iter_mut().find(|r| r.name == reading.name) else { continue };
            row.in_flight += reading.in_flight;
            row.watts = row.watts.max(reading.watts);
            row.ill = row.ill.max(reading.ill);
        }
        for i in 0..self.rows.len() {
            let ill = self.rows[i].ill > 0;
            if std::mem::replace(&mut self.ill_before[i], ill) != ill {
                let what = match ill {
                    true => "the gateways find it unhealthy: its traffic moves to the other sites",
                    false => "the gateways find it healthy again: traffic returns",
                };
                let text = format!("{}: {what}", self.rows[i].name);
                self.note(self.now_s, text);
            }
        }
    }

    fn read_window(&mut self) {
        let seconds = self.now_s.clamp(1.0, WINDOW_S);
        let sorted = |values: &mut dyn Iterator<Item = f64>| {
            let mut values: Vec<f64> = values.collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let answers: Vec<&Answered> = self.window.iter().map(|(_, a)| a).collect();
        let all = answers.len().max(1) as f64;
        for (site, row) in self.rows.iter_mut().enumerate() {
            let here = sorted(&mut answers.iter().filter(|a| a.site == site).map(|a| a.ttft_ms));
            row.rps = here.len() as f64 / seconds;
            row.share = here.len() as f64 / all;
            row.ttft_p50_ms = quantile(&here, 0.5);
        }
        let at = |values: Vec<f64>, share| quantile(&values, share).unwrap_or(0.0);
        let ttft = sorted(&mut answers.iter().map(|a| a.ttft_ms));
        self.wait = Wait {
            p50_ms: at(ttft.clone(), 0.5),
            p95_ms: at(ttft, 0.95),
            network_ms: at(sorted(&mut answers.iter().map(|a| a.network_ms)), 0.5),
            queue_ms: at(sorted(&mut answers.iter().map(|a| a.queue_ms())), 0.5),
            prefill_ms: at(sorted(&mut answers.iter().map(|a| a.prefill_ms)), 0.5),
        };
    }

    /// The figures in one line.
    pub(crate) fn line(&self) -> String {
        let s = self.now_s as u64;
        let Wait { p50_ms, p95_ms, network_ms, queue_ms, prefill_ms } = self.wait;
        let mut line = format!(
            "{:02}:{:02} answered {} failed {} | ttft p50 {p50_ms:.0} p95 {p95_ms:.0} ms (network {network_ms:.0}, \
             queue {queue_ms:.0}, prefill {prefill_ms:.0}) | USD/Mtok {} metered, {} provisioned |",
            s / 60,
            s % 60,
            self.answered,
            self.failed,
            money(self.usd_per_mtok.metered),
            money(self.usd_per_mtok.provisioned),
        );
        for row in &self.rows {
            let ill = if row.ill > 0 { " ILL" } else { "" };
            line += &format!(" {} {:.1}/s{ill}", row.name, row.rps);
        }
        line
    }

    /// What is printed at the end.
    pub(crate) fn closing(&self) -> String {
        let mut ttft = self.all_ttft_ms.clone();
        ttft.sort_by(f64::total_cmp);
        let at = |share| quantile(&ttft, share).unwrap_or(0.0);
        format!(
            "{:.0} s: {} answered, {} failed; time to first token p50 {:.0} ms, p95 {:.0} ms; USD per million tokens: {} \
             metered, {} provisioned.",
            self.now_s,
            self.answered,
            self.failed,
            at(0.5),
            at(0.95),
            money(self.usd_per_mtok.metered),
            money(self.usd_per_mtok.provisioned),
        )
    }
}

/// Dollars per million tokens, or a dash.
pub(crate) fn money(usd_per_mtok: Option<f64>) -> String {
    usd_per_mtok.map_or_else(|| "-".into(), |usd| format!("{usd:.4}"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::args::DemoArgs;

    pub(crate) fn board() -> Scoreboard {
        let args = DemoArgs {
            seconds: None,
            json: false,
            seed: None,
            rps: None,
            burst: 1.2,
            fail: None,
            trace: None,
            listen: None,
            admin_listen: None,
        };
        Scoreboard::new(&args.scene(120.0).unwrap(), vec!["curl".into()])
    }

    fn sample(site: usize, ttft_ms: f64) -> Sample {
        let answer = Answered { site, ttft_ms, network_ms: 10.0, prefill_ms: 20.0, tokens: 100 };
        Sample { at_ms: 0.0, answer: Some(answer) }
    }

    fn reading(name: &str, ill: usize) -> SiteReading {
        SiteReading { name: name.into(), watts: 100.0, in_flight: 2.0, ill }
    }

    #[test]
    fn the_window_forgets_and_the_sums_do_not() {
        let mut b = board();
        let totals = Totals { usd: 1.0, prompt_tokens: 4_000_000, ..Totals::default() };
        b.observe(1.0, vec![sample(0, 100.0), sample(0, 200.0), sample(1, 300.0)], &[], totals);
        assert_eq!((b.rows[0].rps, b.rows[0].ttft_p50_ms, b.usd_per_mtok.metered), (2.0, Some(100.0), Some(0.25)));
        assert!(b.usd_per_mtok.provisioned.is_some_and(|usd| usd > 0.0));
        assert_eq!(b.busiest(), (0, 2.0 / 3.0));
        assert_eq!((b.wait.p50_ms, b.wait.p95_ms, b.wait.queue_ms), (200.0, 300.0, 170.0));
        b.observe(20.0, vec![Sample { at_ms: 0.0, answer: None }], &[], totals);
        assert_eq!((b.rows[0].rps, b.rows[0].ttft_p50_ms), (0.0, None));
        assert_eq!((b.answered(), b.failures()), (3, 1));
        assert!(b.closing().starts_with("20 s: 3 answered, 1 failed; time to first token p50 200 ms, p95 300 ms"));
        assert!(b.line().starts_with("00:20 answered 3 failed 1 |"), "{}", b.line());
    }

    #[test]
    fn illness_is_an_event_once() {
        let mut b = board();
        let name = b.rows[0].name.clone();
        for (now_s, ill) in [(1.0, 0), (2.0, 1), (3.0, 1), (64.0, 0)] {
            let gateways = [vec![reading(&name, ill)], vec![reading(&name, 0)]];
            b.observe(now_s, Vec::new(), &gateways, Totals::default());
        }
        assert_eq!((b.rows[0].in_flight, b.rows[0].watts), (4.0, 100.0));
        assert_eq!(b.events.len(), 2);
        assert_eq!((b.take_news().len(), b.take_news().len()), (2, 0));
        assert!(b.events[0].starts_with("01:04 ") && b.events[0].ends_with("traffic returns"));
    }
}
