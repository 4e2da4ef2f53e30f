//! TLS in front of a mock, with certificates of an authority of the test's own.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

/// An authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// A new one.
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Writes what a client has to trust.
    pub fn write(&self, file: &Path) {
        std::fs::write(file, &self.pem).unwrap();
    }

    /// Writes a certificate for a name, and its key.
    pub fn issue(&self, name: &str, certificate_file: &Path, key_file: &Path) {
        let (certificate, key) = self.signed(name);
        std::fs::write(certificate_file, certificate.pem()).unwrap();
        std::fs::write(key_file, key.serialize_pem()).unwrap();
    }

    fn signed(&self, name: &str) -> (Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        (certificate, key)
    }

    /// A server with a certificate for a name; where it is `mutual`, clients have to show one of this authority.
    fn server(&self, name: &str, mutual: bool) -> ServerConfig {
        let (certificate, key) = self.signed(name);
        let chain = vec![CertificateDer::from(certificate.der().to_vec())];
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
        let builder = if mutual {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        builder.with_single_cert(chain, key).unwrap()
    }

    /// What a client needs that trusts this authority alone.
    pub fn client(&self, protocols: &[&str]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        config
    }
}

/// A server that shows a certificate and passes on what comes through.
pub struct Front {
    /// Where it listens.
    pub address: SocketAddr,
    refused: Arc<AtomicUsize>,
    _runtime: Runtime,
}

impl Front {
    /// Starts one with a certificate for a name, at an address of which port 0 is any.
    pub fn start(at: SocketAddr, authority: &Authority, name: &str, to: SocketAddr) -> Self {
        Self::serve(at, authority.server(name, false), to)
    }

    /// Starts one that wants a certificate of the same authority from its clients.
    pub fn start_mutual(at: SocketAddr, authority: &Authority, name: &str, to: SocketAddr) -> Self {
        Self::serve(at, authority.server(name, true), to)
    }

    fn serve(at: SocketAddr, config: ServerConfig, to: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind(at)).unwrap();
        let address = listener.local_addr().unwrap();
        let refused = Arc::new(AtomicUsize::new(0));
        let (acceptor, counter) = (TlsAcceptor::from(Arc::new(config)), Arc::clone(&refused));
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, counter) = (acceptor.clone(), Arc::clone(&counter));
                tokio::spawn(async move {
                    let Ok(mut outside) = acceptor.accept(stream).await else {
                        counter.fetch_add(1, Ordering::SeqCst);
                        return;
                    };
                    if let Ok(mut inside) = TcpStream::connect(to).await {
                        let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
                    }
                });
            }
        });
        Self { address, refused, _runtime: runtime }
    }

    /// Clients that did not want to go on with the certificate.
    pub fn refused(&self) -> usize {
        self.refused.load(Ordering::SeqCst)
    }
}

/// A connection after its handshake. None: there was no agreement.
fn shake(at: SocketAddr, client: Arc<ClientConfig>, name: &str) -> Option<(std::net::TcpStream, ClientConnection)> {
    let mut socket = std::net::TcpStream::connect(at).unwrap();
    socket.set_read_timeout(Some(crate::wait::LONGEST)).unwrap();
    let mut session = ClientConnection::new(client, ServerName::try_from(name.to_owned()).unwrap()).unwrap();
    while session.is_handshaking() {
        session.complete_io(&mut socket).ok()?;
    }
    Some((socket, session))
}

/// Sends bytes over TLS and reads nothing for as long as what it returns is kept.
pub fn ask_and_read_nothing(
    at: SocketAddr,
    client: Arc<ClientConfig>,
    name: &str,
    bytes: &[u8],
) -> Option<std::net::TcpStream> {
    let (mut socket, mut session) = shake(at, client, name)?;
    rustls::Stream::new(&mut session, &mut socket).write_all(bytes).unwrap();
    Some(socket)
}

/// Sends bytes over TLS and reads to the end; what came, and the protocol that was agreed on. None: no agreement.
pub fn talk(at: SocketAddr, client: Arc<ClientConfig>, name: &str, bytes: &[u8]) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    let (mut socket, mut session) = shake(at, client, name)?;
    let protocol = session.alpn_protocol().map(<[u8]>::to_vec);
    let mut stream = rustls::Stream::new(&mut session, &mut socket);
    stream.write_all(bytes).unwrap();
    let mut text = Vec::new();
    if protocol.as_deref() == Some(b"h2") {
        // It does not end by itself.
        text = vec![0; 9];
        stream.read_exact(&mut text).unwrap();
    } else {
        // Whether the other side says good-bye before it closes is not what is looked at.
        let _ = stream.read_to_end(&mut text);
    }
    Some((text, protocol))
}
