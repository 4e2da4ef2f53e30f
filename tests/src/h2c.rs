//! An HTTP/2 client with prior knowledge, driven by calls that block.

use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use tokio::runtime::Runtime;

use crate::wait;

/// A connection.
pub struct H2 {
    runtime: Runtime,
    client: SendRequest<Bytes>,
    twin: TcpStream,
}

/// One request on it.
pub struct Call {
    upload: SendStream<Bytes>,
    response: Option<ResponseFuture>,
    body: Option<RecvStream>,
    /// Status, once the head has been read.
    pub status: u16,
    /// Headers, once the head has been read.
    pub headers: http::HeaderMap,
    /// Content read so far.
    pub read: Vec<u8>,
}

impl H2 {
    /// Connects.
    pub fn connect(address: SocketAddr) -> Self {
        Self::connect_with(address, 65_535)
    }

    /// Connects, with so much room for what is not read of a stream.
    pub fn connect_with(address: SocketAddr, window: u32) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        let twin = socket.try_clone().unwrap();
        socket.set_nonblocking(true).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let client = runtime.block_on(async {
            let socket = tokio::net::TcpStream::from_std(socket).unwrap();
            let (client, connection) =
                h2::client::Builder::new().initial_window_size(window).handshake(socket).await.unwrap();
            tokio::spawn(connection);
            client
        });
        Self { runtime, client, twin }
    }

    /// Sends a request.
    pub fn post(&mut self, path: &str, body: &[u8]) -> Call {
        self.ask(http::Request::post(format!("http://grid{path}")), body)
    }

    /// Sends a request with a key.
    pub fn post_as(&mut self, path: &str, key: &str, body: &[u8]) -> Call {
        let request = http::Request::post(format!("http://grid{path}"));
        self.ask(request.header("authorization", format!("Bearer {key}")), body)
    }

    fn ask(&mut self, request: http::request::Builder, body: &[u8]) -> Call {
        let request = request.header("content-type", "application/json");
        let (response, mut upload) = self.client.send_request(request.body(()).unwrap(), false).unwrap();
        upload.send_data(Bytes::copy_from_slice(body), true).unwrap();
        Call { upload, response: Some(response), body: None, status: 0, headers: http::HeaderMap::new(), read: vec![] }
    }

    /// Reads the head, if it has not been.
    pub fn head(&self, call: &mut Call) {
        let Some(response) = call.response.take() else { return };
        let (head, body) = self.wait(response).unwrap().into_parts();
        (call.status, call.headers, call.body) = (head.status.as_u16(), head.headers, Some(body));
    }

    /// Reads until the text has come; false: the stream ended before it. An error of the stream is given back.
    ///
    /// # Errors
    /// The stream was reset.
    pub fn read_until(&self, call: &mut Call, text: &str) -> Result<bool, h2::Error> {
        self.head(call);
        let body = call.body.as_mut().unwrap();
        loop {
            if !text.is_empty() && call.read.windows(text.len()).any(|w| w == text.as_bytes()) {
                return Ok(true);
            }
            let Some(data) = self.wait(body.data()) else { return Ok(false) };
            let data = data?;
            body.flow_control().release_capacity(data.len()).unwrap();
            call.read.extend_from_slice(&data);
        }
    }

    /// Reads a piece and forgets it; false at the end.
    pub fn sip(&self, call: &mut Call) -> bool {
        self.head(call);
        let body = call.body.as_mut().unwrap();
        let Some(Ok(data)) = self.wait(body.data()) else { return false };
        body.flow_control().release_capacity(data.len()).unwrap();
        true
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(async { tokio::time::timeout(wait::LONGEST, future).await.expect("an answer in time") })
    }

    /// Cancels a request with `RST_STREAM`; the connection stands.
    pub fn cancel(&self, mut call: Call) {
        call.upload.send_reset(Reason::CANCEL);
    }

    /// Closes the connection, with FIN.
    pub fn close(self) {
        self.twin.shutdown(Shutdown::Both).unwrap();
    }

    /// Closes the connection, with RST.
    pub fn reset(self) {
        socket2::SockRef::from(&self.twin).set_linger(Some(Duration::ZERO)).unwrap();
        self.runtime.shutdown_timeout(wait::LONGEST);
    }

    /// Sends nothing more, and still listens.
    pub fn half_close(&self) {
        self.twin.shutdown(Shutdown::Write).unwrap();
    }
}
