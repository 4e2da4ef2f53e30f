//! A connection to one of several addresses.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Time after which the next address is tried beside those that have not answered yet (RFC 8305, section 8).
const NEXT_AFTER: Duration = Duration::from_millis(250);

/// Most addresses tried for one connection.
const ADDRESSES_MAX: usize = 8;

/// The first that answers, tried in turn; each begins when the one before has failed or has been silent for a while.
///
/// # Errors
/// None answers: the last failure.
pub(crate) async fn dial(addresses: &[IpAddr], port: u16) -> io::Result<TcpStream> {
    if let [only] = addresses {
        return TcpStream::connect((*only, port)).await;
    }
    let mut to_try = in_turn(addresses).map(|ip| SocketAddr::from((ip, port)));
    let mut trying = JoinSet::new();
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    loop {
        if let Some(address) = to_try.next() {
            trying.spawn(TcpStream::connect(address));
        } else if trying.is_empty() {
            return Err(last);
        }
        let has_more = to_try.len() > 0;
        tokio::select! {
            // Dropping the set ends the other attempts.
            Some(Ok(tried)) = trying.join_next() => match tried {
                Ok(stream) => return Ok(stream),
                Err(e) => last = e,
            },
            () = tokio::time::sleep(NEXT_AFTER), if has_more => {}
        }
    }
}

/// Families by turns, so that one that leads nowhere costs one attempt and not all.
fn in_turn(addresses: &[IpAddr]) -> impl ExactSizeIterator<Item = IpAddr> {
    let (first, second): (Vec<IpAddr>, Vec<IpAddr>) =
        addresses.iter().partition(|ip| ip.is_ipv4() == addresses[0].is_ipv4());
    let mut out = Vec::with_capacity(addresses.len());
    for i in 0..first.len().max(second.len()) {
        out.extend(first.get(i).into_iter().chain(second.get(i)));
    }
    out.truncate(ADDRESSES_MAX);
    out.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let ip = |s: &str| s.parse::<IpAddr>().unwrap();
        let (a, b, c, x) = (ip("10.0.0.1"), ip("10.0.0.2"), ip("10.0.0.3"), ip("::1"));
        assert_eq!(in_turn(&[a, b, c, x]).collect::<Vec<_>>(), [a, x, b, c]);
        assert_eq!(in_turn(&[x, a, b]).collect::<Vec<_>>(), [x, a, b]);
        assert_eq!(in_turn(&[a; 20]).len(), ADDRESSES_MAX);
        assert_eq!(in_turn(&[]).len(), 0);
    }

    #[tokio::test]
    async fn the_next_address_is_tried_after_a_failure() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (dead, here) = (IpAddr::from([127, 0, 0, 9]), IpAddr::from([127, 0, 0, 1]));
        assert!(dial(&[dead, here], port).await.is_ok());
        assert!(dial(&[dead, dead], port).await.is_err());
        assert!(dial(&[], port).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_address_is_tried_beside_a_silent_one() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        // A block that is never routed (RFC 5737) is silent or refused at once: either way the next is tried.
        let (silent, here) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([127, 0, 0, 1]));
        assert!(dial(&[silent, here], port).await.is_ok());
    }
}
