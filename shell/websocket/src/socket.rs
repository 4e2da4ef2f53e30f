//! A socket from its handshake to its end.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use rhumb_api::ApiError;
use rhumb_process::clock;
use rhumb_responses::socket::{error, limit, read};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::Responder;
use crate::lanes::Lanes;
use crate::metered::{Metered, Room};

/// What a socket may come to.
pub struct Limits {
    /// Longest message of a client, and most of those that wait together.
    pub message_bytes_max: usize,
    /// What of them counts as held.
    pub room: Room,
}

/// Longest life of a socket: that of OpenAI's.
pub(crate) const LIFETIME: Duration = Duration::from_secs(60 * 60);

/// Between two looks at whether the client is still there.
pub(crate) const PING_EVERY: Duration = Duration::from_secs(30);

/// Events that may wait for a client while more are made.
const UNSENT_MAX: usize = 16;

/// Longest wait for a client to answer the end.
pub(crate) const FAREWELL: Duration = Duration::from_secs(1);

/// Serves a socket, of which some bytes were read `ahead`, until its client or the gateway ends it. When the gateway is to `leave`,
/// what is being made is made to its end.
pub async fn serve<S, R>(stream: S, ahead: Bytes, limits: Limits, responder: R, leave: impl Future<Output = ()>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    R: Responder,
{
    let most = limits.message_bytes_max;
    let stream = Metered::new(stream, limits.room);
    let mut socket =
        WebSocketStream::from_partially_read(stream, ahead.to_vec(), Role::Server, Some(config(most))).await;
    let Some(farewell) = until_end(&mut socket, responder, most, leave).await else { return };
    let end = async {
        let _ = socket.close(Some(farewell)).await;
        while let Some(Ok(_)) = socket.next().await {}
    };
    // A client that does not answer is not waited for.
    let _ = tokio::time::timeout(FAREWELL, end).await;
}

/// Bytes that are read at once: every socket has room for them.
const READ_BYTES: usize = 8 << 10;

/// Messages and frames are so long at most.
pub(crate) fn config(most: usize) -> WebSocketConfig {
    WebSocketConfig::default().read_buffer_size(READ_BYTES).max_message_size(Some(most)).max_frame_size(Some(most))
}

/// Serves it until it is to be closed with this word; `None` where nobody is there to hear it.
async fn until_end<S, R>(
    socket: &mut WebSocketStream<Metered<S>>,
    responder: R,
    waiting_max: usize,
    leave: impl Future<Output = ()>,
) -> Option<CloseFrame>
where
    S: AsyncRead + AsyncWrite + Unpin,
    R: Responder,
{
    let (out, mut unsent) = mpsc::channel(UNSENT_MAX);
    let mut lanes = Lanes::new(responder, out, waiting_max);
    let (mut leave, mut lifetime) = (pin!(leave), pin!(tokio::time::sleep(LIFETIME)));
    let mut ping = tokio::time::interval_at(clock::timer_now() + PING_EVERY, PING_EVERY);
    // One that comes late leaves the client its whole time to answer.
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Why it takes no more requests, once it does not; and whether its client was heard of since the last ping.
    let (mut ends, mut is_heard): (Option<&'static str>, _) = (None, true);
    loop {
        if let Some(why) = ends.filter(|_| lanes.is_idle() && unsent.is_empty()) {
            return Some(close(CloseCode::Away, why));
        }
        let said = tokio::select! {
            Some(event) = unsent.recv() => Some(Message::text(event)),
            message = socket.next() => {
                is_heard = true;
                match message? {
                    // It is answered with its own.
                    Ok(message) if message.is_close() => return Some(close(CloseCode::Normal, "")),
                    Ok(message) => {
                        let said = ends.is_none().then(|| take(&mut lanes, &message)).flatten();
                        if message.is_text() || message.is_binary() {
                            socket.get_mut().taken(lanes.waiting_bytes());
                        }
                        said.map(Message::text)
                    }
                    Err(why) => return fault(&why),
                }
            }
            () = lanes.rest() => None,
            () = &mut leave, if ends.is_none() => {
                ends = Some("the gateway stops, or needs the room");
                None
            }
            () = &mut lifetime, if ends.is_none() => {
                ends = Some("a socket lives for an hour");
                let error = ApiError::overloaded("This socket has lived for an hour: open another.", 0);
                Some(Message::text(limit(&error, None, "websocket_connection_limit_reached")))
            }
            _ = ping.tick() => {
                if !std::mem::replace(&mut is_heard, false) {
                    return None;
                }
                Some(Message::Ping(Bytes::new()))
            }
        };
        if let Some(said) = said {
            socket.send(said).await.ok()?;
        }
    }
}

/// Takes a message. What its client is told at once, if anything.
fn take<R: Responder>(lanes: &mut Lanes<R>, message: &Message) -> Option<String> {
    match message {
        Message::Text(text) => match read(text.as_bytes()) {
            Ok(create) => lanes.take(create).err(),
            Err(refused) => Some(error(&refused.error, refused.lane.as_deref())),
        },
        Message::Binary(_) => Some(error(
            &ApiError::invalid("A message must be text: a JSON object with `type`: `response.create`."),
            None,
        )),
        Message::Close(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => None,
    }
}

pub(crate) fn close(code: CloseCode, reason: &'static str) -> CloseFrame {
    CloseFrame { code, reason: reason.into() }
}

/// How a socket ends whose client breaks the protocol; `None` where nobody is there to hear it.
pub(crate) fn fault(why: &Error) -> Option<CloseFrame> {
    Some(match why {
        Error::Capacity(CapacityError::MessageTooLong { .. }) => {
            close(CloseCode::Size, "the message is over the limit")
        }
        Error::Capacity(_) => close(CloseCode::Policy, "over a limit"),
        Error::Io(why) if why.kind() == std::io::ErrorKind::OutOfMemory => {
            close(CloseCode::Again, "there is no room now")
        }
        Error::Utf8(_) => close(CloseCode::Invalid, "the text is not UTF-8"),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => return None,
        Error::Protocol(_) => close(CloseCode::Protocol, "this is no frame of a WebSocket client"),
        _ => return None,
    })
}
