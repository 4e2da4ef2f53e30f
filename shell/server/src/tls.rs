//! TLS of the gateway's own listeners. A certificate that is renewed on disk is taken without a restart.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use rhumb_grid::config::ListenTls;
use rhumb_upstream::{TlsError, certificates, private_key};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::server::TlsStream;

use crate::socket::Socket;

/// Between two looks at the files.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Longest time that a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Most of an answer that waits encrypted for its client.
const UNSENT_BYTES_MAX: usize = 16 << 10;

/// The certificate of a listener.
pub struct Certificate {
    files: ListenTls,
    config: ArcSwap<ServerConfig>,
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// One of them cannot be used, or they do not fit together.
    pub fn open(files: &ListenTls) -> Result<Arc<Self>, TlsError> {
        let config = ArcSwap::new(Arc::new(server_config(files)?));
        Ok(Arc::new(Self { files: files.clone(), config }))
    }

    /// Takes what the files hold from now on, whenever it changes and is good.
    pub async fn watch(self: Arc<Self>) {
        let read = || [&self.files.cert_file, &self.files.key_file].map(|file| std::fs::read(file).ok());
        let (mut taken, mut seen) = (read(), None);
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let found = read();
            let is_news = found != taken;
            // Two files are not replaced at once: what two looks find is what was meant.
            if is_news && seen.as_ref() == Some(&found) {
                let file = &self.files.cert_file;
                match server_config(&self.files) {
                    Ok(config) => {
                        self.config.store(Arc::new(config));
                        tracing::info!("the certificate in `{file}` has changed and is in use");
                    }
                    Err(e) => tracing::error!("the certificate in `{file}` has changed, the one before stays: {e}"),
                }
                taken = found;
                seen = None;
            } else {
                seen = is_news.then_some(found);
            }
        }
    }

    /// Shakes hands with a client. Whether it speaks HTTP/2 is settled with it.
    pub async fn accept(&self, socket: Socket) -> Option<(TlsStream<Socket>, bool)> {
        let accepting = TlsAcceptor::from(self.config.load_full()).accept(socket);
        let mut stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, accepting).await.ok()?.ok()?;
        let session = stream.get_mut().1;
        session.set_buffer_limit(Some(UNSENT_BYTES_MAX));
        let h2 = session.alpn_protocol() == Some(H2);
        Some((stream, h2))
    }
}

const H2: &[u8] = b"h2";

fn server_config(files: &ListenTls) -> Result<ServerConfig, TlsError> {
    let fail = |e: tokio_rustls::rustls::Error| TlsError::File { file: files.cert_file.clone(), why: e.to_string() };
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(fail)?.with_no_client_auth();
    let (chain, key) = (certificates(&files.cert_file)?, private_key(&files.key_file)?);
    let mut config = builder.with_single_cert(chain, key).map_err(fail)?;
    config.alpn_protocols = vec![H2.to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// What a client is spoken to over.
pub enum Wire {
    /// Bytes as they are.
    Plain(Socket),
    /// Encrypted.
    Tls(Box<TlsStream<Socket>>),
}

impl Wire {
    /// As [`Socket::break_off`]. What is encrypted and not sent yet goes first; no farewell follows it, so that a client
    /// takes the end for what it is.
    pub async fn break_off(self, old: bool, stall: Duration, stays: Duration) {
        match self {
            Self::Plain(socket) => socket.break_off(old, stall, stays).await,
            Self::Tls(mut stream) => {
                let _ = tokio::time::timeout(stall, stream.flush()).await;
                stream.into_inner().0.break_off(old, stall, stays).await;
            }
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(socket) => socket.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}
