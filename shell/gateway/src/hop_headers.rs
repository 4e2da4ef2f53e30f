//! What gateways that stand in a row tell each other.
//!
//! Three headers go from one to the next. Each can only make the next one hold back: refuse, try less, wait less. So
//! they are taken from anybody: a client that writes them harms its own request and no other, and no key is needed to
//! tell a gateway from a client.

use std::fmt::Write as _;
use std::time::Instant;

use http::HeaderMap;
use rhumb_api::ApiError;
use rhumb_process::clock;

use crate::request_headers::text;

/// Gateways that a request has come through.
const HOPS: &str = "x-rhumb-hops";

/// Targets that may be tried for it from there on.
const TRIES: &str = "x-rhumb-tries";

/// More gateways in a row than any grid has (edge, region, site), and few enough that a loop ends at once.
pub(crate) const HOPS_MAX: u32 = 8;

/// What the gateways before this one have said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct HopHeaders {
    hops: u32,
    tries: Option<u32>,
}

impl HopHeaders {
    /// Reads it.
    ///
    /// # Errors
    /// The request goes around in a loop, or a header is no number.
    pub(crate) fn read(headers: &HeaderMap) -> Result<Self, ApiError> {
        let hops = number(headers, HOPS)?.unwrap_or(0);
        if hops > HOPS_MAX {
            return Err(ApiError::loop_detected(HOPS_MAX));
        }
        Ok(Self { hops, tries: number(headers, TRIES)? })
    }

    /// Targets that may be tried: the policy's number, or what a gateway before this one has left of its own.
    pub(crate) fn tries(self, max_attempts: u32) -> u32 {
        self.tries.map_or(max_attempts, |t| t.min(max_attempts))
    }

    /// The header lines for a target that may make so many tries itself. What is left of a deadline is said in the
    /// words that a client says it in. Engines ignore all three.
    pub(crate) fn lines(self, tries: u32, deadline: Option<Instant>) -> String {
        let mut out = format!("{HOPS}: {}\r\n{TRIES}: {tries}\r\n", self.hops + 1);
        if let Some(deadline) = deadline {
            let left_ms = deadline.saturating_duration_since(clock::now()).as_millis().max(1);
            // Writing to a string does not fail.
            let _ = write!(out, "x-rhumb-deadline-ms: {left_ms}\r\n");
        }
        out
    }
}

fn number(headers: &HeaderMap, name: &'static str) -> Result<Option<u32>, ApiError> {
    let Some(text) = text(headers, name)? else { return Ok(None) };
    // A number beyond all bounds is as good as the largest.
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = digits.then(|| text.parse().unwrap_or(u32::MAX)).filter(|n| *n > 0 || name == HOPS);
    number.map(Some).ok_or_else(|| {
        let least = if name == HOPS { "" } else { " above 0" };
        ApiError::invalid(format!("`{name}` must be a whole number{least}: it is for gateways.")).with_param(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhumb_api::Cause;

    fn read(lines: &[(&'static str, &str)]) -> Result<HopHeaders, ApiError> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        HopHeaders::read(&headers)
    }

    #[test]
    fn what_comes_from_outside_only_ever_holds_back() {
        assert_eq!(read(&[]).unwrap().tries(3), 3);
        for (said, want) in [("1", 1), ("3", 3), ("99", 3), ("99999999999999999999", 3)] {
            assert_eq!(read(&[(TRIES, said)]).unwrap().tries(3), want, "{said}");
        }
        for (name, bad) in [(TRIES, "0"), (TRIES, "-1"), (TRIES, "x"), (TRIES, ""), (HOPS, "+1"), (HOPS, "1.0")] {
            let error = read(&[(name, bad)]).unwrap_err();
            assert_eq!((error.status(), error.param.as_deref()), (400, Some(name)), "{bad}");
        }
    }

    #[test]
    fn f19_each_gateway_counts_and_the_ninth_refuses() {
        let mut said = "0".to_owned();
        for _ in 0..=HOPS_MAX {
            let chain = read(&[(HOPS, &said)]).unwrap();
            said = chain.lines(1, None).split([' ', '\r']).nth(1).unwrap().to_owned();
        }
        assert_eq!(read(&[(HOPS, &said)]).unwrap_err().cause, Cause::LoopDetected);
        assert_eq!(read(&[(HOPS, "99999999999999999999")]).unwrap_err().status(), 508);
    }

    #[test]
    fn a_deadline_goes_on_with_what_is_left_of_it() {
        let lines = HopHeaders::default().lines(2, Some(clock::now()));
        assert_eq!(lines, "x-rhumb-hops: 1\r\nx-rhumb-tries: 2\r\nx-rhumb-deadline-ms: 1\r\n");
    }
}
