//! A TCP proxy between a terminal and its gateway that sees the frames of the terminal link and breaks it at a chosen
//! one. Boarding, maintenance and every other HTTP request pass through as they are.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::websocket::{asks_for_websocket, frame_length, read_head, text_of};

/// Stops, and everything that goes through it, when it is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// Who sent a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    Terminal,
    Gateway,
}

/// One text frame of a link.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) sender: Sender,
    pub(crate) action: String,
    pub(crate) delivery: Option<String>,
    /// When it had been passed on; never, if the link was broken before.
    pub(crate) passed: Option<Instant>,
}

/// How a link ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Break {
    /// Both ends get a RST.
    Reset,
    /// Both ends get a FIN, and no WebSocket close.
    Close,
    /// Half open: both ends keep their socket, and nothing that either sends arrives any more.
    Swallow,
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Break::Reset => "reset",
            Break::Close => "closed",
            Break::Swallow => "half open",
        })
    }
}

/// Where the frame is when its link breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Before,
    After,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Before => "before",
            Side::After => "after",
        })
    }
}

/// A frame that is awaited, and goes no further until it is passed on.
#[derive(Debug)]
pub(crate) struct Held {
    caught: oneshot::Receiver<Frame>,
    release: oneshot::Sender<()>,
}

impl Proxy {
    /// A proxy on a port of its own.
    pub(crate) async fn start(gateway: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared { gateway, ends: watch::Sender::new(0), state: Mutex::default() });
        let accepting = tokio::spawn(accept(listener, shared.clone()));
        Proxy { address, shared, accepting }
    }

    /// What a terminal is given for the gateway's.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Breaks the link of the next frame with this action, before or after it is passed on. Resolves when it has happened.
    pub(crate) fn break_at(&self, side: Side, action: &'static str, how: Break) -> oneshot::Receiver<Frame> {
        let (done, awaited) = oneshot::channel();
        self.shared.state().rules.push(Rule { action, then: Then::Break(side, how, done) });
        awaited
    }

    /// Holds back the next frame with this action, and all that comes after it in its direction.
    pub(crate) fn hold(&self, action: &'static str) -> Held {
        let (caught, awaited) = oneshot::channel();
        let (release, released) = oneshot::channel();
        self.shared.state().rules.push(Rule { action, then: Then::Hold(caught, released) });
        Held { caught: awaited, release }
    }

    /// Breaks every link that stands.
    pub(crate) fn sever(&self, how: Break) {
        let mut state = self.shared.state();
        state.severed.push(how);
        self.shared.ends.send_replace(state.severed.len());
    }

    /// All frames so far, in the order in which they were seen.
    pub(crate) fn frames(&self) -> Vec<Frame> {
        self.shared.state().frames.clone()
    }

    /// The frames with this action.
    pub(crate) fn seen(&self, action: &str) -> Vec<Frame> {
        self.frames().into_iter().filter(|frame| frame.action == action).collect()
    }

    /// How often each delivery was written to a link, also where the frame was not passed on.
    pub(crate) fn writes_per_delivery(&self) -> BTreeMap<String, usize> {
        let mut writes = BTreeMap::new();
        for delivery in self.seen("deliver").into_iter().filter_map(|frame| frame.delivery) {
            *writes.entry(delivery).or_default() += 1;
        }
        writes
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.sever(Break::Reset);
    }
}

impl Held {
    /// When the frame has come.
    pub(crate) async fn caught(&mut self) -> Frame {
        (&mut self.caught).await.expect("the proxy lives as long as its test")
    }

    /// Lets it go on.
    pub(crate) fn pass_on(self) {
        // Its link may have ended meanwhile.
        let _ = self.release.send(());
    }
}

#[derive(Debug)]
struct Shared {
    gateway: SocketAddr,
    /// How many times the links were severed.
    ends: watch::Sender<usize>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    frames: Vec<Frame>,
    rules: Vec<Rule>,
    severed: Vec<Break>,
}

/// Applies to one frame, and is gone.
#[derive(Debug)]
struct Rule {
    action: &'static str,
    then: Then,
}

#[derive(Debug)]
enum Then {
    Break(Side, Break, oneshot::Sender<Frame>),
    Hold(oneshot::Sender<Frame>, oneshot::Receiver<()>),
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a frame, and says what is to be done with it.
    fn see(&self, frame: &Frame) -> (usize, Option<Then>) {
        let mut state = self.state();
        state.frames.push(frame.clone());
        let number = state.frames.len() - 1;
        let rule = state.rules.iter().position(|rule| rule.action == frame.action);
        (number, rule.map(|at| state.rules.remove(at).then))
    }

    fn pass(&self, number: usize) {
        self.state().frames[number].passed = Some(Instant::now());
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((terminal, _)) = listener.accept().await else { continue };
        tokio::spawn(serve(terminal, shared.clone()));
    }
}

async fn serve(mut terminal: TcpStream, shared: Arc<Shared>) {
    // Where nobody listens, the terminal finds its connection closed.
    let Ok(mut gateway) = TcpStream::connect(shared.gateway).await else { return };
    let mut ends = shared.ends.subscribe();
    let (_, _) = (terminal.set_nodelay(true), gateway.set_nodelay(true));
    let Some((head, rest)) = read_head(&mut terminal).await else { return };
    if gateway.write_all(&[&head[..], &rest].concat()).await.is_err() {
        return;
    }
    if !asks_for_websocket(&head) {
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut terminal, &mut gateway) => {}
            _ = ends.changed() => {}
        }
        return;
    }
    // The terminal says nothing more before the gateway has answered.
    let Some((head, rest)) = read_head(&mut gateway).await else { return };
    if terminal.write_all(&head).await.is_err() {
        return;
    }
    let (mut from_terminal, mut to_terminal) = terminal.split();
    let (mut from_gateway, mut to_gateway) = gateway.split();
    let upwards = Pump { sender: Sender::Terminal, buffer: Vec::new(), shared: &shared };
    let downwards = Pump { sender: Sender::Gateway, buffer: rest, shared: &shared };
    let how = tokio::select! {
        how = upwards.run(&mut from_terminal, &mut to_gateway) => how,
        how = downwards.run(&mut from_gateway, &mut to_terminal) => how,
        _ = ends.changed() => shared.state().severed.last().copied().unwrap_or(Break::Reset),
    };
    match how {
        Break::Close => {}
        Break::Reset => {
            let (_, _) = (terminal.set_zero_linger(), gateway.set_zero_linger());
        }
        Break::Swallow => {
            let mut nowhere = (tokio::io::sink(), tokio::io::sink());
            let swallow = async {
                let (_, _) = tokio::join!(
                    tokio::io::copy(&mut from_terminal, &mut nowhere.0),
                    tokio::io::copy(&mut from_gateway, &mut nowhere.1),
                );
                // An end that gives up tells it to nobody.
                std::future::pending::<()>().await;
            };
            tokio::select! { () = swallow => {}, _ = ends.changed() => {} }
        }
    }
}

/// One direction of a link.
struct Pump<'a> {
    sender: Sender,
    buffer: Vec<u8>,
    shared: &'a Shared,
}

impl Pump<'_> {
    /// Passes on whole frames until the link is to be broken.
    async fn run(mut self, from: &mut ReadHalf<'_>, to: &mut WriteHalf<'_>) -> Break {
        loop {
            while let Some(length) = frame_length(&self.buffer) {
                let raw: Vec<u8> = self.buffer.drain(..length).collect();
                if let Err(how) = self.pass(&raw, from, to).await {
                    return how;
                }
            }
            if !self.read(from).await {
                return Break::Close;
            }
        }
    }

    async fn pass(
        &mut self,
        raw: &[u8],
        from: &mut ReadHalf<'_>,
        to: &mut WriteHalf<'_>,
    ) -> Result<(), Break> {
        let Some(frame) = self.understand(raw) else {
            return to.write_all(raw).await.map_err(|_| Break::Close);
        };
        let (number, then) = self.shared.see(&frame);
        let mut after = None;
        match then {
            None => {}
            Some(Then::Break(Side::Before, how, done)) => {
                let _ = done.send(frame);
                return Err(how);
            }
            Some(Then::Break(Side::After, how, done)) => after = Some((how, done)),
            Some(Then::Hold(caught, released)) => {
                let _ = caught.send(frame.clone());
                self.hold(released, from).await?;
            }
        }
        to.write_all(raw).await.map_err(|_| Break::Close)?;
        self.shared.pass(number);
        match after {
            None => Ok(()),
            Some((how, done)) => {
                let _ = done.send(frame);
                Err(how)
            }
        }
    }

    /// Until the held frame may go on. Whoever sent it may die meanwhile, and that is passed on at once.
    async fn hold(
        &mut self,
        mut released: oneshot::Receiver<()>,
        from: &mut ReadHalf<'_>,
    ) -> Result<(), Break> {
        let mut forgotten = false;
        loop {
            tokio::select! {
                release = &mut released, if !forgotten => match release {
                    Ok(()) => return Ok(()),
                    Err(_) => forgotten = true,
                },
                more = self.read(from) => if !more {
                    return Err(Break::Close);
                },
            }
        }
    }

    /// Whether there was anything to read.
    async fn read(&mut self, from: &mut ReadHalf<'_>) -> bool {
        matches!(from.read_buf(&mut self.buffer).await, Ok(1..))
    }

    fn understand(&self, raw: &[u8]) -> Option<Frame> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Members {
            action: String,
            delivery_id: Option<String>,
        }
        let members: Members = serde_json::from_slice(&text_of(raw)?).ok()?;
        Some(Frame {
            sender: self.sender,
            action: members.action,
            delivery: members.delivery_id,
            passed: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::{SinkExt as _, StreamExt as _};
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::{Error, Message};

    use super::*;
    use crate::process::until;

    type Socket = WebSocketStream<TcpStream>;

    /// Answers every frame with the same text; a frame that says `bye` with a close.
    async fn echo_server() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
                    while let Some(Ok(message)) = socket.next().await {
                        let Message::Text(text) = message else { continue };
                        let answer = text.replace("received", "deliver").into();
                        if socket.send(Message::Text(answer)).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        address
    }

    async fn connect(proxy: &Proxy) -> Socket {
        let stream = TcpStream::connect(proxy.address).await.unwrap();
        tokio_tungstenite::client_async("ws://localhost/", stream).await.unwrap().0
    }

    async fn send(socket: &mut Socket, action: &str, filler: usize) {
        let filler = "é".repeat(filler);
        let text = format!(r#"{{ "action":"{action}","deliveryId":"d_1","filler":"{filler}"}}"#);
        socket.send(Message::text(text)).await.unwrap();
    }

    fn actions(proxy: &Proxy) -> Vec<(Sender, String, bool)> {
        proxy.frames().into_iter().map(|f| (f.sender, f.action, f.passed.is_some())).collect()
    }

    #[tokio::test]
    async fn frames_of_every_length_pass_and_are_seen() {
        let proxy = Proxy::start(echo_server().await).await;
        let mut socket = connect(&proxy).await;
        for filler in [0, 20, 40, 60, 2_000, 40_000] {
            send(&mut socket, "received", filler).await;
            let Some(Ok(Message::Text(answer))) = socket.next().await else { panic!("no answer") };
            assert!(answer.contains("deliver\""));
            assert_eq!(answer.matches('é').count(), filler);
        }
        let seen = actions(&proxy);
        assert_eq!(seen.len(), 12);
        assert_eq!(seen[0], (Sender::Terminal, "received".into(), true));
        assert_eq!(seen[1], (Sender::Gateway, "deliver".into(), true));
        assert_eq!(proxy.writes_per_delivery(), BTreeMap::from([("d_1".into(), 6)]));
    }

    #[tokio::test]
    async fn a_link_breaks_before_or_after_the_chosen_frame() {
        let proxy = Proxy::start(echo_server().await).await;
        for how in [Break::Reset, Break::Close] {
            let done = proxy.break_at(Side::Before, "deliver", how);
            let mut socket = connect(&proxy).await;
            send(&mut socket, "received", 0).await;
            assert!(matches!(socket.next().await, Some(Err(_)) | None), "nothing comes through");
            assert_eq!(done.await.unwrap().delivery.as_deref(), Some("d_1"));

            let done = proxy.break_at(Side::After, "deliver", how);
            let mut socket = connect(&proxy).await;
            send(&mut socket, "received", 0).await;
            assert!(matches!(socket.next().await, Some(Ok(Message::Text(_)))), "this one comes through");
            assert!(matches!(socket.next().await, Some(Err(Error::Io(_) | Error::Protocol(_)))));
            done.await.unwrap();
        }
        assert_eq!(proxy.seen("deliver").iter().filter(|frame| frame.passed.is_some()).count(), 2);
    }

    #[tokio::test]
    async fn a_held_frame_waits_while_the_other_direction_flows() {
        let proxy = Proxy::start(echo_server().await).await;
        let mut socket = connect(&proxy).await;
        let mut held = proxy.hold("deliver");
        send(&mut socket, "received", 0).await;
        held.caught().await;
        send(&mut socket, "result", 0).await;
        until("the gateway has been sent the result", Duration::from_secs(5), async || {
            proxy.seen("result").first().is_some_and(|frame| frame.passed.is_some()).then_some(())
        })
        .await;
        assert_eq!(proxy.seen("deliver").first().and_then(|frame| frame.passed), None);
        held.pass_on();
        for action in ["deliver", "result"] {
            let Some(Ok(Message::Text(text))) = socket.next().await else { panic!("no answer") };
            assert!(text.contains(action), "{text}");
        }
    }

    #[tokio::test]
    async fn the_end_of_whoever_sent_a_held_frame_is_passed_on() {
        let proxy = Proxy::start(echo_server().await).await;
        let mut socket = connect(&proxy).await;
        let mut held = proxy.hold("received");
        send(&mut socket, "received", 0).await;
        held.caught().await;
        drop(socket);
        until("the link has ended", Duration::from_secs(5), async || {
            (Arc::strong_count(&proxy.shared) == 2).then_some(())
        })
        .await;
    }

    #[tokio::test]
    async fn a_swallowed_link_stays_open_and_silent_until_it_is_severed() {
        let proxy = Proxy::start(echo_server().await).await;
        let mut socket = connect(&proxy).await;
        let done = proxy.break_at(Side::After, "received", Break::Swallow);
        send(&mut socket, "received", 0).await;
        done.await.unwrap();
        send(&mut socket, "result", 0).await;
        let silence = tokio::time::timeout(Duration::from_millis(200), socket.next()).await;
        assert!(silence.is_err(), "{silence:?}");
        assert_eq!(actions(&proxy), [(Sender::Terminal, "received".into(), true)]);
        proxy.sever(Break::Reset);
        assert!(!matches!(socket.next().await, Some(Ok(_))));
    }

    #[tokio::test]
    async fn plain_http_passes_untouched() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy::start(listener.local_addr().unwrap()).await;
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 64];
            let length = stream.read(&mut request).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nhello").await.unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        };
        let client = async {
            let mut stream = TcpStream::connect(proxy.address).await.unwrap();
            stream.write_all(b"POST /sync HTTP/1.1\r\n\r\nbody").await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let (request, answer) = tokio::join!(server, client);
        assert!(request.ends_with("body") && answer.ends_with("hello"), "{request} {answer}");
    }
}
