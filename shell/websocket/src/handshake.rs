//! The opening handshake of a WebSocket (RFC 6455, section 4.2).

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Version, header};
use rhumb_api::ApiError;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// The version that is spoken; there has been no other since 2011.
const VERSION: &[u8] = b"13";

/// Bytes of a key: 16, in base64.
const KEY_BYTES: usize = 24;

/// A request asks for a WebSocket.
pub fn is_asked(headers: &HeaderMap) -> bool {
    headers.get(header::UPGRADE).is_some_and(|upgrade| upgrade.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// The headers of the answer that opens it.
///
/// # Errors
/// The handshake is not one.
pub fn accept<B>(request: &Request<B>) -> Result<[(HeaderName, HeaderValue); 3], ApiError> {
    let headers = request.headers();
    let wrong = |name: &str, what: &str| Err(ApiError::invalid(format!("`{name}` {what}.")).with_param(name));
    if request.version() != Version::HTTP_11 {
        return Err(ApiError::no_websocket());
    }
    if request.method() != Method::GET {
        return Err(ApiError::method_not_allowed("GET"));
    }
    let upgrades = |value: &HeaderValue| {
        value.as_bytes().split(|b| *b == b',').any(|word| word.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
    };
    if !headers.get_all(header::CONNECTION).iter().any(upgrades) {
        return wrong("connection", "must hold `upgrade` where a WebSocket is asked for");
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version.as_bytes() != VERSION) {
        return wrong("sec-websocket-version", "must be 13");
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).map(|key| key.as_bytes().trim_ascii());
    let Some(key) = key.filter(|key| key.len() == KEY_BYTES) else {
        return wrong("sec-websocket-key", "must be 16 bytes in base64");
    };
    let Ok(accept) = HeaderValue::try_from(derive_accept_key(key)) else {
        return wrong("sec-websocket-key", "must be 16 bytes in base64");
    };
    Ok([
        (header::CONNECTION, HeaderValue::from_static("upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
    ])
}

/// Header lines of a request that asks an engine for a WebSocket.
pub fn asking() -> String {
    let key = generate_key();
    format!("connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: {key}\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(change: impl FnOnce(&mut Request<()>)) -> Result<String, String> {
        let mut request = Request::get("/v1/responses")
            .header("connection", "keep-alive, Upgrade")
            .header("upgrade", "WebSocket")
            .header("sec-websocket-version", "13")
            // The example of the RFC, section 1.3.
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .body(())
            .unwrap();
        change(&mut request);
        let accepted = accept(&request).map_err(|error| error.message)?;
        Ok(accepted[2].1.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_handshake_is_answered_by_the_rfc_or_refused_by_name() {
        assert_eq!(asked(|_| ()).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let without = |name: &'static str| asked(|r| drop(r.headers_mut().remove(name))).unwrap_err();
        for name in ["connection", "sec-websocket-version", "sec-websocket-key"] {
            assert!(without(name).contains(name));
        }
        assert!(asked(|r| *r.method_mut() = Method::POST).is_err());
        assert!(asked(|r| *r.version_mut() = Version::HTTP_10).is_err());
        assert!(
            asked(|r| drop(r.headers_mut().insert("sec-websocket-key", HeaderValue::from_static("short")))).is_err()
        );
    }
}
