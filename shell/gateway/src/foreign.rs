//! Keeps pages of other sites away from the admin API. A browser of somebody who can reach it would send what such a page
//! tells it to; a name of the page's own that leads here (DNS rebinding) would even let the page read the answers.

use std::net::{IpAddr, SocketAddr};

use http::uri::Authority;
use http::{HeaderValue, Method, Request, header};
use rhumb_api::ApiError;
use rhumb_grid::config::Gateway;

/// Refuses what a page of another site may have had a browser send.
///
/// # Errors
/// Which header says so, and what would be right.
pub(crate) fn check<B>(gateway: &Gateway, request: &Request<B>) -> Result<(), ApiError> {
    let headers = request.headers();
    let host = headers.get(header::HOST);
    let named = host.map(|h| Authority::try_from(h.as_bytes()).ok());
    let target = request.uri().authority().cloned();
    for authority in named.into_iter().chain(target.map(Some)) {
        let host = authority.as_ref().map_or("", Authority::host);
        if !answers_to(gateway, host) {
            let shown: String = host.chars().take(100).collect();
            let text = format!(
                "The admin API does not answer to the host `{shown}`: use the address that it listens on, or list the \
                 name in `gateway.admin_hosts`."
            );
            return Err(ApiError::forbidden("host_not_allowed", text).with_param("host"));
        }
    }
    let authority = request.uri().authority().map(Authority::as_str);
    let own = authority.or_else(|| host.and_then(|h| h.to_str().ok())).unwrap_or_default();
    if headers.get(header::ORIGIN).is_some_and(|origin| !is_own(origin, own)) {
        let text = "A page of another origin asks: the admin API takes requests of programs and of its own pages only.";
        return Err(ApiError::forbidden("origin_not_allowed", text).with_param("origin"));
    }
    if headers.get_all("sec-fetch-site").iter().any(|site| site != "same-origin" && site != "none") {
        let text = "A page of another site asks: the admin API takes requests of programs and of its own pages only.";
        return Err(ApiError::forbidden("origin_not_allowed", text).with_param("sec-fetch-site"));
    }
    // Pages may send other types than this without asking first.
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let is_json = types.next().is_some_and(is_json) && types.next().is_none();
    if request.method() == Method::POST && !is_json {
        return Err(ApiError::media_type());
    }
    Ok(())
}

/// The admin API is known by this name: that of the machine itself, the address it listens on, or one that is listed.
fn answers_to(gateway: &Gateway, host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let name = bare.strip_suffix('.').unwrap_or(bare);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        let (ip, listen) =
            (ip.to_canonical(), gateway.admin_listen.parse::<SocketAddr>().map(|a| a.ip().to_canonical()));
        // On every interface, each address of the machine is one that it listens on. No name leads to an address as text.
        let is_own = listen.is_ok_and(|listen| listen == ip || listen.is_unspecified());
        if is_own || ip.is_loopback() {
            return true;
        }
    }
    let listed = |h: &String| h.eq_ignore_ascii_case(name) || h.eq_ignore_ascii_case(host);
    name.eq_ignore_ascii_case("localhost") || gateway.admin_hosts.iter().any(listed)
}

/// The origin is that of the host asked.
fn is_own(origin: &HeaderValue, host: &str) -> bool {
    let origin = origin.to_str().unwrap_or_default();
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    !host.is_empty() && authority.is_some_and(|a| a.eq_ignore_ascii_case(host))
}

fn is_json(value: &HeaderValue) -> bool {
    let text = value.to_str().unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(listen: &str, lines: &[(&str, &str)]) -> Option<(u16, String)> {
        let gateway =
            Gateway { admin_listen: listen.into(), admin_hosts: vec!["ops.example".into()], ..Gateway::default() };
        let mut request = Request::builder().method(Method::POST).uri("/admin/v1/drain");
        if !lines.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json; charset=utf-8");
        }
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        check(&gateway, &request.body(()).unwrap()).err().map(|e| (e.status(), e.param.unwrap_or_default()))
    }

    #[test]
    fn only_names_that_are_known_lead_here() {
        let loopback = |host: &str| said("127.0.0.1:9080", &[("host", host)]);
        for own in
            ["127.0.0.1:9080", "localhost", "LOCALHOST:1", "localhost.", "[::1]:9080", "127.9.9.9", "ops.example:9"]
        {
            assert_eq!(loopback(own), None, "{own}");
        }
        for foreign in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.nip.io:9080",
            "ops.example.evil",
            "evil.localhost",
            "10.0.0.1",
            "0.0.0.0:9080",
            "2130706433",
            "[::ffff:10.0.0.1]",
        ] {
            assert_eq!(loopback(foreign), Some((403, "host".into())), "{foreign}");
        }
        assert_eq!(said("0.0.0.0:9080", &[("host", "10.0.0.1:9080")]), None);
        assert_eq!(said("10.0.0.1:9080", &[("host", "10.0.0.1:9080")]), None);
        assert_eq!(said("0.0.0.0:9080", &[("host", "evil.example")]), Some((403, "host".into())));
        assert_eq!(said("127.0.0.1:9080", &[]), None, "HTTP/1.0 names none, and no browser speaks it");
    }

    #[test]
    fn what_a_foreign_page_can_send_is_refused() {
        let with = |line: (&str, &str)| said("127.0.0.1:9080", &[("host", "127.0.0.1:9080"), line]);
        for own in [("origin", "http://127.0.0.1:9080"), ("sec-fetch-site", "same-origin"), ("sec-fetch-site", "none")]
        {
            assert_eq!(with(own), None, "{own:?}");
        }
        for foreign in
            ["http://evil.example", "null", "", "http://127.0.0.1:9081", "http://127.0.0.1", "127.0.0.1:9080"]
        {
            assert_eq!(with(("origin", foreign)), Some((403, "origin".into())), "{foreign}");
        }
        for site in ["cross-site", "same-site", ""] {
            assert_eq!(with(("sec-fetch-site", site)), Some((403, "sec-fetch-site".into())), "{site}");
        }
        for form in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data",
            "",
            "text/plain; application/json",
        ] {
            assert_eq!(with(("content-type", form)).map(|(status, _)| status), Some(415), "{form}");
        }
    }
}
