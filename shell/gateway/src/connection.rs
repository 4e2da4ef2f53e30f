//! One client's connection, from its first byte to its last. Every stage of it has a deadline.

use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, Version, header};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rhumb_flow::overload::Level;
use rhumb_grid::config::Dialect;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::answer::failed;
use crate::body::Counted;
use crate::load_shedding::LoadShed;
use crate::lock::lock;
use crate::reload::Gateway;
use crate::resource_limits::{BRIEF, Seat};
use crate::responses_socket::SocketResponder;
use crate::state::GatewayState;
use crate::upgrade::Opened;
use crate::{admin, routes};
use rhumb_server::breaking::STAYS;
use rhumb_server::h2_stall::Streams;
use rhumb_server::socket::{Socket, Standing};
use rhumb_server::tls::{Certificate, Wire};
use rhumb_websocket::{Limits, Side};

/// Which of the two listeners a connection came to.
#[derive(Clone, Copy)]
pub(crate) enum Role {
    Data,
    Admin,
}

impl Role {
    /// Longest time that a client may take to send a head, and that a connection may stay without a request.
    fn patience(self) -> Duration {
        match self {
            Self::Data => Duration::from_secs(75),
            // The few places of the admin API are wanted by others.
            Self::Admin => Duration::from_secs(10),
        }
    }
}

/// Longest time until the first request of a connection that speaks HTTP/2. Clients open one because they have a request.
const FIRST_STREAM: Duration = Duration::from_secs(20);

/// Most of an answer that waits here for its client. With it stand at most one read of as much and the beginning of an
/// event; what comes behind is not read from the endpoint. Heads of HTTP/1.1 have the same limit, as those of HTTP/2 do.
const UNREAD_BYTES_MAX: usize = 64 << 10;

/// Longest time to send what is left of an answer when the connection is to end.
const FLUSH: Duration = Duration::from_secs(1);

/// Longest time the first four bytes of a connection may take once one has come.
const PREFACE_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves a connection until it ends, has nothing to say for too long, or is unwanted. What is rare and large on the way is
/// boxed: a connection that holds a stream open has no room for it. `_stands` is dropped with the connection.
pub(crate) async fn serve(
    stream: TcpStream,
    tls: Option<Arc<Certificate>>,
    seat: Seat,
    gateway: Arc<Gateway>,
    role: Role,
    (stopped, _stands): (watch::Receiver<bool>, watch::Receiver<()>),
) {
    // An event must not wait for the client to acknowledge the one before.
    let _ = stream.set_nodelay(true);
    let patience = if seat.is_lent { BRIEF } else { role.patience() };
    // Every request on the connection holds a clone until its answer has been sent; one is held here, one by the service.
    let busy = Arc::new(Standing::default());
    let is_lent = seat.is_lent;
    let leave = leave(role, Arc::clone(&gateway.now().state), Arc::downgrade(&busy), stopped);
    tokio::pin!(leave);
    let stall = Duration::from_millis(gateway.now().grid.config.gateway.client_stall_ms);
    // Others wait for a lent place.
    let stall = if is_lent { stall.min(BRIEF) } else { stall };
    let opened = tokio::select! {
        opened = open(stream, tls.as_deref(), patience, |s| Socket::new(s, stall, Arc::downgrade(&busy))) => opened,
        // Nothing has been asked for yet.
        () = &mut leave => return,
    };
    let Some((wire, h2)) = opened else { return };
    let io = TokioIo::new(wire);
    let opened = Arc::default();
    let service =
        Arc::new(Service { gateway: Arc::clone(&gateway), role, is_lent, h2, stall, opened: Arc::clone(&opened) });
    let requests = Arc::clone(&busy);
    let service = service_fn(move |request| {
        let (service, busy) = (Arc::clone(&service), Arc::clone(&requests));
        busy.begins(request_is_old(&request));
        async move { Ok::<_, std::convert::Infallible>(service.answer(request, busy).await) }
    });
    if h2 {
        let mut builder = http2::Builder::new(Streams { patience: stall });
        builder.timer(TokioTimer::new()).max_concurrent_streams(1_024).max_header_list_size(64 << 10);
        builder.max_send_buf_size(UNREAD_BYTES_MAX);
        // Boxed, so that the many connections that speak HTTP/1.1 have no room for it.
        let mut conn = Box::pin(builder.serve_connection(io, service));
        tokio::select! {
            _ = conn.as_mut() => return,
            () = &mut leave => {}
            () = h2_is_over(&busy, role, is_lent) => {}
        }
        conn.as_mut().graceful_shutdown();
        last(conn.as_mut(), &busy).await;
    } else {
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(patience).max_headers(100);
        builder.max_buf_size(UNREAD_BYTES_MAX);
        let conn = Box::new(builder.serve_connection(io, service));
        let rest = http1_connection(conn, leave.as_mut(), &busy, stall).await;
        let opened = lock(&opened).take();
        if let (Some(rest), Some(opened)) = (rest, opened) {
            Box::pin(go_on(opened, gateway, rest, leave)).await;
        }
    }
}

/// Goes on with a WebSocket on a connection of which some bytes were read ahead.
async fn go_on(opened: Opened, gateway: Arc<Gateway>, (wire, ahead): (Wire, Bytes), leave: impl Future<Output = ()>) {
    let epoch = gateway.now();
    let (state, mut account) = (Arc::clone(&epoch.state), None);
    let room = Box::new(move |bytes| {
        if bytes == 0 {
            account = None;
        }
        state.limits.hold(&mut account, bytes)
    });
    let most = usize::try_from(epoch.grid.config.gateway.max_body_bytes).unwrap_or(usize::MAX);
    let limits = Limits { message_bytes_max: most, room };
    drop(epoch);
    match opened {
        Opened::Responses(headers) => {
            rhumb_websocket::serve(wire, ahead, limits, SocketResponder::new(gateway, headers), leave).await;
        }
        Opened::Session(session) => {
            let session = lock(&session).take();
            if let Some(session) = session {
                session.relay(Side { stream: wire, ahead }, limits, leave).await;
            }
        }
    }
}

/// Ends when a connection is to end: the gateway stops, or the connection is unwanted and no request is in progress on it.
async fn leave(role: Role, state: Arc<GatewayState>, standing: Weak<Standing>, mut stopped: watch::Receiver<bool>) {
    let unwanted = async {
        match role {
            Role::Data => state.limits.unwanted(|| standing.strong_count() <= 2).await,
            // Whoever asks how the gateway is may stay.
            Role::Admin => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = stopped.wait_for(|s| *s) => {}
        () = unwanted => {}
    }
}

/// HTTP/1.0 has no framing that could show where an answer ends.
fn request_is_old(request: &Request<Incoming>) -> bool {
    request.version() == Version::HTTP_10
}

/// How the requests of a connection are answered.
struct Service {
    gateway: Arc<Gateway>,
    role: Role,
    is_lent: bool,
    h2: bool,
    stall: Duration,
    /// The last answer opened a WebSocket.
    opened: Arc<Mutex<Option<Opened>>>,
}

impl Service {
    async fn answer(&self, request: Request<Incoming>, busy: Arc<Standing>) -> Response<Counted> {
        let Self { gateway, role, is_lent, h2, stall, opened } = self;
        let answer = match role {
            Role::Data if *is_lent => routes::handle_lent(&gateway.now(), &request),
            // What is in force now is what it is served under to its end.
            Role::Data => routes::handle(gateway.now(), request).await,
            // A body could take its time.
            Role::Admin if *is_lent && request.method() == Method::POST => {
                failed(Dialect::Chat, &gateway.now().state.limits.turn_away(LoadShed::All), 0)
            }
            Role::Admin => admin::handle(Arc::clone(gateway), request).await,
        };
        if let Some(socket) = answer.extensions().get::<Opened>() {
            *lock(opened) = Some(socket.clone());
            return answer.map(|answer| Counted::new(answer, busy, None));
        }
        let mut answer = answer.map(|answer| Counted::new(answer, busy, h2.then_some(*stall)));
        // HTTP/2 knows no such header.
        if !h2 && (*is_lent || gateway.now().state.limits.level() > Level::Calm) {
            answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }
}

/// Serves a connection to its end. What is left of it, with what was read ahead, if it is to go on in another protocol.
async fn http1_connection<S>(
    mut conn: Box<http1::Connection<TokioIo<Wire>, S>>,
    leave: impl Future<Output = ()>,
    busy: &Arc<Standing>,
    stall: Duration,
) -> Option<(Wire, Bytes)>
where
    S: HttpService<Incoming, ResBody = Counted> + Unpin,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let is_over = tokio::select! {
        ended = &mut conn => ended.is_ok(),
        () = leave => {
            Pin::new(&mut *conn).graceful_shutdown();
            last(Pin::new(&mut *conn), busy).await;
            false
        }
    };
    let goes_on = is_over && !busy.has_broken_off();
    if !goes_on && !busy.has_broken_off() {
        return None;
    }
    let http1::Parts { io, read_buf, .. } = conn.into_parts();
    let wire = io.into_inner();
    if !goes_on {
        Box::pin(wire.break_off(busy.is_old(), stall, STAYS.min(stall))).await;
        return None;
    }
    Some((wire, read_buf))
}

/// Ends when a connection that speaks HTTP/2 is to end: it has had no request in progress for too long, whatever else
/// came on it, or its place is lent and was so for as long as a lent one may be.
async fn h2_is_over(busy: &Arc<Standing>, role: Role, is_lent: bool) {
    if is_lent {
        return tokio::time::sleep(BRIEF).await;
    }
    // It is looked at a few times in that time, since most connections have no use for an exact moment.
    const LOOKS: u32 = 4;
    let (mut quiet, mut begun) = (0, 0);
    while quiet < LOOKS {
        let patience = if begun == 0 { FIRST_STREAM.min(role.patience()) } else { role.patience() };
        tokio::time::sleep(patience / LOOKS).await;
        let now = busy.begun();
        let is_quiet = now == begun && Arc::strong_count(busy) <= 2;
        quiet = if is_quiet { quiet + 1 } else { 0 };
        begun = now;
    }
}

/// Lets a connection end after its last request. One without a request, say with half a head, or whose client does not
/// answer to its being closed, is not waited for beyond what sending the end of an answer takes.
async fn last(mut conn: Pin<&mut impl Future>, busy: &Arc<Standing>) {
    loop {
        let was_busy = Arc::strong_count(busy) > 2;
        if tokio::time::timeout(FLUSH, conn.as_mut()).await.is_ok() || !was_busy {
            return;
        }
    }
}

/// What a client is spoken to over, and whether it speaks HTTP/2; nothing where there is no agreement.
async fn open(
    stream: TcpStream,
    tls: Option<&Certificate>,
    patience: Duration,
    socket: impl FnOnce(TcpStream) -> Socket,
) -> Option<(Wire, bool)> {
    let Some(certificate) = tls else {
        let h2 = is_h2(&stream, patience).await;
        return Some((Wire::Plain(socket(stream)), h2));
    };
    let (stream, h2) = Box::pin(certificate.accept(socket(stream))).await?;
    Some((Wire::Tls(Box::new(stream)), h2))
}

/// The client speaks HTTP/2 with prior knowledge: its first bytes are the preface (RFC 9113, section 3.4).
async fn is_h2(stream: &TcpStream, patience: Duration) -> bool {
    let mut first = [0; 4];
    if !matches!(tokio::time::timeout(patience, stream.peek(&mut first)).await, Ok(Ok(1..))) {
        return false;
    }
    let preface = async {
        loop {
            match stream.peek(&mut first).await {
                Ok(n @ 1..4) if b"PRI "[..n] == first[..n] => {
                    let ready = stream.ready(Interest::READABLE).await;
                    if ready.is_err() || ready.is_ok_and(|r| r.is_read_closed()) {
                        return false;
                    }
                    // The rest of the preface follows at once; until it does, nothing tells the two apart.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                Ok(4..) => return &first == b"PRI ",
                _ => return false,
            }
        }
    };
    // Bytes that do not go on are HTTP/1's to complain about: it sees the end of the stream behind them.
    tokio::time::timeout(PREFACE_TIMEOUT, preface).await.unwrap_or(false)
}
