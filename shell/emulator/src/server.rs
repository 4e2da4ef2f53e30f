//! Sockets: accepting connections and speaking HTTP/1.1 on them.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use tokio::net::{TcpListener, TcpStream};

use crate::Shared;
use crate::fault::Fault;
use crate::io::Socket;
use crate::routes::{Arrival, answer};

/// Pause after a failed accept: the usual cause, too many open files, takes a moment to pass.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Accepts connections on one link until the emulator stops.
pub(crate) async fn listen(shared: Arc<Shared>, listener: TcpListener, link: usize, half_rtt: Duration) {
    let mut stop = shared.stop.subscribe();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) if shared.fault.get() == Fault::Refuse => {
                // Failing only means that the peer has closed first.
                let _ = stream.set_zero_linger();
            }
            Ok((stream, _)) => {
                #[expect(clippy::disallowed_methods, reason = "a connection ends with its client")]
                tokio::spawn(connection(Arc::clone(&shared), stream, link, half_rtt));
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn connection(shared: Arc<Shared>, stream: TcpStream, link: usize, half_rtt: Duration) {
    // Without it, tokens would wait for the peer's acknowledgements; a failure means that the peer is gone.
    let _ = stream.set_nodelay(true);
    let mut stop = shared.stop.subscribe();
    let reset_on_close = Arc::new(AtomicBool::new(false));
    let socket = Socket::new(stream, Arc::clone(&reset_on_close));
    let service = service_fn(move |request| {
        let arrival =
            Arrival { shared: Arc::clone(&shared), link, half_rtt, reset_on_close: Arc::clone(&reset_on_close) };
        answer(arrival, request)
    });
    tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => {}
        // A connection that ends in an error has nobody left to be told.
        _ = http1::Builder::new().serve_connection(socket, service) => {}
    }
}
