//! Whose fault a failure is.
//!
//! One engine's failure does not say whether the engine or the request is at fault. What the same request meets at a
//! second endpoint does: an endpoint is charged when another one serves what it failed, and the request is blamed when
//! endpoints that serve others fail it alike. [`Failure::rule`] is the table; [`Inquiry`] applies it to one request.

use alloc::vec::Vec;

use rhumb_grid::position::{EndpointIndex, ModelIndex};

/// What an attempt came to that has sent no content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No connection could be made: the request was not seen.
    Unreachable,
    /// The connection ended while the endpoint had the request.
    Died,
    /// Nothing that counts came in time.
    Silent,
    /// An answer came that is none: not the protocol's, or not what the API promises.
    Unreadable,
    /// The answer is larger than the gateway holds for one request.
    TooLarge,
    /// 429, or 503 with a time to come back: it is busy.
    Busy,
    /// 503 or 529 without a time: it is busy, or this request makes it say so.
    Unavailable,
    /// Another 5xx, or an error event without a status of its own.
    Server,
    /// 401 or 402: the gateway's credential is not accepted, or its credit is used up.
    Credential,
    /// 403: the credential may not do this, or the request is refused for what it says.
    Forbidden,
    /// 404 or 410: the model, its adapter or the API is not there.
    Missing,
    /// The engine says that the request does not fit its context.
    ContextLength,
    /// 400, 413, 415, 422 and their like: the engine calls the request invalid.
    Invalid,
    /// Any other answer: the endpoint's own reasons (a redirect, a conflict, a proxy's limit).
    Other,
    /// It leads back to a gateway that the request has come through.
    Looped,
}

/// At whom a failure points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The request: no endpoint could do better.
    Request,
    /// The endpoint, for the model that was asked for.
    EndpointModel,
    /// The credential or the credit that the gateway uses there.
    Credential,
    /// The endpoint.
    Endpoint,
    /// Nobody.
    Nobody,
}

impl Whose {
    /// Its code in logs and output.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::EndpointModel => "endpoint_model",
            Self::Credential => "credential",
            Self::Endpoint => "endpoint",
            Self::Nobody => "nobody",
        }
    }
}

/// When a failure counts against what it points at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// Never.
    Never,
    /// At once: it cannot be the request's.
    AtOnce,
    /// When another endpoint serves the same request.
    IfServedElsewhere,
}

/// How many endpoints are asked before the request is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tries {
    /// One more, unless this endpoint serves others: then its word counts.
    SecondOpinion,
    /// Two: the answer is too large for a third.
    Two,
    /// As many as the policy allows, but two where the work is long.
    ByLength,
    /// As many as the policy allows, but no third where two that serve others fail alike.
    UntilAlike,
    /// As many as the policy allows.
    All,
}

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// At whom it points.
    pub whose: Whose,
    /// When it counts against that.
    pub counts: Counts,
    /// How many endpoints are asked.
    pub tries: Tries,
}

impl Failure {
    /// What follows from a failure. The table in docs/reliability.md is this one.
    #[must_use]
    pub fn rule(self) -> Rule {
        use Counts::{AtOnce, IfServedElsewhere, Never};
        use Tries::{All, ByLength, SecondOpinion, Two, UntilAlike};
        let (whose, counts, tries) = match self {
            Self::Unreachable => (Whose::Endpoint, AtOnce, All),
            Self::Died => (Whose::Endpoint, IfServedElsewhere, All),
            Self::Silent => (Whose::Endpoint, IfServedElsewhere, ByLength),
            Self::TooLarge => (Whose::Endpoint, IfServedElsewhere, Two),
            Self::Unreadable | Self::Server => (Whose::Endpoint, IfServedElsewhere, UntilAlike),
            Self::Busy | Self::Looped => (Whose::Nobody, Never, All),
            Self::Unavailable => (Whose::Nobody, Never, UntilAlike),
            Self::Credential => (Whose::Credential, AtOnce, All),
            Self::Forbidden => (Whose::Credential, IfServedElsewhere, UntilAlike),
            Self::Missing => (Whose::EndpointModel, IfServedElsewhere, All),
            Self::ContextLength => (Whose::Request, Never, All),
            Self::Invalid => (Whose::EndpointModel, IfServedElsewhere, SecondOpinion),
            Self::Other => (Whose::EndpointModel, IfServedElsewhere, All),
        };
        Rule { whose, counts, tries }
    }

    /// What a status says that is no success. `states_time`: the answer says when to come back.
    #[must_use]
    pub fn of_status(status: u16, states_time: bool) -> Self {
        match status {
            429 => Self::Busy,
            503 | 529 if states_time => Self::Busy,
            503 | 529 => Self::Unavailable,
            508 => Self::Looped,
            501 => Self::Other,
            500..=599 => Self::Server,
            401 | 402 => Self::Credential,
            403 => Self::Forbidden,
            404 | 410 => Self::Missing,
            400 | 413 | 414 | 415 | 416 | 422 | 431 => Self::Invalid,
            _ => Self::Other,
        }
    }

    /// Its code in logs, metrics and output.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Died => "connection_lost",
            Self::Silent => "timeout",
            Self::Unreadable => "unreadable_answer",
            Self::TooLarge => "answer_too_large",
            Self::Busy => "busy",
            Self::Unavailable => "unavailable",
            Self::Server => "server_error",
            Self::Credential => "credential_refused",
            Self::Forbidden => "forbidden",
            Self::Missing => "model_missing",
            Self::ContextLength => "context_length",
            Self::Invalid => "request_refused",
            Self::Other => "other_status",
            Self::Looped => "loop",
        }
    }
}

/// One failed attempt of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// Where it was made.
    pub endpoint: EndpointIndex,
    /// The model it was made for.
    pub model: ModelIndex,
    /// What it came to.
    pub failure: Failure,
    /// The endpoint has answered other requests for this model lately, and has failed none since.
    pub proven: bool,
    /// The work is long: it was predicted to take more than a sixth of the wait that the policy grants.
    pub long: bool,
}

/// What becomes of a request after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Another target is tried, if there is one.
    Another,
    /// No other would do better.
    GiveUp,
}

/// The failed attempts of one request, and what they show together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inquiry {
    failed: Vec<Attempt>,
    /// It has been blamed before: endpoints that serve others have failed it alike.
    is_known: bool,
}

impl Inquiry {
    /// A request that has been blamed before needs no second endpoint to be blamed again.
    pub fn known(&mut self) {
        self.is_known = true;
    }

    /// An attempt has failed.
    pub fn failed(&mut self, attempt: Attempt) -> Next {
        self.failed.push(attempt);
        let Attempt { failure, proven, long, .. } = attempt;
        let is_second = self.failed.iter().filter(|a| a.failure == failure).count() > 1;
        let is_over = match failure.rule().tries {
            Tries::SecondOpinion => proven || is_second,
            Tries::Two => is_second,
            Tries::ByLength => long && is_second,
            Tries::UntilAlike => self.is_alike(failure),
            Tries::All => false,
        };
        if is_over { Next::GiveUp } else { Next::Another }
    }

    /// Endpoints that serve others have failed it alike: two, or one where the request is known for it.
    fn is_alike(&self, failure: Failure) -> bool {
        let alike = self.failed.iter().filter(|a| a.proven && a.failure == failure).count();
        alike > 1 || self.is_known && alike == 1
    }

    /// The request is served at an endpoint: what counts now against those that failed it.
    pub fn served(&self) -> impl Iterator<Item = (Attempt, Whose)> + '_ {
        self.failed
            .iter()
            .filter(|a| a.failure.rule().counts == Counts::IfServedElsewhere)
            .map(|a| (*a, a.failure.rule().whose))
    }

    /// What failed it last may be its own doing, or that of endpoints that are all known to fail: another try is for a
    /// budget.
    #[must_use]
    pub fn is_doubtful(&self, is_last_resort: bool) -> bool {
        self.failed.last().is_some_and(|a| is_last_resort || a.failure.rule().tries == Tries::UntilAlike)
    }

    /// The failed attempts, in their order.
    #[must_use]
    pub fn attempts(&self) -> &[Attempt] {
        &self.failed
    }

    /// Whose fault it is that nothing was served, as far as that can be told.
    #[must_use]
    pub fn verdict(&self) -> Whose {
        let Some(last) = self.failed.last() else { return Whose::Nobody };
        let all = |failure: Failure| self.failed.iter().all(|a| a.failure == failure);
        match last.failure.rule().tries {
            Tries::Two if all(Failure::TooLarge) => Whose::Request,
            Tries::UntilAlike if self.is_alike(last.failure) => Whose::Request,
            Tries::SecondOpinion => Whose::Request,
            _ if self.failed.iter().any(|a| a.failure == Failure::ContextLength) => Whose::Request,
            _ if all(last.failure) => last.failure.rule().whose,
            _ => Whose::Endpoint,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    const ALL: [Failure; 15] = [
        Failure::Unreachable,
        Failure::Died,
        Failure::Silent,
        Failure::Unreadable,
        Failure::TooLarge,
        Failure::Busy,
        Failure::Unavailable,
        Failure::Server,
        Failure::Credential,
        Failure::Forbidden,
        Failure::Missing,
        Failure::ContextLength,
        Failure::Invalid,
        Failure::Other,
        Failure::Looped,
    ];

    fn attempt(endpoint: u32, failure: Failure, proven: bool) -> Attempt {
        Attempt { endpoint: EndpointIndex(endpoint), model: ModelIndex(0), failure, proven, long: false }
    }

    #[test]
    fn a1_the_same_failure_at_two_endpoints_that_serve_others_is_the_requests() {
        for failure in [Failure::Server, Failure::Unreadable, Failure::Unavailable, Failure::Forbidden] {
            let mut inquiry = Inquiry::default();
            assert_eq!(inquiry.failed(attempt(0, failure, true)), Next::Another);
            assert_eq!(inquiry.failed(attempt(1, failure, true)), Next::GiveUp);
            assert_eq!(inquiry.verdict(), Whose::Request, "{failure:?}");
        }
    }

    #[test]
    fn the_published_table_is_this_one() {
        let page = include_str!("../../../docs/reliability.md");
        let all = "unreachable connection_lost timeout unreadable_answer answer_too_large busy unavailable server_error \
                   credential_refused forbidden model_missing context_length request_refused other_status loop";
        let codes: Vec<&str> = ALL.iter().map(|f| f.code()).collect();
        assert_eq!(codes.join(" "), all);
        for failure in ALL {
            let Rule { whose, counts, tries } = failure.rule();
            let whose = match whose {
                Whose::Request => "the request",
                Whose::EndpointModel => "the endpoint, for that model",
                Whose::Credential => "the gateway's credential there",
                Whose::Endpoint => "the endpoint",
                Whose::Nobody => "nobody",
            };
            let counts = match counts {
                Counts::Never => "never",
                Counts::AtOnce => "at once",
                Counts::IfServedElsewhere => "if another serves it",
            };
            let tries = match tries {
                Tries::SecondOpinion => "one more, unless this one serves others",
                Tries::Two => "one more",
                Tries::ByLength => "others, or one more where the work is long",
                Tries::UntilAlike => "others, until two that serve others fail alike",
                Tries::All => "others",
            };
            let row = format!("| {whose} | {counts} | {tries} |");
            let is_there = |line: &str| line.starts_with(&format!("| `{}` |", failure.code())) && line.ends_with(&row);
            assert!(page.lines().any(is_there), "no row of `{}` ends in {row}", failure.code());
        }
    }

    #[test]
    fn every_status_that_is_no_success_is_some_failure() {
        use Failure::{Busy, Credential, Forbidden, Invalid, Looped, Missing, Other, Server, Unavailable};
        let of = |status| Failure::of_status(status, false);
        for (status, failure) in [
            (400, Invalid),
            (401, Credential),
            (402, Credential),
            (403, Forbidden),
            (404, Missing),
            (405, Other),
            (408, Other),
            (409, Other),
            (413, Invalid),
            (421, Other),
            (422, Invalid),
            (425, Other),
            (429, Busy),
            (451, Other),
            (499, Other),
            (500, Server),
            (501, Other),
            (503, Unavailable),
            (508, Looped),
            (520, Server),
            (529, Unavailable),
            (302, Other),
            (0, Other),
            (999, Other),
        ] {
            assert_eq!(of(status), failure, "{status}");
        }
        assert_eq!((Failure::of_status(503, true), Failure::of_status(500, true)), (Busy, Server));
    }

    #[test]
    fn endpoints_that_serve_nobody_prove_nothing() {
        let mut inquiry = Inquiry::default();
        for endpoint in 0..5 {
            assert_eq!(inquiry.failed(attempt(endpoint, Failure::Server, endpoint == 0)), Next::Another);
        }
        assert_eq!(inquiry.verdict(), Whose::Endpoint);
        // A different failure is no confirmation either.
        let mut inquiry = Inquiry::default();
        inquiry.failed(attempt(0, Failure::Server, true));
        assert_eq!(inquiry.failed(attempt(1, Failure::Unreadable, true)), Next::Another);
    }

    #[test]
    fn what_another_endpoint_serves_counts_against_those_that_failed_it() {
        let mut inquiry = Inquiry::default();
        inquiry.failed(attempt(0, Failure::Server, true));
        inquiry.failed(attempt(1, Failure::Busy, true));
        inquiry.failed(attempt(2, Failure::Missing, true));
        inquiry.failed(attempt(3, Failure::Unreachable, true));
        let charged: Vec<(u32, Whose)> = inquiry.served().map(|(a, whose)| (a.endpoint.0, whose)).collect();
        assert_eq!(charged, [(0, Whose::Endpoint), (2, Whose::EndpointModel)], "3 was charged at once, 1 is no fault");
    }

    #[test]
    fn c3_an_engine_that_calls_a_request_invalid_is_believed_when_it_serves_others() {
        let mut inquiry = Inquiry::default();
        assert_eq!(inquiry.failed(attempt(0, Failure::Invalid, true)), Next::GiveUp);
        let mut inquiry = Inquiry::default();
        assert_eq!(inquiry.failed(attempt(0, Failure::Invalid, false)), Next::Another);
        assert_eq!(inquiry.failed(attempt(1, Failure::Invalid, false)), Next::GiveUp);
        assert_eq!(inquiry.verdict(), Whose::Request);
    }

    #[test]
    fn e1_long_work_is_not_done_three_times() {
        let mut inquiry = Inquiry::default();
        let silent = |endpoint, long| Attempt { long, ..attempt(endpoint, Failure::Silent, true) };
        assert_eq!(inquiry.failed(silent(0, true)), Next::Another);
        assert_eq!(inquiry.clone().failed(silent(1, false)), Next::Another);
        assert_eq!(inquiry.failed(silent(1, true)), Next::GiveUp);
        assert_eq!(inquiry.verdict(), Whose::Endpoint);
    }

    #[test]
    fn a_request_that_was_blamed_before_is_blamed_at_once() {
        let mut inquiry = Inquiry::default();
        inquiry.known();
        assert_eq!(inquiry.failed(attempt(0, Failure::Server, false)), Next::Another);
        assert_eq!(inquiry.failed(attempt(1, Failure::Server, true)), Next::GiveUp);
    }
}
