//! What a request's head says. Nothing else of it goes any further: the head that an endpoint sees is the gateway's
//! own, so that internal headers from outside have nothing to act on. (For what gateways tell each other, see `chain`.)

use http::HeaderMap;
use rhumb_api::ApiError;
use rhumb_api::Tier;
use rhumb_grid::config::{Location, Priority, SessionLimits, Tenant};
use rhumb_grid::geo::{distance_km, estimated_rtt_ms};
use rhumb_grid::service::Service;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::hop_headers::HopHeaders;

/// Headers in which agents name their session by themselves: Claude Code, Codex (two spellings), opencode (two), and others. What
/// cannot be read of them is not theirs to mend, and counts as none.
const AGENT_SESSIONS: [&str; 6] = [
    "x-claude-code-session-id",
    "session-id",
    "session_id",
    "x-opencode-session",
    "x-session-affinity",
    "x-session-id",
];

/// Longest value read of a header.
const VALUE_BYTES_MAX: usize = 512;

/// The headers of DESIGN.md, section 11, as asked.
#[derive(Debug, Default)]
pub(crate) struct RequestHeaders {
    pub(crate) policy: Option<String>,
    /// Hash of the session's name, seeded by the tenant's number.
    pub(crate) session: Option<u64>,
    /// The session's name.
    pub(crate) session_name: Option<Box<str>>,
    /// What the client lets its session come to.
    pub(crate) session_limits: SessionLimits,
    /// Round trip between client and gateway.
    pub(crate) client_ms: f64,
    priority: Option<Priority>,
    /// How long the client waits for the first content, from now.
    pub(crate) deadline_ms: Option<u64>,
    /// What the client tries out of Anthropic's API, for endpoints that speak it.
    pub(crate) beta: Option<String>,
    pub(crate) chain: HopHeaders,
}

impl RequestHeaders {
    /// Those of a line of a batch.
    pub(crate) fn of_batch() -> Self {
        Self { priority: Some(Priority::Batch), ..Self::default() }
    }

    /// How urgent the request is: by its header, else its service tier, else its policy. A header that asks for more
    /// than the tenant may have is refused; a service tier gets what it may.
    pub(crate) fn priority(
        &self,
        service: &Service,
        tenant: Option<&Tenant>,
        tier: Option<Tier>,
    ) -> Result<Priority, ApiError> {
        let highest = tenant.map_or(Priority::Interactive, |t| t.highest_priority);
        if let Some(asked) = self.priority {
            if asked < highest {
                let text = format!("`x-rhumb-priority` may be at most `{}` for this key.", highest.name());
                return Err(ApiError::invalid(text).with_param("x-rhumb-priority"));
            }
            return Ok(asked);
        }
        Ok(match tier {
            Some(Tier::Priority) => Priority::Interactive,
            Some(Tier::Flex) => Priority::Batch,
            None => service.priority,
        }
        .max(highest))
    }
}

/// Reads them, of the tenant with a number.
pub(crate) fn asked(headers: &HeaderMap, tenant: u32, gateway: Option<Location>) -> Result<RequestHeaders, ApiError> {
    let mut out = RequestHeaders { chain: HopHeaders::read(headers)?, ..RequestHeaders::default() };
    if let Some(name) = text(headers, "x-rhumb-policy")? {
        out.policy = Some(name.to_owned());
    }
    let of_agent = || AGENT_SESSIONS.iter().find_map(|name| text(headers, name).ok().flatten());
    let session = text(headers, "x-rhumb-session")?.or_else(of_agent).filter(|session| !session.is_empty());
    out.session = session.map(|session| own_hash(session.as_bytes(), tenant));
    out.session_name = session.map(Box::from);
    if let Some(limits) = text(headers, SESSION_LIMIT)? {
        out.session_limits = session_limits(limits).ok_or_else(|| {
            let text = "`x-rhumb-session-limit` must be a list such as `steps=50, tokens=200000, usd=0.5, seconds=600, \
                        repeats=5`: each once, each above 0, `repeats` above 1.";
            ApiError::invalid(text).with_param(SESSION_LIMIT)
        })?;
    }
    // What cannot be read of it is no setting of ours.
    out.beta = text(headers, "anthropic-beta").ok().flatten().filter(|beta| !beta.is_empty()).map(str::to_owned);
    if let Some(name) = text(headers, "x-rhumb-priority")? {
        out.priority = Some(Priority::named(name).ok_or_else(|| {
            let text = "`x-rhumb-priority` must be one of: interactive, standard, batch.";
            ApiError::invalid(text).with_param("x-rhumb-priority")
        })?);
    }
    if let Some(ms) = text(headers, "x-rhumb-deadline-ms")? {
        out.deadline_ms = Some(ms.parse().ok().filter(|ms| *ms > 0).ok_or_else(|| {
            let text = "`x-rhumb-deadline-ms` must be a whole number above 0: the milliseconds from now within which \
                        the answer must begin.";
            ApiError::invalid(text).with_param("x-rhumb-deadline-ms")
        })?);
    }
    if let Some(place) = text(headers, "x-rhumb-location")? {
        let location = location(place).ok_or_else(|| {
            let text = "`x-rhumb-location` must be `LATITUDE,LONGITUDE` in degrees, for example `50.11,8.68`.";
            ApiError::invalid(text).with_param("x-rhumb-location")
        })?;
        // A client's stated place shapes an estimate of time and nothing else.
        out.client_ms = gateway.map_or(0.0, |g| estimated_rtt_ms(distance_km(g, location)));
    }
    Ok(out)
}

/// A hash of a session's name, or of a request, that no other tenant shares. The number stays with the tenant, where its
/// position may become another's.
pub(crate) fn own_hash(bytes: &[u8], tenant: u32) -> u64 {
    xxh3_64_with_seed(bytes, u64::from(tenant))
}

pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>, ApiError> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    match value.to_str() {
        Ok(text) if text.len() <= VALUE_BYTES_MAX => Ok(Some(text.trim())),
        _ => {
            let text = format!("`{name}` must be visible ASCII, at most {VALUE_BYTES_MAX} bytes.");
            Err(ApiError::invalid(text).with_param(name))
        }
    }
}

/// The header in which a client limits its session.
pub(crate) const SESSION_LIMIT: &str = "x-rhumb-session-limit";

fn session_limits(text: &str) -> Option<SessionLimits> {
    let mut limits = SessionLimits::default();
    for pair in text.split(',') {
        let (name, value) = pair.split_once('=')?;
        let value = value.trim();
        let count = |least: u64| value.parse::<u64>().ok().filter(|n| *n >= least);
        let is_first = match name.trim() {
            "steps" => limits.max_steps.replace(count(1)?).is_none(),
            "tokens" => limits.max_tokens.replace(count(1)?).is_none(),
            "usd" => {
                limits.max_usd.replace(value.parse().ok().filter(|usd: &f64| *usd > 0.0 && usd.is_finite())?).is_none()
            }
            "seconds" => limits.max_seconds.replace(count(1)?).is_none(),
            "repeats" => limits.max_repeats.replace(count(2)?).is_none(),
            _ => false,
        };
        if !is_first {
            return None;
        }
    }
    Some(limits)
}

fn location(text: &str) -> Option<Location> {
    let (latitude, longitude) = text.split_once(',')?;
    let l = Location { latitude: latitude.trim().parse().ok()?, longitude: longitude.trim().parse().ok()? };
    ((-90.0..=90.0).contains(&l.latitude) && (-180.0..=180.0).contains(&l.longitude)).then_some(l)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_or_refused() {
        assert_eq!(location("50.1, 8.7"), Some(Location { latitude: 50.1, longitude: 8.7 }));
        for bad in ["", "50", "91,0", "0,181", "a,b", "NaN,0", "1,2,3"] {
            assert_eq!(location(bad), None, "{bad}");
        }
    }

    #[test]
    fn limits_of_a_session_are_read_or_refused() {
        let all = session_limits("steps=50, tokens = 7,usd=0.5,seconds=600, repeats=5").unwrap();
        assert_eq!((all.max_steps, all.max_tokens, all.max_usd), (Some(50), Some(7), Some(0.5)));
        assert_eq!((all.max_seconds, all.max_repeats), (Some(600), Some(5)));
        for bad in
            ["", "steps", "steps=0", "steps=1,steps=2", "usd=NaN", "usd=inf", "usd=-1", "repeats=1", "x=1", "steps=1,"]
        {
            assert_eq!(session_limits(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_agents_own_header_names_its_session_unless_ours_does() {
        let of = |pairs: &[(&'static str, &'static [u8])]| {
            let value = |v: &[u8]| http::HeaderValue::from_bytes(v).unwrap();
            let headers = pairs.iter().map(|(n, v)| (http::HeaderName::from_static(n), value(v))).collect();
            asked(&headers, 1, None).unwrap().session
        };
        let named = Some(own_hash(b"s1", 1));
        for name in AGENT_SESSIONS {
            assert_eq!(of(&[(name, b"s1")]), named);
        }
        assert_eq!(of(&[("session_id", b"s2"), ("x-rhumb-session", b"s1")]), named);
        assert_eq!(of(&[("session_id", b"\xff"), ("x-session-id", b"s1")]), named);
        assert_eq!(of(&[("session_id", b"")]), None);
    }

    #[test]
    fn sessions_of_tenants_do_not_meet() {
        assert_ne!(own_hash(b"s", 1), own_hash(b"s", 0));
        assert_ne!(own_hash(b"s", 1), own_hash(b"s", 2));
    }
}
