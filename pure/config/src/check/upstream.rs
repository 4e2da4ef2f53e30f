//! What every request to an endpoint carries, and how its certificate is checked.

use std::collections::BTreeSet;

use super::Report;
use super::values::is_sendable;
use rhumb_document::path::Path;
use rhumb_grid::config::Endpoint;

/// Headers that requests have already, or that say how they are framed.
const OWN_HEADERS: [&str; 15] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-request-id",
];

/// Finds what no request could carry, and settings of TLS that do not fit together.
pub(super) fn check(endpoint: &Endpoint, path: &Path, report: &mut Report<'_>) {
    if endpoint.api_key.as_deref().is_some_and(|key| !is_sendable(key)) {
        let what = "this `api_key` is empty or holds a character that no header carries".to_owned();
        let right = "the secret alone, without spaces or line breaks; no `api_key` at all if the server wants none";
        report.value(&path.key("api_key"), what, right.to_owned());
    }
    headers(endpoint, path, report);
    tls(endpoint, path, report);
}

fn headers(endpoint: &Endpoint, path: &Path, report: &mut Report<'_>) {
    let mut seen = BTreeSet::new();
    if let Some(name) = &endpoint.api_key_header {
        let path = path.key("api_key_header");
        if endpoint.api_key.is_none() {
            let what = "`api_key_header` without `api_key`".to_owned();
            report.key(&path, what, "the secret in `api_key`, which this header carries".to_owned());
        }
        name_fault(name, &path, report);
        seen.insert(name.to_ascii_lowercase());
    } else if endpoint.api_key.is_some() {
        seen.insert("authorization".to_owned());
    }
    for (name, value) in &endpoint.headers {
        let path = path.key("headers").key(name);
        name_fault(name, &path, report);
        if !seen.insert(name.to_ascii_lowercase()) {
            let what = "this header is sent already, by its other spelling or for `api_key`".to_owned();
            report.key(&path, what, "each header once".to_owned());
        }
        let fits = |b: u8| b.is_ascii_graphic() || b == b' ';
        if value.is_empty() || value.trim() != value || !value.bytes().all(fits) {
            let what = "the value of this header is empty or holds a character that no header carries".to_owned();
            report.value(&path, what, "letters, digits and signs of ASCII on one line".to_owned());
        }
    }
}

fn name_fault(name: &str, path: &Path, report: &mut Report<'_>) {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let lower = name.to_ascii_lowercase();
    if name.is_empty() || !name.bytes().all(is_token) {
        let what = "this is no name of a header".to_owned();
        report.key(path, what, "letters, digits and `-`, as in `api-key`".to_owned());
    } else if OWN_HEADERS.contains(&lower.as_str()) || lower.starts_with("x-rhumb-") {
        let what = format!("rhumb writes the header `{lower}` itself");
        report.key(path, what, "another header".to_owned());
    }
}

fn tls(endpoint: &Endpoint, path: &Path, report: &mut Report<'_>) {
    let stated = [
        ("ca_file", &endpoint.ca_file),
        ("client_cert_file", &endpoint.client_cert_file),
        ("client_key_file", &endpoint.client_key_file),
        ("tls_server_name", &endpoint.tls_server_name),
    ];
    let is_plain = endpoint.url.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://"));
    for (key, value) in stated {
        let Some(value) = value else { continue };
        if is_plain {
            let what = format!("`{key}` at an endpoint without TLS");
            report.key(&path.key(key), what, "a `url` that begins with `https://`, or no such key".to_owned());
        } else if value.is_empty() {
            report.value(&path.key(key), "it is empty".to_owned(), format!("a value, or no `{key}` at all"));
        }
    }
    let pair = (&endpoint.client_cert_file, &endpoint.client_key_file);
    if let (Some(_), None) | (None, Some(_)) = pair {
        let (there, missing) = match pair.0 {
            Some(_) => ("client_cert_file", "client_key_file"),
            None => ("client_key_file", "client_cert_file"),
        };
        report.key(&path.key(there), format!("`{there}` without `{missing}`"), "both, or neither".to_owned());
    }
    let is_name = |name: &str| {
        name.parse::<std::net::IpAddr>().is_ok()
            || name
                .split('.')
                .all(|l| !l.is_empty() && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'))
    };
    if let Some(name) = endpoint.tls_server_name.as_ref().filter(|n| !n.is_empty() && !is_name(n)) {
        let path = path.key("tls_server_name");
        let what = format!("{} is no name that a certificate can be for", report.quoted(&path, name));
        report.value(&path, what, "the name alone, as `engine.example.org`".to_owned());
    }
}
