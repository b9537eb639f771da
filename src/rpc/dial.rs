//! A connection to a name: its addresses are tried side by side, as RFC 8305 has it, so that one that is
//! dead costs a moment and not the whole deadline.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// After so long without an answer the next address is tried too: RFC 8305's recommendation.
const STAGGER: Duration = Duration::from_millis(250);

/// If none answers for so long, they stay in their order.
const RACE_MAX: Duration = Duration::from_secs(2);

/// Of a name with more addresses the rest is not tried: whoever answers for the name may say anything.
const ADDRESSES_MAX: usize = 16;

/// Connects to `HOST:PORT`. Has no deadline of its own.
pub(super) async fn connect(addr: &str) -> io::Result<TcpStream> {
    let addresses = lookup_host(addr).await?;
    race(interleaved(addresses.take(ADDRESSES_MAX).collect())).await
}

/// Addresses with the one in front that answers first, for whoever would try one after the other. That
/// takes a connection, which is closed again; a single address needs none.
pub(crate) async fn answering_first(mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    addresses.truncate(ADDRESSES_MAX);
    if addresses.len() < 2 {
        return addresses;
    }
    let raced = timeout(RACE_MAX, race(interleaved(addresses.clone()))).await;
    if let Ok(Ok(stream)) = raced
        && let Ok(first) = stream.peer_addr()
    {
        addresses.retain(|address| *address != first);
        addresses.insert(0, first);
    }
    addresses
}

/// The first that accepts; if none does, the first error.
async fn race(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut attempts = JoinSet::new();
    let mut failure = None;
    let mut untried = addresses.into_iter();
    loop {
        let is_last = match untried.next() {
            Some(address) => {
                attempts.spawn(TcpStream::connect(address));
                false
            }
            None => true,
        };
        // An attempt that fails makes room for the next at once.
        let ended = if is_last {
            attempts.join_next().await
        } else {
            match timeout(STAGGER, attempts.join_next()).await {
                Ok(ended) => ended,
                Err(_) => continue,
            }
        };
        match ended {
            Some(Ok(Ok(stream))) => return Ok(stream),
            Some(Ok(Err(error))) => failure = failure.or(Some(error)),
            Some(Err(error)) => failure = failure.or(Some(error.into())),
            None if is_last => {
                return Err(failure.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()));
            }
            None => {}
        }
    }
}

/// Families in turn, beginning with the system's choice: often all of one are dead.
fn interleaved(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = addresses.first().map(SocketAddr::is_ipv4) else {
        return addresses;
    };
    let (ours, others): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv4() == first);
    let (mut ours, mut others) = (ours.into_iter(), others.into_iter());
    let mut mixed = Vec::new();
    loop {
        let before = mixed.len();
        mixed.extend(ours.next());
        mixed.extend(others.next());
        if mixed.len() == before {
            return mixed;
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Instant;

    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    async fn listener(addr: &str) -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind(addr).await.unwrap();
        let addr = listener.local_addr().unwrap();
        (listener, addr)
    }

    /// An address where nobody answers: a listener whose queue is full. Port 0 is any.
    pub(crate) async fn black_hole(port: u16) -> (TcpListener, Vec<TcpStream>, SocketAddr) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 2], port).into()).unwrap();
        let listener = socket.listen(1).unwrap();
        let addr = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        while let Ok(Ok(stream)) =
            timeout(Duration::from_millis(100), TcpStream::connect(addr)).await
        {
            queued.push(stream);
        }
        (listener, queued, addr)
    }

    #[tokio::test]
    async fn a_dead_first_address_costs_a_moment() {
        let (_hole, _queued, dead) = black_hole(0).await;
        let (_listener, good) = listener("127.0.0.1:0").await;
        let began = Instant::now();
        let stream = race(vec![dead, good]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good);
        assert!(began.elapsed() >= STAGGER && began.elapsed() < STAGGER * 4);
    }

    #[tokio::test]
    async fn a_refusal_is_not_waited_out_and_told_if_all_refuse() {
        let (gone, refusing) = listener("127.0.0.2:0").await;
        drop(gone);
        let (_listener, good) = listener("127.0.0.1:0").await;
        let began = Instant::now();
        let stream = race(vec![refusing, refusing, good]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good);
        assert!(began.elapsed() < STAGGER);
        let error = race(vec![refusing, refusing]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(race(Vec::new()).await.is_err());
    }

    #[test]
    fn families_take_turns() {
        let of = |texts: &[&str]| {
            texts
                .iter()
                .map(|it| it.parse().unwrap())
                .collect::<Vec<_>>()
        };
        let [a, b, c, d] = ["[::1]:1", "[::2]:1", "[::3]:1", "1.2.3.4:1"];
        assert_eq!(interleaved(of(&[a, b, c, d])), of(&[a, d, b, c]));
        assert_eq!(interleaved(of(&[d, a])), of(&[d, a]));
        assert_eq!(interleaved(Vec::new()), Vec::new());
    }
}
