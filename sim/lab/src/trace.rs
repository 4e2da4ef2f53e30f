//! A run seen event by event, around one of them.

use std::fmt::Write;

use rhumb_world::{Breach, Decided, Event, Moment, Ticket, Watch};

use crate::scenario::RouterName;

/// Events shown before and after the one asked for.
const AROUND: u64 = 25;

/// Writes down what happens around an event.
#[derive(Debug)]
pub struct Tracer {
    at: u64,
    /// Also what engines and decisions looked like.
    deep: bool,
    /// The lines.
    pub text: String,
    seen: u64,
    pending: Option<String>,
}

impl Tracer {
    /// Looks at the event of this number; `deep` adds decisions and engines.
    #[must_use]
    pub fn new(at: u64, deep: bool) -> Self {
        Self { at, deep, text: String::new(), seen: 0, pending: None }
    }

    /// Number of the last event that happened.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.seen
    }
}

fn name(event: Event) -> String {
    let request = |t: Ticket| format!("request {}.{}", t.slot, t.attempt);
    match event {
        Event::AtGateway { flight } => format!("{} reaches its gateway", request(flight)),
        Event::Room { gateway, endpoint } => {
            format!("gateway {gateway} has room at endpoint {} for those that wait", endpoint.0)
        }
        Event::LookAgain { gateway } => format!("those that wait at gateway {gateway} look again"),
        Event::Patience { flight, .. } => format!("{} has waited as long as it may", request(flight)),
        Event::AtEndpoint { flight } => format!("{} reaches its endpoint", request(flight)),
        Event::Step { endpoint, .. } => format!("a step ends at endpoint {}", endpoint.0),
        Event::First { flight } => format!("first token of {} reaches the gateway", request(flight)),
        Event::Late { flight } => format!("{} has had its time to begin", request(flight)),
        Event::Last { flight } => format!("last token of {} reaches the gateway", request(flight)),
        Event::Failed { flight, tokens: 0 } => format!("an attempt of {} fails", request(flight)),
        Event::Failed { flight, tokens } => format!("the stream of {} breaks after token {tokens}", request(flight)),
        Event::Idle { flight, .. } => format!("{} has had no token for as long as it may", request(flight)),
        Event::Leaves { request, .. } => format!("the client of request number {request} has left, if it had to wait"),
        Event::Cancel { endpoint, id } => {
            format!("{} is cancelled at endpoint {}", request(Ticket::of(id)), endpoint.0)
        }
        Event::Tick { gateway } => format!("gateway {gateway} publishes a view"),
        Event::Sample => "loads are read".to_owned(),
        Event::Hour => "an hour begins".to_owned(),
        Event::Fault { index, begins: true } => format!("fault {index} begins"),
        Event::Fault { index, begins: false } => format!("fault {index} ends"),
    }
}

impl Watch for Tracer {
    fn decided(&mut self, d: &Decided<'_>) -> Result<(), Breach> {
        // The event that made the decision has not been counted yet.
        if self.deep && (self.seen + 1).abs_diff(self.at) <= AROUND {
            let mut line = format!("    decision {} at gateway {}: {}", d.request, d.gateway, d.decision.reason.code());
            for t in d.decision.targets.iter().take(3) {
                let _ = write!(
                    line,
                    "; endpoint {} bill {:.6} USD, TTFT {:.0} ms",
                    t.endpoint.0,
                    t.bill.total_usd(),
                    t.predicted.ttft_p50_ms
                );
            }
            let _ = write!(line, "; {} eligible, {} skipped", d.decision.eligible, d.decision.skipped);
            self.pending = Some(line);
        }
        Ok(())
    }

    fn happened(&mut self, m: &Moment<'_>) -> Result<(), Breach> {
        self.seen = m.number;
        if m.number.abs_diff(self.at) > AROUND {
            return Ok(());
        }
        let mark = if m.number == self.at { '>' } else { ' ' };
        let at_s = m.now_us as f64 / 1e6;
        let _ = writeln!(self.text, "{mark} {:>9}  {at_s:>12.6} s  {}", m.number, name(m.event));
        if let Some(line) = self.pending.take() {
            self.text += &line;
            self.text.push('\n');
        }
        if let Some((endpoint, engine, step)) = m.engine.filter(|_| self.deep) {
            let (running, waiting, kv) = (engine.running(), engine.waiting(), engine.kv_use() * 100.0);
            let emitted = step.map_or(0, |s| s.emitted.len());
            let _ = writeln!(
                self.text,
                "    endpoint {}: {running} running, {waiting} waiting, KV {kv:.0} %, {emitted} tokens out; \
                 {} requests under way",
                endpoint.0, m.under_way
            );
        }
        Ok(())
    }
}

/// The command that shows an event of a run again.
#[must_use]
pub fn replay_command(scenario: &str, router: RouterName, seed: u64, at: u64) -> String {
    format!("rhumb sim replay {seed} --scenario {scenario} --router {} --at {at} --trace", router.name())
}
