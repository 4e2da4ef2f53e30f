//! A name server that says what it is told to, and counts who asks.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::mock::lock;

/// What it says of every name.
#[derive(Debug, Clone)]
pub enum Says {
    /// These addresses, to be kept for so many seconds.
    At(Vec<Ipv4Addr>, u32),
    /// One of these in turn, not to be kept.
    Flaps(Vec<Ipv4Addr>),
    /// The name does not exist.
    NxDomain,
    /// Something went wrong.
    ServFail,
    /// Nothing.
    Silence,
}

/// One name server.
pub struct Dns {
    address: SocketAddr,
    inside: Arc<Inside>,
    answering: Option<JoinHandle<()>>,
}

struct Inside {
    says: Mutex<Says>,
    /// Questions for IPv4 addresses.
    asked: AtomicUsize,
    stopped: AtomicBool,
}

const HEAD: usize = 12;
const TYPE_A: u16 = 1;

impl Dns {
    /// Starts one.
    pub fn start(says: Says) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let address = socket.local_addr().unwrap();
        let inside =
            Arc::new(Inside { says: Mutex::new(says), asked: AtomicUsize::new(0), stopped: AtomicBool::new(false) });
        let shared = Arc::clone(&inside);
        let answering = std::thread::spawn(move || {
            let mut query = [0; 512];
            while !shared.stopped.load(Ordering::SeqCst) {
                let Ok((length, from)) = socket.recv_from(&mut query) else { continue };
                if let Some(answer) = answer(&shared, &query[..length]) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        Self { address, inside, answering: Some(answering) }
    }

    /// The line of a configuration that has a gateway ask it.
    pub fn line(&self) -> String {
        format!("dns_servers: [\"{}\"]", self.address)
    }

    /// Says this from now on.
    pub fn set(&self, says: Says) {
        *lock(&self.inside.says) = says;
    }

    /// Questions for IPv4 addresses so far.
    pub fn asked(&self) -> usize {
        self.inside.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.inside.stopped.store(true, Ordering::SeqCst);
        let _ = self.answering.take().map(JoinHandle::join);
    }
}

/// The answer to a query of one question (RFC 1035, section 4). There are no IPv6 addresses.
fn answer(inside: &Inside, query: &[u8]) -> Option<Vec<u8>> {
    let name = query.get(HEAD..)?.iter().position(|b| *b == 0)? + 1;
    let question = query.get(HEAD..HEAD + name + 4)?;
    let is_a = question[name..name + 2] == TYPE_A.to_be_bytes();
    let number = if is_a { inside.asked.fetch_add(1, Ordering::SeqCst) } else { 0 };
    let (code, addresses, ttl) = match lock(&inside.says).clone() {
        Says::At(addresses, ttl) => (0, addresses, ttl),
        Says::Flaps(addresses) => (0, vec![addresses[number % addresses.len()]], 0),
        Says::ServFail => (2, Vec::new(), 0),
        Says::NxDomain => (3, Vec::new(), 0),
        Says::Silence => return None,
    };
    let addresses = if is_a { addresses } else { Vec::new() };
    let mut out = query[..2].to_vec();
    // An answer, recursion desired and available.
    out.extend([0x81, 0x80 | code, 0, 1, 0, addresses.len() as u8, 0, 0, 0, 0]);
    out.extend(question);
    for address in addresses {
        // The name of the question, an IPv4 address of the Internet, its time, its four bytes.
        out.extend([0xc0, HEAD as u8, 0, 1, 0, 1]);
        out.extend(ttl.to_be_bytes());
        out.extend([0, 4]);
        out.extend(address.octets());
    }
    Some(out)
}
