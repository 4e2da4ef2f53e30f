//! When an answer says that it makes sense to ask again.

use rhumb_process::clock;

/// Longest time that is taken for what it says, ms: a day.
const MAX_MS: f64 = 86_400_000.0;

/// What the headers of one answer say. Of what can be read, `retry-after-ms` counts before `retry-after`, and both before
/// the times at which a used-up rate limit is full again.
#[derive(Debug, Default)]
pub(crate) struct RetryAfter {
    ms: Option<u64>,
    seconds_or_date: Option<u64>,
    limits: [Limit; 4],
}

/// A rate limit.
#[derive(Debug, Default)]
struct Limit {
    is_used_up: bool,
    reset: Option<u64>,
}

/// What is limited, as providers name it.
const LIMITS: [&str; 4] = ["requests", "tokens", "input-tokens", "output-tokens"];

impl RetryAfter {
    /// Reads a header, if it is one of these. What cannot be read is as good as absent.
    pub(crate) fn header(&mut self, name: &str, value: &[u8]) {
        let Ok(text) = std::str::from_utf8(value).map(str::trim) else { return };
        if name.eq_ignore_ascii_case("retry-after-ms") {
            self.ms = self.ms.or_else(|| bounded(number(text)?));
        } else if name.eq_ignore_ascii_case("retry-after") {
            let read = || number(text).and_then(|s| bounded(s * 1e3)).or_else(|| date(text));
            self.seconds_or_date = self.seconds_or_date.or_else(read);
        } else {
            self.limit(&name.to_ascii_lowercase(), text);
        }
    }

    /// Reads a header of a rate limit: `x-ratelimit-remaining-requests` and the like of OpenAI, and
    /// `anthropic-ratelimit-requests-remaining` and the like.
    fn limit(&mut self, name: &str, text: &str) {
        let openai = name.strip_prefix("x-ratelimit-").and_then(|rest| rest.split_once('-'));
        let anthropic = name.strip_prefix("anthropic-ratelimit-").and_then(|rest| rest.rsplit_once('-'));
        let Some((what, of)) = openai.or(anthropic.map(|(of, what)| (what, of))) else { return };
        let Some(at) = LIMITS.iter().position(|limit| *limit == of) else { return };
        let limit = &mut self.limits[at];
        match what {
            "remaining" => limit.is_used_up = number(text).is_some_and(|n| n <= 0.0),
            "reset" => limit.reset = limit.reset.or_else(|| duration(text).or_else(|| timestamp(text))),
            _ => {}
        }
    }

    /// A rate limit is used up for so many milliseconds.
    pub(crate) fn used_up_ms(&self) -> Option<u64> {
        self.limits.iter().filter(|l| l.is_used_up).filter_map(|l| l.reset).max()
    }

    /// In so many milliseconds.
    pub(crate) fn ms(&self) -> Option<u64> {
        self.ms.or(self.seconds_or_date).or_else(|| self.used_up_ms())
    }
}

/// A decimal number: no sign, or the words that a float parser also takes.
fn number(text: &str) -> Option<f64> {
    let is_decimal = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+'));
    if is_decimal && text.starts_with(|c: char| c.is_ascii_digit() || c == '.') { text.parse().ok() } else { None }
}

fn bounded(ms: f64) -> Option<u64> {
    (ms >= 0.0).then(|| ms.min(MAX_MS).ceil() as u64)
}

/// An HTTP date: the one place where clocks of two machines meet, so the result is bounded as the others are.
fn date(text: &str) -> Option<u64> {
    let at = httpdate::parse_http_date(text).ok()?;
    let left = at.duration_since(clock::wall()).unwrap_or_default();
    bounded(left.as_secs_f64() * 1e3)
}

/// A time as Anthropic writes it (RFC 3339, in UTC): `2026-12-01T01:07:07Z`.
fn timestamp(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (day, time) = text.strip_suffix('Z')?.split_once('T')?;
    let [year, month, day] = day.splitn(3, '-').collect::<Vec<_>>().try_into().ok()?;
    let month = MONTHS.get(month.parse::<usize>().ok()?.checked_sub(1)?)?;
    let seconds = time.split('.').next()?;
    // As an HTTP date it has a day of the week, of which one is right.
    let on = |weekday: &&str| date(&format!("{weekday}, {day} {month} {year} {seconds} GMT"));
    ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].iter().find_map(on)
}

/// A duration as OpenAI writes it, `6m0s` or `120ms`, or a number of seconds.
fn duration(text: &str) -> Option<u64> {
    if let Some(seconds) = number(text) {
        return bounded(seconds * 1e3);
    }
    if text.is_empty() {
        return None;
    }
    let (mut rest, mut ms) = (text, 0.0);
    while !rest.is_empty() {
        let (digits, behind) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.')?);
        let (unit, next) = behind.split_at(behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len()));
        let unit_ms = match unit {
            "d" => 86_400_000.0,
            "h" => 3_600_000.0,
            "m" => 60_000.0,
            "s" => 1_000.0,
            "ms" => 1.0,
            "us" | "µs" | "ns" => 0.001,
            _ => return None,
        };
        ms += number(digits)? * unit_ms;
        rest = next;
    }
    bounded(ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn of(headers: &[(&str, &str)]) -> Option<u64> {
        let mut retry = RetryAfter::default();
        headers.iter().for_each(|(name, value)| retry.header(name, value.as_bytes()));
        retry.ms()
    }

    #[test]
    fn every_form_is_read() {
        assert_eq!(of(&[("Retry-After", " 20 ")]), Some(20_000));
        assert_eq!(of(&[("retry-after", "7.5")]), Some(7_500));
        assert_eq!(of(&[("retry-after-ms", "7500.25")]), Some(7_501));
        let soon = httpdate::fmt_http_date(clock::wall() + Duration::from_secs(600));
        assert!(of(&[("retry-after", &soon)]).is_some_and(|ms| (590_000..=600_000).contains(&ms)));
        assert_eq!(of(&[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")]), Some(0));
        assert_eq!(of(&[("retry-after", "Sunday, 06-Nov-94 08:49:37 GMT")]), Some(0));
        for (text, ms) in [("1s", 1_000), ("6m0s", 360_000), ("120ms", 120), ("1h2m3.5s", 3_723_500), ("2", 2_000)] {
            let limit = [("x-ratelimit-reset-tokens", text), ("X-RateLimit-Remaining-Tokens", "0")];
            assert_eq!(of(&limit), Some(ms), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_hides_nothing() {
        for bad in ["", "soon", "-1", "NaN", "inf", "0x10", "1 2", "+5", "."] {
            assert_eq!(of(&[("retry-after-ms", bad)]), None, "{bad}");
            assert_eq!(of(&[("retry-after", bad)]), None, "{bad}");
            for headers in [
                [("retry-after-ms", bad), ("retry-after", "8")],
                [("retry-after", "8"), ("retry-after-ms", bad)],
                [("retry-after", bad), ("retry-after-ms", "8000")],
                [("retry-after", bad), ("retry-after", "8")],
            ] {
                assert_eq!(of(&headers), Some(8_000), "{headers:?}");
            }
        }
        assert_eq!(of(&[("retry-after", "8"), ("retry-after-ms", "7500.25")]), Some(7_501), "the more exact one");
        assert_eq!(of(&[("retry-after", "9e99")]), Some(86_400_000));
        assert_eq!(of(&[("retry-after-ms", "1e999")]), Some(86_400_000));
        assert_eq!(of(&[("retry-after", "Fri, 31 Dec 9999 23:59:59 GMT")]), Some(86_400_000));
    }

    #[test]
    fn limits_of_anthropic_are_read() {
        let soon = clock::wall() + Duration::from_secs(600);
        let http = httpdate::fmt_http_date(soon);
        let [_, day, month, year, time, _] = http.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let month = 1 + "JanFebMarAprMayJunJulAugSepOctNovDec".find(month).unwrap() / 3;
        let reset = format!("{year}-{month:02}-{day}T{time}Z");
        for of_what in ["requests", "tokens", "input-tokens", "output-tokens"] {
            let [remaining, at] = ["remaining", "reset"].map(|what| format!("Anthropic-RateLimit-{of_what}-{what}"));
            let found = of(&[(remaining.as_str(), "0"), (at.as_str(), reset.as_str())]);
            assert!(found.is_some_and(|ms| (590_000..=600_000).contains(&ms)), "{found:?}");
            assert_eq!(of(&[(remaining.as_str(), "7"), (at.as_str(), reset.as_str())]), None);
        }
        for bad in
            ["", "T", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-12-01T00:00:00+01:00", "2026-12-0\u{e9}T1Z"]
        {
            let limit = [("anthropic-ratelimit-tokens-remaining", "0"), ("anthropic-ratelimit-tokens-reset", bad)];
            assert_eq!(of(&limit), None, "{bad}");
        }
    }

    #[test]
    fn only_a_limit_that_is_used_up_counts() {
        let limit = [("x-ratelimit-reset-requests", "24h"), ("x-ratelimit-remaining-requests", "99")];
        assert_eq!(of(&limit), None);
        let tokens = [("x-ratelimit-reset-tokens", "3s"), ("x-ratelimit-remaining-tokens", "0")];
        assert_eq!(of(&[limit, tokens].concat()), Some(3_000));
        assert_eq!(of(&[&tokens[..], &[("retry-after", "1")]].concat()), Some(1_000));
        assert_eq!(of(&[("x-ratelimit-reset-tokens", "3 parsecs"), ("x-ratelimit-remaining-tokens", "0")]), None);
    }
}
