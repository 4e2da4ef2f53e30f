//! What is shown of a gateway: from two looks at its admin API.

use std::time::{Duration, Instant, SystemTime};

use rhumb_gateway::{EndpointNow, LastError};

use crate::ask::Admin;
use crate::top::page::Page;
use rhumb_cli::exit::Failure;

/// One look.
pub(crate) struct Sample {
    at: Instant,
    page: Page,
    endpoints: Vec<EndpointNow>,
    config: serde_json::Value,
    from: String,
}

impl Sample {
    pub(crate) fn take(admin: &Admin) -> Result<Self, Failure> {
        let page = admin.ask("GET", "/metrics", b"")?;
        let no_json = |e: serde_json::Error| admin.unreachable(&format!("its answer makes no sense: {e}"));
        Ok(Self {
            at: Instant::now(),
            page: Page::read(&String::from_utf8_lossy(&page)),
            endpoints: serde_json::from_slice(&admin.ask("GET", "/admin/v1/endpoints", b"")?).map_err(no_json)?,
            config: serde_json::from_slice(&admin.ask("GET", "/admin/v1/config", b"")?).map_err(no_json)?,
            from: admin.url().to_owned(),
        })
    }
}

/// What happened between two looks, and how things stand at the second.
#[derive(Debug)]
pub(crate) struct Figures {
    /// The admin API they are from.
    pub(crate) from: String,
    /// The configuration in force and for how long.
    pub(crate) config: String,
    /// Why what was last read is not in force, if it is not.
    pub(crate) refused: Option<String>,
    /// What endpoints' lists of models say against the configuration.
    pub(crate) warnings: Vec<String>,
    /// Requests that ended, a second, by how; those refused before a decision with them.
    pub(crate) ended: Vec<(String, f64)>,
    /// Time to first token, seconds: p50 and p95.
    pub(crate) ttft_s: Option<(f64, f64)>,
    /// Generated tokens a second.
    pub(crate) tokens_per_s: f64,
    /// US dollars an hour for the tokens of requests, at their prices.
    pub(crate) usd_per_h: f64,
    /// US dollars an hour for GPUs that are paid by the hour, used or not.
    pub(crate) provisioned_usd_per_h: f64,
    /// Requests that wait at the gateway, by priority.
    pub(crate) waiting: Vec<(String, f64)>,
    /// Connections of clients.
    pub(crate) connections: f64,
    /// What it rejects because it is short of memory, descriptors or connections: 0 nothing to 3 everything.
    pub(crate) overload: f64,
    /// Endpoints, the unhealthy first, then those with most in flight.
    pub(crate) rows: Vec<EndpointRow>,
}

/// One endpoint.
#[derive(Debug)]
pub(crate) struct EndpointRow {
    pub(crate) now: EndpointNow,
    /// Requests sent to it a second, and failures.
    pub(crate) sent_per_s: f64,
    pub(crate) failed_per_s: f64,
    /// As its engine last reported.
    pub(crate) running: Option<f64>,
    pub(crate) waiting: Option<f64>,
    pub(crate) kv_use: Option<f64>,
    /// Round trip, seconds.
    pub(crate) rtt_s: Option<f64>,
}

impl Figures {
    pub(crate) fn between(before: &Sample, now: &Sample) -> Self {
        let seconds = now.at.saturating_duration_since(before.at).as_secs_f64();
        let per_s = |series: &str| {
            let added = now.page.since(&before.page, series);
            if seconds > 0.0 { added / seconds } else { 0.0 }
        };
        let mut ended: Vec<(String, f64)> = now
            .page
            .by_label("rhumb_requests_total", "outcome")
            .map(|(outcome, _)| (outcome.to_owned(), per_s(&format!("rhumb_requests_total{{outcome=\"{outcome}\"}}"))))
            .collect();
        ended.push(("refused".into(), per_s("rhumb_requests_refused_total")));
        let row = |now_there: &EndpointNow| {
            let name = &now_there.endpoint;
            let of = |metric: &str| now.page.get(&format!("rhumb_endpoint_{metric}{{endpoint=\"{name}\"}}"));
            let attempts =
                |result: &str| per_s(&format!("rhumb_attempts_total{{endpoint=\"{name}\",result=\"{result}\"}}"));
            EndpointRow {
                sent_per_s: attempts("sent"),
                failed_per_s: attempts("failed"),
                running: of("running"),
                waiting: of("waiting"),
                kv_use: of("kv_use"),
                rtt_s: of("rtt_seconds"),
                now: now_there.clone(),
            }
        };
        let mut rows: Vec<EndpointRow> = now.endpoints.iter().map(row).collect();
        rows.sort_by(|a, b| {
            let ill = |r: &EndpointRow| r.now.ill.is_none();
            (ill(a).cmp(&ill(b)))
                .then(b.now.in_flight.total_cmp(&a.now.in_flight))
                .then_with(|| a.now.endpoint.cmp(&b.now.endpoint))
        });
        let quantile = |q| now.page.quantile(&before.page, "rhumb_time_to_first_token_seconds", q);
        let waiting = now.page.by_label("rhumb_queue_length", "priority");
        Self {
            from: now.from.clone(),
            config: config(&now.config),
            refused: refused(&now.config),
            warnings: now.endpoints.iter().flat_map(warnings).collect(),
            ended,
            ttft_s: quantile(0.5).zip(quantile(0.95)),
            tokens_per_s: per_s("rhumb_tokens_total{kind=\"completion\"}"),
            provisioned_usd_per_h: now.endpoints.iter().filter_map(|e| e.provisioned_usd_per_h).sum(),
            usd_per_h: 3_600.0 * per_s("rhumb_cost_usd_total"),
            waiting: waiting.map(|(priority, n)| (priority.to_owned(), n)).collect(),
            connections: now.page.get("rhumb_connections").unwrap_or(0.0),
            overload: now.page.get("rhumb_overload_level").unwrap_or(0.0),
            rows,
        }
    }
}

fn warnings(endpoint: &EndpointNow) -> Vec<String> {
    let name = &endpoint.endpoint;
    let missing = endpoint.models_missing.iter().map(|m| format!("endpoint `{name}` does not list its model `{m}`"));
    let refused = endpoint.models_refused.iter();
    let refused =
        refused.map(|m| format!("endpoint `{name}` is left alone for `{m}`: it says that it has no such model"));
    let failing = endpoint.last_error.as_ref().map(|error| failing(name, endpoint.ill_since_ms, error));
    missing.chain(refused).chain(failing).chain(endpoint.probe_error.clone()).collect()
}

/// What fails at an endpoint, how often and since when, and what its engine says of it.
fn failing(name: &str, ill_since_ms: Option<u64>, error: &LastError) -> String {
    let cause = error.cause.replace('_', " ");
    let status = error.status.map(|status| format!(" (HTTP {status})")).unwrap_or_default();
    let often = if error.count == 1 {
        format!("{} ago", duration(error.ago_ms / 1_000))
    } else {
        format!(
            "{} times in {}, last {} ago",
            error.count,
            duration(error.since_ms / 1_000),
            duration(error.ago_ms / 1_000)
        )
    };
    let ill = ill_since_ms.map(|ms| format!("; unhealthy for {}", duration(ms / 1_000))).unwrap_or_default();
    let said = if error.said.is_empty() { String::new() } else { format!("; it says: {}", error.said) };
    format!("endpoint `{name}`: {cause}{status} {often}{ill}{said}")
}

fn config(said: &serde_json::Value) -> String {
    let version = said["version"].as_str().unwrap_or("unknown");
    let older = said["still_serving"].as_array().map_or(0, Vec::len);
    let still = if older > 0 { format!("; requests end under {older} older ones") } else { String::new() };
    format!("{version}, in force for {}{still}", since(&said["since_unix_ms"]))
}

fn refused(said: &serde_json::Value) -> Option<String> {
    let reload = said["last_reload"].as_object().filter(|r| r["result"] == "refused")?;
    let why = reload["error"].as_str().unwrap_or("no reason is given");
    Some(format!("what was read {} ago is refused: {why}", since(&reload["at_unix_ms"])))
}

/// The time since then, in the two largest of its units.
fn since(unix_ms: &serde_json::Value) -> String {
    let then = SystemTime::UNIX_EPOCH + Duration::from_millis(unix_ms.as_u64().unwrap_or(0));
    duration(then.elapsed().unwrap_or_default().as_secs())
}

/// A time in the two largest of its units.
fn duration(s: u64) -> String {
    match s {
        0..60 => format!("{s} s"),
        60..3_600 => format!("{} min {} s", s / 60, s % 60),
        3_600..86_400 => format!("{} h {} min", s / 3_600, s / 60 % 60),
        _ => format!("{} d {} h", s / 86_400, s / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: Instant, page: &str, config: serde_json::Value) -> Sample {
        let endpoint = |name: &str, in_flight: f64, ill: Option<&str>| {
            serde_json::json!({"endpoint": name, "site": "s", "accepts": "new_and_existing", "ill": ill,
                               "in_flight": in_flight, "window": 8.0, "provisioned_usd_per_h": 2.5,
                               "models_missing": if ill.is_some() { vec!["m"] } else { Vec::new() }})
        };
        let endpoints =
            serde_json::json!([endpoint("a", 1.0, None), endpoint("b", 3.0, None), endpoint("c", 0.0, Some("peers"))]);
        Sample {
            at,
            page: Page::read(page),
            endpoints: serde_json::from_value(endpoints).expect("a list"),
            config,
            from: "http://x".into(),
        }
    }

    #[test]
    fn rates_are_of_the_time_between_and_the_ill_come_first() {
        let now_ms = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_millis() as u64;
        let good = serde_json::json!({"version": "v1", "since_unix_ms": now_ms - 3_725_000, "last_reload": null});
        let error = "line 3: there is no site `x`";
        let bad = serde_json::json!({"version": "v1", "since_unix_ms": now_ms - 3_725_000, "still_serving": ["v0"],
                                     "last_reload": {"at_unix_ms": now_ms - 5_000, "result": "refused", "error": error}});
        let start = Instant::now();
        let before = "rhumb_requests_total{outcome=\"complete\"} 10\nrhumb_cost_usd_total 1";
        let after = "rhumb_requests_total{outcome=\"complete\"} 30\nrhumb_cost_usd_total 1.5\n\
                     rhumb_attempts_total{endpoint=\"b\",result=\"sent\"} 6\nrhumb_endpoint_running{endpoint=\"b\"} 2";
        let first = sample(start, before, good);
        let second = sample(start + Duration::from_secs(2), after, bad);
        let figures = Figures::between(&first, &second);
        assert_eq!(figures.ended, [("complete".to_owned(), 10.0), ("refused".to_owned(), 0.0)]);
        assert_eq!((figures.usd_per_h, figures.provisioned_usd_per_h, figures.ttft_s), (900.0, 7.5, None));
        assert_eq!(figures.config, "v1, in force for 1 h 2 min; requests end under 1 older ones");
        assert_eq!(figures.refused.as_deref(), Some(format!("what was read 5 s ago is refused: {error}").as_str()));
        assert_eq!(figures.warnings, ["endpoint `c` does not list its model `m`"]);
        let order: Vec<&str> = figures.rows.iter().map(|r| r.now.endpoint.as_str()).collect();
        assert_eq!(order, ["c", "b", "a"]);
        assert_eq!(
            (figures.rows[1].sent_per_s, figures.rows[1].running, figures.rows[2].running),
            (3.0, Some(2.0), None)
        );
        assert_eq!(Figures::between(&first, &first).refused, None);
    }
}
