//! The HTTP/1.1 client of the streaming path.
//!
//! A general client moves each piece of a body through a task and a channel of its own. Between an engine that writes
//! small pieces and a person who waits for them that is most of the cost, so this one does less: the response is read
//! where it is consumed, everything that has arrived is taken in one read and handed on as one piece, and a connection
//! that waits holds no buffer. See docs/adr/0002-own-upstream-client.md.

mod body;
mod conn;
mod dial;
mod error;
mod head;
mod inflate;
mod last_good;
mod names;
mod origin;
mod retry_after;
mod tls;

pub use body::Body;
pub use conn::{Conn, Request, Response, Upgraded};
pub use error::Error;
pub use head::{Head, parse as parse_head};
pub use names::{Names, NamesError};
pub use origin::{Origin, OriginError};
pub use tls::{Tls, TlsError, certificates, private_key};
