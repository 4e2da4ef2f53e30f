//! What is refused of a request's head, because two readers of it might understand two things.

use http::{HeaderMap, HeaderName, Request, Version, header, uri::Authority};
use rhumb_api::ApiError;

/// Headers of which a request has at most one; so has it of each that begins with `x-rhumb-`.
const ONCE: [HeaderName; 5] = [
    header::AUTHORIZATION,
    header::CONTENT_ENCODING,
    header::ORIGIN,
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-api-key"),
];

/// Refuses a head that is ambiguous.
///
/// # Errors
/// Which header is, and what it should be.
pub(crate) fn check<B>(request: &Request<B>) -> Result<(), ApiError> {
    let headers = request.headers();
    if count(headers, &header::TRANSFER_ENCODING) > 1
        || headers.get(header::TRANSFER_ENCODING).is_some_and(|c| !c.as_bytes().eq_ignore_ascii_case(b"chunked"))
    {
        return Err(refused("transfer-encoding", "must be `chunked` and nothing else"));
    }
    host(request)?;
    let once = |name: &&HeaderName| ONCE.contains(name) || name.as_str().starts_with("x-rhumb-");
    match headers.keys().filter(once).find(|name| count(headers, name) > 1) {
        Some(name) => Err(refused(name.as_str(), "is given more than once: give it once")),
        None => Ok(()),
    }
}

fn count(headers: &HeaderMap, name: &HeaderName) -> usize {
    headers.get_all(name).iter().count()
}

fn refused(name: &str, what: &str) -> ApiError {
    let shown: String = name.chars().take(60).collect();
    ApiError::invalid(format!("The header `{shown}` {what}.")).with_param(shown)
}

/// RFC 9112, section 3.2, and RFC 9113, section 8.3.1.
fn host<B>(request: &Request<B>) -> Result<(), ApiError> {
    let (headers, version) = (request.headers(), request.version());
    let target = request.uri().authority();
    let hosts = count(headers, &header::HOST);
    if hosts > 1 {
        return Err(refused("host", "is given more than once: give it once"));
    }
    let Some(host) = headers.get(header::HOST) else {
        // HTTP/1.0 knows none, and in HTTP/2 the target may name it.
        let may_lack = version < Version::HTTP_11 || (version == Version::HTTP_2 && target.is_some());
        return if may_lack { Ok(()) } else { Err(refused("host", "is missing: name the host and port asked")) };
    };
    let Some(host) = Authority::try_from(host.as_bytes()).ok().filter(|h| !h.as_str().contains('@')) else {
        return Err(refused("host", "must be `HOST` or `HOST:PORT`"));
    };
    if version == Version::HTTP_2 && target.is_some_and(|t| *t != host) {
        return Err(refused("host", "must be the same as `:authority`"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(version: Version, target: &str, lines: &[(&str, &str)]) -> Option<String> {
        let mut request = Request::builder().version(version).uri(target);
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        check(&request.body(()).unwrap()).err().map(|e| {
            assert_eq!(e.status(), 400);
            e.param.unwrap()
        })
    }

    #[test]
    fn hosts_are_one_and_the_same() {
        let (one, two, host) = (Version::HTTP_11, Version::HTTP_2, Some("host".to_owned()));
        assert_eq!(of(one, "/", &[("host", "a:1")]), None);
        assert_eq!(of(one, "/", &[("host", "[::1]:80")]), None);
        assert_eq!(of(Version::HTTP_10, "/", &[]), None);
        assert_eq!(of(two, "http://a/", &[]), None);
        assert_eq!(of(two, "http://A/", &[("host", "a")]), None);
        assert_eq!(of(one, "/", &[]), host);
        assert_eq!(of(two, "/", &[]), host);
        assert_eq!(of(two, "http://a/", &[("host", "b")]), host);
        for bad in ["", "a b", "u@a", "a/b", "a:b:c", "http://a"] {
            assert_eq!(of(one, "/", &[("host", bad)]), host, "{bad}");
        }
        assert_eq!(of(one, "/", &[("host", "a"), ("host", "a")]), host);
    }

    #[test]
    fn what_could_be_read_two_ways_is_refused() {
        let with = |lines: &[(&str, &str)]| of(Version::HTTP_11, "/", &[&[("host", "a")], lines].concat());
        for ok in [&[("transfer-encoding", "Chunked")][..], &[("accept", "a"), ("accept", "b")]] {
            assert_eq!(with(ok), None);
        }
        for coding in ["gzip, chunked", "gzip", "identity", "chunked, chunked", ""] {
            assert_eq!(with(&[("transfer-encoding", coding)]).as_deref(), Some("transfer-encoding"), "{coding}");
        }
        for name in ["authorization", "content-encoding", "x-api-key", "api-key", "x-rhumb-policy", "x-rhumb-any"] {
            assert_eq!(with(&[(name, "a"), (name, "a")]).as_deref(), Some(name));
        }
    }
}
