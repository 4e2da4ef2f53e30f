//! Where an endpoint is reached.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;

use crate::dial::dial;
use crate::names::{Followed, Names};
use crate::tls::{self, Tls, TlsError};

/// The base URL of an endpoint, taken apart.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Name or address to connect to.
    pub host: String,
    /// Port to connect to.
    pub port: u16,
    /// Path of the server's root, without a slash at its end: health and metrics are below it.
    root_path: String,
    /// Path of the API's version, say `/v1`, without a slash at its end.
    api_path: String,
    /// What every request carries behind its path, with its question mark.
    query: String,
    /// The value of the `host` header.
    pub authority: String,
    followed: Option<Arc<Followed>>,
    pub(crate) tls: Option<(ServerName<'static>, Arc<rustls::ClientConfig>)>,
}

/// What makes a URL no endpoint's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// It is none of the kind that is wanted.
    #[error("`{url}` is not the URL of an endpoint: {why}")]
    Url {
        /// It.
        url: String,
        /// Why.
        why: &'static str,
    },
    /// What is wanted for TLS cannot be had.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl Origin {
    /// Takes `http://HOST[:PORT][/PATH][?QUERY]` or `https://…` apart.
    ///
    /// # Errors
    /// It is something else.
    pub fn parse(url: &str) -> Result<Self, OriginError> {
        let fail = |why| OriginError::Url { url: url.into(), why };
        let (secure, rest) = match url.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
            _ => return Err(fail("it must start with `http://` or `https://`")),
        };
        let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (path, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
        if authority.contains('@') || rest.contains('#') || rest.bytes().any(|b| !b.is_ascii_graphic()) {
            return Err(fail("it may hold no credentials, fragment or space"));
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
                Some((name, tls::machine_roots()))
            }
            false => None,
        };
        let (root_path, api_path) = paths(path);
        let query = if query.len() > 1 { query.to_owned() } else { String::new() };
        let (host, authority) = (host.into(), authority.into());
        Ok(Self { host, port, root_path, api_path, query, authority, followed: None, tls })
    }

    /// Checks certificates and shows its own as the settings say. Files are read now.
    ///
    /// # Errors
    /// A file cannot be used.
    pub fn with_tls(mut self, settings: &Tls) -> Result<Self, OriginError> {
        if let Some((name, config)) = &mut self.tls {
            if let Some(own) = settings.client_config()? {
                *config = own;
            }
            if let Some(other) = settings.server_name()? {
                *name = other;
            }
        }
        Ok(self)
    }

    /// The target of a request: `/v1/…` is below the path of the API, whatever its version is there; anything else below
    /// the server's root.
    pub(crate) fn target<'a>(&'a self, path: &'a str) -> [&'a str; 4] {
        // A path that has a query of its own is gone on with.
        let (mark, query) = match self.query.strip_prefix('?') {
            Some(query) if path.contains('?') => ("&", query),
            _ => ("", &*self.query),
        };
        match path.strip_prefix("/v1/") {
            Some(_) => [&self.api_path, &path["/v1".len()..], mark, query],
            None => [&self.root_path, path, mark, query],
        }
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

/// Ends of the paths under which the APIs are, where a URL names one of them.
const API_ENDS: [&str; 3] = ["/chat/completions", "/completions", "/embeddings"];

/// The path of the server's root and that of its API. `/v1` is added unless the path names a version, an API, or a
/// deployment, as hosted APIs have them.
fn paths(path: &str) -> (String, String) {
    let path = path.trim_end_matches('/');
    let named = API_ENDS.iter().find_map(|end| path.strip_suffix(end));
    let api = named.unwrap_or(path).trim_end_matches('/');
    let version = api.match_indices('/').map(|(at, _)| at).rfind(|at| is_version(&api[at + 1..]));
    let root = &api[..version.unwrap_or(api.len())];
    let as_written = named.is_some() || version.is_some() || api.split('/').any(|segment| segment == "deployments");
    (root.to_owned(), if as_written { api.to_owned() } else { format!("{api}/v1") })
}

/// A path begins with a version: `v1`, `v4`, `v1beta`, `v1.1`.
fn is_version(path: &str) -> bool {
    let segment = path.split('/').next().unwrap_or_default();
    segment.strip_prefix('v').is_some_and(|version| {
        version.starts_with(|c: char| c.is_ascii_digit())
            && version.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase() || b == b'.')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_urls_apart() {
        let of = |url| Origin::parse(url).map(|o| (o.host, o.port, o.root_path, o.authority, o.tls.is_some()));
        let is = |h: &str, p, b: &str, a: &str, t| Ok((h.to_owned(), p, b.to_owned(), a.to_owned(), t));
        assert_eq!(of("http://10.0.0.1:8000"), is("10.0.0.1", 8000, "", "10.0.0.1:8000", false));
        assert_eq!(of("http://h/"), is("h", 80, "", "h", false));
        assert_eq!(of("HTTPS://h/api/v1/"), is("h", 443, "/api", "h", true));
        assert_eq!(of("http://[::1]:9/x"), is("::1", 9, "/x", "[::1]:9", false));
        assert_eq!(of("http://[::1]"), is("::1", 80, "", "[::1]", false));
        assert_eq!(of("http://h?a=b/c"), is("h", 80, "", "h", false));
        for bad in
            ["h:80", "ftp://h", "http://", "http://u:p@h", "http://h/#q", "http://h/ x", "http://h:x", "http://h/\r\n"]
        {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn bases_of_hosted_apis_lead_to_their_paths() {
        for (base, chat, health) in [
            ("", "/v1/chat/completions", "/health"),
            ("/", "/v1/chat/completions", "/health"),
            ("/v1", "/v1/chat/completions", "/health"),
            ("/gpu-7", "/gpu-7/v1/chat/completions", "/gpu-7/health"),
            ("/gpu-7/v1/", "/gpu-7/v1/chat/completions", "/gpu-7/health"),
            ("/openai", "/openai/v1/chat/completions", "/openai/health"),
            ("/openai/v1", "/openai/v1/chat/completions", "/openai/health"),
            ("/v1beta/openai", "/v1beta/openai/chat/completions", "/health"),
            ("/v1beta2/openai/", "/v1beta2/openai/chat/completions", "/health"),
            ("/api/paas/v4", "/api/paas/v4/chat/completions", "/api/paas/health"),
            ("/v1.1", "/v1.1/chat/completions", "/health"),
            ("/vllm", "/vllm/v1/chat/completions", "/vllm/health"),
            ("/v", "/v/v1/chat/completions", "/v/health"),
            ("/v1/chat/completions", "/v1/chat/completions", "/health"),
            ("/chat/completions/", "/chat/completions", "/health"),
            ("/models/chat/completions?a=1", "/models/chat/completions?a=1", "/models/health?a=1"),
            ("/v1/embeddings", "/v1/chat/completions", "/health"),
            (
                "/openai/deployments/d?api-version=1",
                "/openai/deployments/d/chat/completions?api-version=1",
                "/openai/deployments/d/health?api-version=1",
            ),
            ("?k=v", "/v1/chat/completions?k=v", "/health?k=v"),
            ("/?", "/v1/chat/completions", "/health"),
        ] {
            let origin = Origin::parse(&format!("https://h{base}")).unwrap();
            let target = |path| origin.target(path).concat();
            assert_eq!((target("/v1/chat/completions").as_str(), target("/health").as_str()), (chat, health), "{base}");
        }
    }
}
