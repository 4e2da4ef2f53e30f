//! Whom an endpoint's certificate has to be from, and what is shown to it.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};

/// What an endpoint states of its TLS. Where it states nothing, its certificate has to be from one of the machine's roots
/// and for the host of its URL.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// File of the authorities that its certificate has to be from, instead of the machine's roots.
    pub ca_file: Option<String>,
    /// Files of the certificate that is shown to it, and of its key.
    pub client: Option<(String, String)>,
    /// The name that its certificate has to be for, instead of the host of its URL.
    pub server_name: Option<String>,
}

/// What is wanted for TLS and cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// A file.
    #[error("`{file}` cannot be used: {why}")]
    File {
        /// Its path.
        file: String,
        /// Why.
        why: String,
    },
    /// A name.
    #[error("`{0}` is not a name that a certificate can be for")]
    Name(String),
}

impl TlsError {
    fn file(file: &str, why: impl ToString) -> Self {
        Self::File { file: file.to_owned(), why: why.to_string() }
    }
}

impl Tls {
    /// A configuration of its own, if it needs one.
    pub(crate) fn client_config(&self) -> Result<Option<Arc<ClientConfig>>, TlsError> {
        if self.ca_file.is_none() && self.client.is_none() {
            return Ok(None);
        }
        let roots = match &self.ca_file {
            Some(file) => authorities(file)?,
            None => native_roots(),
        };
        let builder = builder().with_root_certificates(roots);
        let config = match &self.client {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let (chain, secret) = (certificates(certificate)?, private_key(key)?);
                builder.with_client_auth_cert(chain, secret).map_err(|e| TlsError::file(key, e))?
            }
        };
        Ok(Some(Arc::new(config)))
    }

    pub(crate) fn server_name(&self) -> Result<Option<ServerName<'static>>, TlsError> {
        let name = |name: &String| ServerName::try_from(name.clone()).map_err(|_| TlsError::Name(name.clone()));
        self.server_name.as_ref().map(name).transpose()
    }
}

/// One configuration for all that state nothing.
pub(crate) fn machine_roots() -> Arc<ClientConfig> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let make = || Arc::new(builder().with_root_certificates(native_roots()).with_no_client_auth());
    Arc::clone(CONFIG.get_or_init(make))
}

fn builder() -> ConfigBuilder<ClientConfig, WantsVerifier> {
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring supports the default protocol versions")
}

fn native_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn authorities(file: &str) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|e| TlsError::file(file, e))?;
    }
    Ok(roots)
}

/// The certificates of a PEM file, at least one.
///
/// # Errors
/// It cannot be read, or holds none.
pub fn certificates(file: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let fail = |e: rustls::pki_types::pem::Error| TlsError::file(file, e);
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(Path::new(file)).map_err(fail)?.collect();
    let found = found.map_err(fail)?;
    if found.is_empty() {
        return Err(TlsError::file(file, "it holds no certificate in PEM (`-----BEGIN CERTIFICATE-----`)"));
    }
    Ok(found)
}

/// The private key of a PEM file.
///
/// # Errors
/// It cannot be read, or holds none.
pub fn private_key(file: &str) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(Path::new(file)).map_err(|e| TlsError::file(file, e))
}
