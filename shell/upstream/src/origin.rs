//! Where an endpoint is reached.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;

use crate::dial::dial;
use crate::names::{Followed, Names};

/// The base URL of an endpoint, taken apart.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Name or address to connect to.
    pub host: String,
    /// Port to connect to.
    pub port: u16,
    /// Path put before every request's own, without a slash at its end.
    pub base_path: String,
    /// The value of the `host` header.
    pub authority: String,
    followed: Option<Arc<Followed>>,
    pub(crate) tls: Option<(ServerName<'static>, Arc<rustls::ClientConfig>)>,
}

/// A URL that cannot be an endpoint's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{url}` is not the URL of an endpoint: {why}")]
pub struct OriginError {
    url: String,
    why: &'static str,
}

impl Origin {
    /// Takes `http://HOST[:PORT][/PATH]` or `https://…` apart.
    ///
    /// # Errors
    /// It is something else.
    pub fn parse(url: &str) -> Result<Self, OriginError> {
        let fail = |why| OriginError { url: url.into(), why };
        let (secure, rest) = match url.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            _ => return Err(fail("it must start with `http://` or `https://`")),
        };
        let (authority, path) = rest.find('/').map_or((rest, ""), |i| rest.split_at(i));
        if authority.contains('@') || path.contains(['?', '#', ' ']) {
            return Err(fail("it may hold no credentials, query or fragment"));
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().map_err(|_| fail("its port is not a number"))?)
            }
            _ => (authority, if secure { 443 } else { 80 }),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(fail("it names no host"));
        }
        let tls = match secure {
            true => {
                let name =
                    ServerName::try_from(host.to_owned()).map_err(|_| fail("its host cannot have a certificate"))?;
                Some((name, client_config()))
            }
            false => None,
        };
        let base_path = path.trim_end_matches('/').trim_end_matches("/v1").to_owned();
        Ok(Self { host: host.into(), port, base_path, authority: authority.into(), followed: None, tls })
    }

    /// Its name is looked up ahead of the requests, and not at each connection.
    #[must_use]
    pub fn named_by(mut self, names: &Names) -> Self {
        if self.host.parse::<IpAddr>().is_err() {
            self.followed = Some(names.follow(&self.host));
        }
        self
    }

    /// Connects to one of its addresses.
    pub(crate) async fn dial(&self) -> io::Result<TcpStream> {
        match &self.followed {
            None => TcpStream::connect((self.host.as_str(), self.port)).await,
            Some(followed) => {
                let addresses = followed.addresses().await.ok_or(io::ErrorKind::NotFound)?;
                dial(&addresses, self.port).await
            }
        }
    }
}

/// One configuration for all, with the machine's own roots.
fn client_config() -> Arc<rustls::ClientConfig> {
    static CONFIG: OnceLock<Arc<rustls::ClientConfig>> = OnceLock::new();
    let make = || {
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring supports the default protocol versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    };
    Arc::clone(CONFIG.get_or_init(make))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_urls_apart() {
        let of = |url| Origin::parse(url).map(|o| (o.host, o.port, o.base_path, o.authority, o.tls.is_some()));
        let is = |h: &str, p, b: &str, a: &str, t| Ok((h.to_owned(), p, b.to_owned(), a.to_owned(), t));
        assert_eq!(of("http://10.0.0.1:8000"), is("10.0.0.1", 8000, "", "10.0.0.1:8000", false));
        assert_eq!(of("http://h/"), is("h", 80, "", "h", false));
        assert_eq!(of("https://h/api/v1/"), is("h", 443, "/api", "h", true));
        assert_eq!(of("http://[::1]:9/x"), is("::1", 9, "/x", "[::1]:9", false));
        assert_eq!(of("http://[::1]"), is("::1", 80, "", "[::1]", false));
        for bad in ["h:80", "ftp://h", "http://", "http://u:p@h", "http://h/?q", "http://h:x"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }
}
