//! A session that goes on between a client and an engine: messages pass as they are, both ways.

use std::pin::pin;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use rhumb_process::clock;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::MissedTickBehavior;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::metered::Metered;
use crate::socket::{FAREWELL, LIFETIME, Limits, PING_EVERY, close, config, fault};

/// How a session has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionEnd {
    /// One of the two has closed it, or it has lasted as long as it may.
    Closed,
    /// The client is gone.
    ClientGone,
    /// The engine is gone, or breaks the protocol.
    Broken,
}

/// One side of a session: its connection, with what was read of it ahead.
pub struct Side<S> {
    /// The connection.
    pub stream: S,
    /// What was read ahead.
    pub ahead: Bytes,
}

/// What comes next of a session.
enum Next {
    Client(Came),
    Engine(Came),
    Ping,
    Ends(&'static str),
}

/// Passes messages on until one side ends it, or the gateway is to `leave`. What the engine says in text is `heard`.
pub async fn relay<C, E>(
    client: Side<C>,
    engine: Side<E>,
    limits: Limits,
    leave: impl Future<Output = ()>,
    mut heard: impl FnMut(&str),
) -> SessionEnd
where
    C: AsyncRead + AsyncWrite + Unpin,
    E: AsyncRead + AsyncWrite + Unpin,
{
    let (config, from_client) = (config(limits.message_bytes_max), Metered::new(client.stream, limits.room));
    let mut client =
        WebSocketStream::from_partially_read(from_client, client.ahead.to_vec(), Role::Server, Some(config)).await;
    let mut engine =
        WebSocketStream::from_partially_read(engine.stream, engine.ahead.to_vec(), Role::Client, Some(config)).await;
    let (mut leave, mut lifetime) = (pin!(leave), pin!(tokio::time::sleep(LIFETIME)));
    let mut ping = tokio::time::interval_at(clock::timer_now() + PING_EVERY, PING_EVERY);
    // One that comes late leaves the client its whole time to answer.
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_heard = true;
    let ends = loop {
        let next = tokio::select! {
            message = client.next() => Next::Client(message),
            message = engine.next() => Next::Engine(message),
            _ = ping.tick() => Next::Ping,
            () = &mut leave => Next::Ends("the gateway stops, or needs the room"),
            () = &mut lifetime => Next::Ends("a session lasts an hour"),
        };
        let ends = match next {
            Next::Client(message) => {
                is_heard = true;
                if matches!(&message, Some(Ok(message)) if is_said(message)) {
                    client.get_mut().taken(0);
                }
                of_client(message, &mut engine).await
            }
            Next::Engine(message) => of_engine(message, &mut client, &mut heard).await,
            Next::Ping if !is_heard => Some(Ends::gone()),
            Next::Ping => {
                is_heard = false;
                client.send(Message::Ping(Bytes::new())).await.err().map(|_| Ends::gone())
            }
            Next::Ends(why) => {
                Some(Ends { to_client: Some(close(CloseCode::Away, why)), ..Ends::of(SessionEnd::Closed) })
            }
        };
        if let Some(ends) = ends {
            break ends;
        }
    };
    farewell(&mut client, ends.to_client).await;
    farewell(&mut engine, ends.to_engine).await;
    ends.end
}

/// The end of a session, and what each side hears of it.
struct Ends {
    end: SessionEnd,
    to_client: Option<CloseFrame>,
    to_engine: Option<CloseFrame>,
}

impl Ends {
    fn of(end: SessionEnd) -> Self {
        Self { end, to_client: None, to_engine: None }
    }

    fn gone() -> Self {
        Self::of(SessionEnd::ClientGone)
    }

    fn broken() -> Self {
        Self { to_client: Some(close(CloseCode::Error, "the engine is gone")), ..Self::of(SessionEnd::Broken) }
    }
}

type Came = Option<Result<Message, Error>>;

/// Passes on what has come of a client.
async fn of_client<E: AsyncRead + AsyncWrite + Unpin>(came: Came, engine: &mut WebSocketStream<E>) -> Option<Ends> {
    match came {
        Some(Ok(Message::Close(frame))) => Some(Ends { to_engine: frame, ..Ends::of(SessionEnd::Closed) }),
        Some(Ok(message)) if is_said(&message) => engine.send(message).await.err().map(|_| Ends::broken()),
        Some(Ok(_)) => None,
        Some(Err(why)) => Some(match fault(&why) {
            Some(frame) => Ends { to_client: Some(frame), ..Ends::of(SessionEnd::Closed) },
            None => Ends::gone(),
        }),
        None => Some(Ends::gone()),
    }
}

/// Passes on what has come of an engine.
async fn of_engine<C: AsyncRead + AsyncWrite + Unpin>(
    came: Came,
    client: &mut WebSocketStream<C>,
    heard: &mut impl FnMut(&str),
) -> Option<Ends> {
    match came {
        Some(Ok(Message::Close(frame))) => Some(Ends { to_client: frame, ..Ends::of(SessionEnd::Closed) }),
        Some(Ok(message)) => {
            if let Message::Text(text) = &message {
                heard(text.as_str());
            }
            // Pings are answered by whoever gets them.
            if !is_said(&message) {
                return None;
            }
            client.send(message).await.err().map(|_| Ends::gone())
        }
        Some(Err(_)) | None => Some(Ends::broken()),
    }
}

/// It is for the other side, and not between the gateway and one of them.
fn is_said(message: &Message) -> bool {
    matches!(message, Message::Text(_) | Message::Binary(_))
}

/// Closes a side. One that does not answer is not waited for.
async fn farewell<S: AsyncRead + AsyncWrite + Unpin>(side: &mut WebSocketStream<S>, frame: Option<CloseFrame>) {
    let end = async {
        let _ = side.close(frame).await;
        while let Some(Ok(_)) = side.next().await {}
    };
    let _ = tokio::time::timeout(FAREWELL, end).await;
}
