//! Those who ask, beyond asking: they send again what failed, as the official SDKs do, and they leave.

use rhumb_core::memory::Memory;
use rhumb_core::refusal::Retry;
use rhumb_rng::{hash, label, unit};

use crate::outcome::End;
use crate::queue::{Event, Ticket};
use crate::world::World;

/// The first wait of an SDK that is told none, and its longest, s; it doubles each time.
const BACKOFF_S: (f64, f64) = (0.5, 8.0);

/// Most of it that chance takes off.
const JITTER: f64 = 0.25;

/// The longest wait that an SDK lets itself be told: when it is told a longer one, it gives up.
const TOLD_MAX_MS: u64 = 120_000;

/// How long an SDK waits before it sends a request again that it has sent `sends` times, µs (`_should_retry` and
/// `_calculate_retry_timeout` of openai-python); `None`: it does not. `draw` is from 0 to 1.
fn wait_us(told: Retry, sends: u32, retries: u32, draw: f64) -> Option<u64> {
    if !told.may || sends > retries || told.after_ms.is_some_and(|ms| ms > TOLD_MAX_MS) {
        return None;
    }
    if let Some(ms) = told.after_ms.filter(|ms| *ms > 0) {
        return Some(ms * 1_000);
    }
    let doubled = BACKOFF_S.0 * f64::from(1_u32 << sends.saturating_sub(1).min(16));
    Some((doubled.min(BACKOFF_S.1) * (1.0 - JITTER * draw) * 1e6) as u64)
}

impl<M: Memory> World<'_, M> {
    /// A client leaves before its answer is whole, if it is one of those that do and stays no longer.
    pub(crate) fn may_leave(&mut self, ticket: Ticket, request: u64) {
        let clients = self.setup.clients;
        let seed = hash(self.setup.seed, label("leaving"));
        if clients.leaving == 0.0 || unit(hash(seed, 2 * request)) >= clients.leaving {
            return;
        }
        let Some(flight) = self.flights.get(ticket) else { return };
        let stays_us = -libm::log(1.0 - unit(hash(seed, 2 * request + 1))) * clients.leave_after_us;
        // The gateway learns it when the connection's end has travelled there, as the request had.
        let at_us = self.queue.now_us.max(flight.ask.at_us + crate::WARM_UP_US) + flight.client_us + stays_us as u64;
        self.queue.at(at_us, Event::Leaves { slot: ticket.slot, request });
    }

    /// A request ends with an error before any content: its client sends it again, or its user has the error.
    pub(crate) fn refused(&mut self, ticket: Ticket, end: End, told: Retry) {
        let now_us = self.queue.now_us;
        let draws = hash(self.setup.seed, label("clients"));
        let Some(flight) = self.flights.get(ticket) else { return };
        self.gateways[flight.gateway as usize].settle(flight, 0, 0);
        let draw = unit(hash(draws ^ flight.request << 8, u64::from(flight.sends)));
        match wait_us(told, flight.sends, self.setup.clients.retries, draw) {
            Some(wait_us) => {
                flight.again(self.setup.terms(flight.ask.tenant).0.max_attempts);
                let at_us = now_us + 2 * flight.client_us + wait_us;
                if let Some(flight) = self.flights.renew(ticket) {
                    self.queue.at(at_us, Event::AtGateway { flight });
                }
            }
            None => {
                let Some(flight) = self.flights.remove(ticket) else { return };
                self.record(&flight, end, None, 0, 0.0);
                self.follow(flight.ask.tag, now_us + flight.client_us);
            }
        }
    }

    /// A client has left: what it was served is billed, the rest is cancelled, and no trace of it stays in a queue.
    pub(crate) fn leaves(&mut self, slot: u32, request: u64) {
        let now_us = self.queue.now_us;
        let Some(ticket) = self.flights.ticket(slot, request) else { return };
        let Some(mut flight) = self.flights.remove(ticket) else { return };
        self.drop_second(&flight);
        let number = flight.gateway;
        let gateway = &mut self.gateways[number as usize];
        if let Some((place, _)) = flight.waits {
            gateway.leave(place);
        }
        let (mut served, mut tokens, mut usd) = (None, 0, 0.0);
        if let Some(in_flight) = flight.in_flight.take() {
            let (target, sent_us) = (in_flight.attempt.target, in_flight.attempt.sent_us());
            let (endpoint, site) = (target.endpoint, target.site);
            let came = flight.first_at_gateway_us.is_some_and(|first_us| first_us <= now_us);
            // What has left the engine by now counts, the last of it though it is still on its way.
            tokens = match flight.done {
                _ if !came => 0,
                true => flight.ask.output_tokens,
                false => self.servers[endpoint].sent_tokens(ticket.id(), flight.ask.output_tokens),
            };
            usd = gateway.left(in_flight, tokens, now_us);
            served = came.then_some((endpoint, sent_us));
            if !flight.done {
                let at_us = now_us + self.network.there_us(number, site);
                self.queue.at(at_us, Event::Cancel { endpoint, id: ticket.id() });
            }
            self.freed(number, endpoint);
        }
        self.gateways[number as usize].settle(&flight, if tokens > 0 { flight.ask.input_tokens } else { 0 }, tokens);
        if tokens > 0 {
            self.ended = Some((ticket, tokens));
        }
        self.record(&flight, End::Left, served, tokens, usd);
        self.follow(flight.ask.tag, now_us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_sdk_waits_as_it_is_told_or_doubles() {
        let told = |after_ms| Retry { may: true, after_ms };
        assert_eq!(wait_us(told(Some(700)), 1, 2, 0.5), Some(700_000));
        assert_eq!(wait_us(told(Some(120_000)), 2, 2, 0.5), Some(120_000_000));
        assert_eq!(wait_us(told(Some(120_001)), 1, 2, 0.5), None, "longer than it lets itself be told");
        let alone = |sends, draw| wait_us(told(None), sends, 9, draw).unwrap();
        assert_eq!(
            [alone(1, 0.0), alone(2, 0.0), alone(5, 0.0), alone(9, 0.0)],
            [500_000, 1_000_000, 8_000_000, 8_000_000]
        );
        assert_eq!(alone(1, 1.0), 375_000, "three quarters of it at least");
    }

    #[test]
    fn an_sdk_stops_after_its_retries_and_when_it_is_told_to() {
        let told = Retry { may: true, after_ms: None };
        assert!(wait_us(told, 2, 2, 0.0).is_some() && wait_us(told, 3, 2, 0.0).is_none());
        assert!(wait_us(told, 1, 0, 0.0).is_none());
        assert_eq!(wait_us(Retry { may: false, after_ms: None }, 1, 2, 0.0), None);
    }
}
