//! The page of metrics in the format that its reader asks for: OpenMetrics, or Prometheus' text format 0.0.4 where nothing
//! else is asked for.

use http::{HeaderMap, Response, header};

use crate::answer::text;
use crate::body::Answer;
use crate::epoch::ConfigEpoch;
use crate::readings;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers whoever asks for the page.
pub(crate) fn page(epoch: &ConfigEpoch, headers: &HeaderMap) -> Response<Answer> {
    let page = readings::page(epoch);
    let accepts = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    if wants_openmetrics(accepts) {
        text(OPENMETRICS, page.into())
    } else {
        text(PROMETHEUS, to_prometheus(&page).into())
    }
}

/// Whether OpenMetrics is asked for, and nothing rather than it (RFC 9110, section 12.5.1).
fn wants_openmetrics<'a>(accepts: impl Iterator<Item = &'a str>) -> bool {
    let (mut openmetrics, mut plain) = (0.0f64, 0.0f64);
    for wanted in accepts.flat_map(|value| value.split(',')) {
        let mut parts = wanted.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weight = parts.find_map(|p| p.strip_prefix("q=").or_else(|| p.strip_prefix("Q=")));
        let weight = weight.map_or(1.0, |q| q.parse().unwrap_or(0.0));
        match kind.as_str() {
            "application/openmetrics-text" => openmetrics = openmetrics.max(weight),
            "text/plain" | "text/*" => plain = plain.max(weight),
            _ => {}
        }
    }
    openmetrics > 0.0 && openmetrics >= plain
}

/// The same page in text format 0.0.4: there a counter is described by the name of its series, and units and the end of
/// the page are not marked.
fn to_prometheus(openmetrics: &str) -> String {
    let mut out = String::with_capacity(openmetrics.len());
    let mut help = None;
    for line in openmetrics.lines() {
        if let Some(described) = line.strip_prefix("# HELP ") {
            help = described.split_once(' ').map(|(_, text)| text);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let total = if kind == "counter" { "_total" } else { "" };
            if let Some(text) = help.take() {
                out.extend(["# HELP ", name, total, " ", text, "\n"]);
            }
            out.extend(["# TYPE ", name, total, " ", kind, "\n"]);
        } else if !line.starts_with("# UNIT ") && line != "# EOF" {
            out.extend([line, "\n"]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_the_one_asked_for() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;\
                          q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, openmetrics) in [
            (&[][..], false),
            (&["*/*"], false),
            (&["text/plain"], false),
            (&["text/plain; version=0.0.4"], false),
            (&["text/html, */*;q=0.1"], false),
            (&["application/openmetrics-text"], true),
            (&["text/plain;q=0.5", "Application/OpenMetrics-Text; version=1.0.0"], true),
            (&[prometheus], true),
            (&["application/openmetrics-text;q=0.1, text/plain"], false),
            (&["application/openmetrics-text; q=0"], false),
            (&["application/openmetrics-text; q=x"], false),
        ] {
            assert_eq!(wants_openmetrics(accept.iter().copied()), openmetrics, "{accept:?}");
        }
    }

    #[test]
    fn counters_are_described_by_the_names_of_their_series() {
        let page = "# HELP a_b Text, with # signs.\n# TYPE a_b counter\n# UNIT a_b b\na_b_total{x=\"# y\"} 1\n\
                    # HELP g Gauge.\n# TYPE g gauge\ng 2\n# EOF\n";
        let expected = "# HELP a_b_total Text, with # signs.\n# TYPE a_b_total counter\na_b_total{x=\"# y\"} 1\n\
                        # HELP g Gauge.\n# TYPE g gauge\ng 2\n";
        assert_eq!(to_prometheus(page), expected);
    }
}
