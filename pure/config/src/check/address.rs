//! URLs of endpoints and addresses to listen on.

use std::net::SocketAddr;

/// What was found and what would be right.
pub(super) type Fault = (String, String);

/// Reads the base URL of an endpoint; two URLs of one server give equal texts.
pub(super) fn base_url(url: &str, quoted: &str) -> Result<String, Fault> {
    let fault = |what: &str, right: &str| Err((what.to_owned(), right.to_owned()));
    let Some((scheme, rest)) = url.split_once("://") else {
        let near = if url.is_empty() || url.contains(['@', '?']) || quoted.starts_with("`${") {
            "`http://HOST:PORT` or `https://HOST`".to_owned()
        } else {
            format!("`http://{0}` or `https://{0}`", quoted.trim_matches('`'))
        };
        return Err(("a URL without a scheme".to_owned(), near));
    };
    let scheme = scheme.to_ascii_lowercase();
    let default_port = match scheme.as_str() {
        "http" => 80,
        "https" => 443,
        _ => return fault("a URL of a scheme that rhumb does not speak", "`http://` or `https://`"),
    };
    if url.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\') || !url.is_ascii() {
        return fault("a character that no URL holds", "letters without accents, digits and `-._~/:%`");
    }
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if authority.contains('@') {
        return fault("a user name or password in a URL", "the URL without it, and the secret in `api_key`");
    }
    if path.contains('#') {
        return fault("a fragment (`#`) in a base URL", "the part before it");
    }
    let Some((host, port)) = host_and_port(authority, default_port) else {
        return fault("a URL without a valid host and port", "`http://HOST:PORT`, the port from 1 to 65535");
    };
    let (path, query) = path.split_at(path.find('?').unwrap_or(path.len()));
    let mut path = path.trim_end_matches('/');
    // Whether they are written or added, they lead to the same server.
    for end in ["/chat/completions", "/completions", "/embeddings", "/v1"] {
        path = path.strip_suffix(end).unwrap_or(path);
    }
    Ok(format!("{scheme}://{host}:{port}{path}{query}"))
}

fn host_and_port(authority: &str, default_port: u16) -> Option<(String, u16)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            (address, port)
        }
        None => {
            let (host, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
            let clean = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
            if host.is_empty() || !clean {
                return None;
            }
            (host, port)
        }
    };
    let port = match port.strip_prefix(':') {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().ok().filter(|port| *port > 0)?
        }
        None if port.is_empty() => default_port,
        _ => return None,
    };
    Some((host.to_ascii_lowercase(), port))
}

/// The text is a host alone: a name or an address.
pub(super) fn is_host(text: &str) -> bool {
    let bare = text.parse::<std::net::Ipv6Addr>().is_ok();
    bare || (!text.contains(':') || text.starts_with('['))
        && host_and_port(text, 80).is_some_and(|(_, port)| port == 80)
}

/// The text is an origin as browsers write it, or stands for any.
pub(super) fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else { return text == "*" };
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    !scheme.is_empty() && scheme.chars().all(named) && host_and_port(host, 80).is_some()
}

/// Reads an address to listen on.
pub(super) fn listen(address: &str, quoted: &str) -> Result<SocketAddr, Fault> {
    if let Ok(address) = address.parse() {
        return Ok(address);
    }
    let port = address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    let right = match port {
        Some(("localhost", port)) => format!("`127.0.0.1:{port}`"),
        Some(("" | "*", port)) => {
            format!("`0.0.0.0:{port}` for every interface, `127.0.0.1:{port}` for this machine alone")
        }
        _ => match address.parse::<u16>() {
            Ok(port) => format!("`127.0.0.1:{port}` for this machine alone, `0.0.0.0:{port}` for every interface"),
            Err(_) => "`IP:PORT`, as `127.0.0.1:8080` or `[::]:8080`; names are not looked up".to_owned(),
        },
    };
    Err((format!("{quoted} is no address to listen on"), right))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for (url, expected) in [
            ("http://h", "http://h:80"),
            ("HTTPS://H.example/", "https://h.example:443"),
            ("http://h:8000/a/b/", "http://h:8000/a/b"),
            ("http://[::1]:9", "http://::1:9"),
            ("http://h/v1/", "http://h:80"),
            ("http://h/v1/chat/completions", "http://h:80"),
            ("https://h/api/paas/v4", "https://h:443/api/paas/v4"),
            ("https://h/openai/deployments/d?api-version=1", "https://h:443/openai/deployments/d?api-version=1"),
            ("http://h?x", "http://h:80?x"),
        ] {
            assert_eq!(base_url(url, "").as_deref(), Ok(expected), "{url}");
        }
        for url in [
            "",
            "h:80",
            "ftp://h",
            "http://",
            "http://u@h",
            "http://u:p@h",
            "http://h/#x",
            "http://h:0",
            "http://h:65536",
            "http://h:x",
            "http://h:+1",
            "http://a b",
            "http://[::1",
            "http://[x]",
            "http://[::1]9",
            "http://é",
            "http://h\\x",
            "http://h:",
        ] {
            assert!(base_url(url, "").is_err(), "{url}");
        }
    }

    #[test]
    fn hosts_and_origins() {
        for host in ["gateway", "gateway.internal", "10.0.0.1", "::1", "[::1]"] {
            assert!(is_host(host), "{host}");
        }
        for host in ["", "http://gateway", "gateway:80", "a/b", "a b", "[::1]:9"] {
            assert!(!is_host(host), "{host}");
        }
        for origin in ["*", "https://a.example", "http://localhost:3000", "https://[::1]:9", "app://host"] {
            assert!(is_origin(origin), "{origin}");
        }
        for origin in ["", "a.example", "https://", "https://a.example/", "https://a/b", "null", "https://*.a"] {
            assert!(!is_origin(origin), "{origin}");
        }
    }

    #[test]
    fn addresses() {
        assert!(listen("[::]:80", "").is_ok());
        for (address, right) in [
            ("localhost:80", "`127.0.0.1:80`"),
            (":80", "`0.0.0.0:80` for every"),
            ("80", "`127.0.0.1:80` for this"),
            ("example.org:80", "`IP:PORT`"),
            ("1.2.3.4", "`IP:PORT`"),
        ] {
            assert!(listen(address, "").expect_err("refused").1.starts_with(right), "{address}");
        }
    }
}
