//! Connections of clients: sockets that notice a client who takes nothing, TLS with certificates that are read again, and
//! streams that end broken and never clean.

pub mod breaking;
pub mod h2_stall;
pub mod socket;
pub mod tls;
