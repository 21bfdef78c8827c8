//! Sockets: accepting them, HTTP/1.1, and coming to an end without cutting anybody off.
//!
//! What stays true: there are never more connections than [`CONNECTIONS_MAX`]; none may be slow or silent for longer than its
//! [`Patience`] lasts; and once [`Listener::serve`] has returned, none of them is left, but for
//! those that were upgraded, which belong to whoever upgraded them.

use std::convert::Infallible;
use std::error::Error as _;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, Request, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::host::Hosts;
use super::patience::Patience;
use super::unread;
use super::write_stall::{self, WriteStall};
use crate::clock::Clock;

/// Connections at once, of all kinds and over all ports. More than one process may have open files for on most machines, so
/// that it guards memory and not the usual case; at about 14 KB for each over TLS it is 14 GB.
pub(crate) const CONNECTIONS_MAX: usize = 1_000_000;

/// Tells clients to open a new connection rather than to use one that we may be about to end ([`Patience::header`]): a payment
/// that meets the end of its connection has no answer, and no client may send it again by itself.
const KEPT_FOR: HeaderValue = HeaderValue::from_static("timeout=5");

/// Tells them that this was the connection's last answer.
const NOT_KEPT: HeaderValue = HeaderValue::from_static("close");

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// The largest head of a request, and how much of a body is read at once. hyper takes no less than 8 KiB.
const BUFFER_MAX: usize = 16 * 1024;

/// After an error that the next connection would meet too, such as no free file handle.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// One port.
#[derive(Debug)]
pub(crate) struct Listener {
    tcp: TcpListener,
    tls: Option<Arc<ServerConfig>>,
}

/// The other end of the socket that a request came over; an extension of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// One of [`CONNECTIONS_MAX`] slots for connections; an extension of the request. What outlives the HTTP connection, as an
/// upgraded socket does, keeps the slot by keeping this.
#[derive(Clone, Debug)]
pub(crate) struct Slot(#[expect(dead_code, reason = "held, not read")] Arc<OwnedSemaphorePermit>);

/// What all ports share.
#[derive(Clone, Debug)]
pub(crate) struct Sockets {
    /// How long clients are waited for.
    pub(crate) patience: Patience,
    /// The names that are answered to.
    pub(crate) hosts: Arc<Hosts>,
    /// For what is refused before any surface sees it.
    pub(crate) clock: Clock,
    /// Free slots for connections.
    pub(crate) slots: Arc<Semaphore>,
    /// Cancelled: accept no more, and let each connection end with the request that it is in.
    pub(crate) stop: CancellationToken,
    /// Cancelled: drop what is left.
    pub(crate) cut: CancellationToken,
    /// The connections.
    pub(crate) tasks: TaskTracker,
}

impl Sockets {
    /// None yet.
    pub(crate) fn new(patience: Patience, hosts: Hosts, clock: Clock) -> Sockets {
        Sockets {
            patience,
            hosts: Arc::new(hosts),
            clock,
            slots: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            stop: CancellationToken::new(),
            cut: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }
}

impl Listener {
    /// Listens for plain HTTP.
    ///
    /// # Errors
    /// When the address is taken, not ours, or not allowed.
    pub(crate) async fn plain(address: SocketAddr) -> io::Result<Listener> {
        Ok(Listener { tcp: TcpListener::bind(address).await?, tls: None })
    }

    /// Listens for HTTPS.
    ///
    /// # Errors
    /// As [`Listener::plain`].
    pub(crate) async fn tls(address: SocketAddr, config: Arc<ServerConfig>) -> io::Result<Listener> {
        Ok(Listener { tcp: TcpListener::bind(address).await?, tls: Some(config) })
    }

    /// Where it listens, with the port that it got.
    ///
    /// # Errors
    /// When the operating system can't say.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Accepts connections and answers them from `router`, until told to stop. Then the port is free again at once, while
    /// connections end by themselves, tracked by [`Sockets::tasks`].
    pub(crate) async fn serve(self, router: Router, sockets: Sockets) {
        loop {
            let slot = tokio::select! {
                () = sockets.stop.cancelled() => return,
                slot = sockets.slots.clone().acquire_owned() => slot,
            };
            let Ok(slot) = slot else { return }; // The semaphore is never closed.
            let accepted = tokio::select! {
                () = sockets.stop.cancelled() => return,
                accepted = self.tcp.accept() => accepted,
            };
            match accepted {
                Ok((stream, address)) => self.spawn(stream, address, slot, &router, &sockets),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::error!(%error, pause_ms = 100, "can't accept connections; is the limit of open files too low?");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn spawn(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        slot: OwnedSemaphorePermit,
        router: &Router,
        sockets: &Sockets,
    ) {
        // Answers are small and written whole: waiting for more to send only adds to the till's waiting.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "can't set TCP_NODELAY");
        }
        let (peer, slot) = (Peer(address), Slot(Arc::new(slot)));
        let (router, sockets) = (router.clone(), sockets.clone());
        let Some(acceptor) = self.tls.clone().map(TlsAcceptor::from) else {
            let tasks = sockets.tasks.clone();
            tasks.spawn(serve_connection(stream, peer, slot, router, sockets));
            return;
        };
        // The handshake has a task of its own, and hands on a box: its future is large, and would stay as large as long as
        // the connection stands.
        let tasks = sockets.tasks.clone();
        tasks.spawn(async move {
            let handshake = timeout(sockets.patience.tls_handshake, acceptor.accept(stream));
            let accepted = tokio::select! {
                () = sockets.stop.cancelled() => return,
                accepted = handshake => accepted,
            };
            match accepted {
                Ok(Ok(stream)) => {
                    let tasks = sockets.tasks.clone();
                    tasks.spawn(serve_connection(Box::new(stream), peer, slot, router, sockets));
                }
                Ok(Err(error)) => tracing::debug!(client.address = %address, %error, "TLS handshake failed"),
                Err(_) => {
                    tracing::debug!(client.address = %address, limit = "tls_handshake", "a slow client is cut off");
                }
            }
        });
    }
}

async fn serve_connection<S>(stream: S, peer: Peer, slot: Slot, router: Router, sockets: Sockets)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Peer(address) = peer;
    let router = TowerToHyperService::new(router);
    let hosts = sockets.hosts.clone();
    let (clock, unread_body) = (sockets.clock, sockets.patience.unread_body);
    let service = service_fn(move |mut request: Request<Incoming>| {
        let misdirected = hosts.check(request.uri(), request.headers()).err();
        let refused =
            misdirected.map(|misdirected| misdirected.response(request.uri().path(), clock.now().wall));
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(slot.clone());
        let asked_first = request.headers().contains_key(header::EXPECT);
        let (head, body) = request.into_parts();
        let (body, unread) = unread::lend(body);
        let answer = refused.is_none().then(|| router.call(Request::from_parts(head, body)));
        async move {
            let mut response = match (answer, refused) {
                (Some(answer), _) => answer.await?,
                (None, refused) => refused.unwrap_or_default(),
            };
            let is_kept = unread.discard(asked_first, response.status(), unread_body).await;
            let (name, value) = if is_kept { (KEEP_ALIVE, KEPT_FOR) } else { (header::CONNECTION, NOT_KEPT) };
            response.headers_mut().insert(name, value);
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(sockets.patience.header)
        .max_buf_size(BUFFER_MAX)
        .serve_connection(TokioIo::new(WriteStall::new(stream, sockets.patience.write_stall)), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = sockets.stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => ended,
                () = sockets.cut.cancelled() => return,
            }
        }
    };
    let Err(error) = ended else { return };
    if is_write_stall(&error) {
        tracing::info!(client.address = %address, limit = "write_stall", "a slow client is cut off");
    } else if error.is_timeout() {
        // The usual end of a connection that was kept open, too: not worth more.
        tracing::debug!(client.address = %address, limit = "header", "a slow client is cut off");
    } else {
        tracing::debug!(client.address = %address, %error, "connection ended");
    }
}

/// Whether the connection ended because its peer took nothing of an answer.
fn is_write_stall(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.is_some_and(write_stall::is_stall)
}

/// Whether an error of `accept` belongs to the connection that was about to be accepted, and says nothing about the next.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::extract::Extension;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::sync::Notify;
    use tokio::time::Instant;

    use super::*;

    fn sockets() -> Sockets {
        Sockets::new(Patience::default(), Hosts::new(&[], &[]), Clock::start())
    }

    /// A connection in memory, so that time can stand still.
    async fn connect(router: Router, sockets: &Sockets) -> DuplexStream {
        let (ours, theirs) = duplex(64 * 1024);
        let slot = Slot(Arc::new(sockets.slots.clone().acquire_owned().await.unwrap()));
        let peer = Peer("192.0.2.7:4711".parse().unwrap());
        sockets.tasks.spawn(serve_connection(theirs, peer, slot, router, sockets.clone()));
        ours
    }

    async fn read_all(mut stream: DuplexStream) -> String {
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_does_not_come_ends_the_connection() {
        let (sockets, started) = (sockets(), Instant::now());
        let mut stream = connect(Router::new(), &sockets).await;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: ").await.unwrap();
        read_all(stream).await;
        assert_eq!(started.elapsed().as_secs(), Patience::default().header.as_secs());
        sockets.tasks.close();
        sockets.tasks.wait().await;
        assert_eq!(sockets.slots.available_permits(), CONNECTIONS_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_not_used_ends() {
        let (sockets, started) = (sockets(), Instant::now());
        assert_eq!(read_all(connect(Router::new(), &sockets).await).await, "");
        assert_eq!(started.elapsed().as_secs(), Patience::default().header.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_its_answer_is_cut_off() {
        let (mut ours, theirs) = duplex(1024);
        let large = service_fn(|_: Request<Incoming>| async {
            Ok::<_, Infallible>(axum::http::Response::new(Body::from(vec![0; 1024 * 1024])))
        });
        let limit = Patience::default().write_stall;
        let stream = TokioIo::new(WriteStall::new(theirs, limit));
        let connection = http1::Builder::new().serve_connection(stream, large);
        ours.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let started = Instant::now();
        let error = connection.await.unwrap_err();
        assert!(is_write_stall(&error), "{error:?}");
        assert_eq!(started.elapsed(), limit);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_knows_its_peer() {
        let sockets = sockets();
        let router = Router::new()
            .route("/", get(|Extension(Peer(peer)): Extension<Peer>| async move { peer.to_string() }));
        let mut stream = connect(router, &sockets).await;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
        assert!(read_all(stream).await.ends_with("\r\n\r\n192.0.2.7:4711"));
    }

    /// A router whose only answer waits for the notification; and one that tells when the request is in.
    fn slow() -> (Router, Arc<Notify>, Arc<Notify>) {
        let (begun, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (tell, wait) = (begun.clone(), go.clone());
        let answer = move || {
            let (tell, wait) = (tell.clone(), wait.clone());
            async move {
                tell.notify_one();
                wait.notified().await;
                "done"
            }
        };
        (Router::new().route("/", get(answer)), begun, go)
    }

    #[tokio::test]
    async fn a_request_under_way_finishes_when_the_gateway_stops() {
        let sockets = sockets();
        let (router, begun, go) = slow();
        let mut stream = connect(router.clone(), &sockets).await;
        let idle = connect(router, &sockets).await;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        begun.notified().await;
        sockets.stop.cancel();
        assert_eq!(read_all(idle).await, "");
        go.notify_one();
        let answer = read_all(stream).await;
        assert!(answer.contains("connection: close") && answer.ends_with("done"), "{answer}");
    }

    #[tokio::test]
    async fn a_request_that_takes_too_long_is_cut_off() {
        let sockets = sockets();
        let (router, begun, _go) = slow();
        let mut stream = connect(router, &sockets).await;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        begun.notified().await;
        sockets.stop.cancel();
        sockets.cut.cancel();
        assert_eq!(read_all(stream).await, "");
        sockets.tasks.close();
        sockets.tasks.wait().await;
    }
}
