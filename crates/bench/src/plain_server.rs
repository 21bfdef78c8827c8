//! The plain server: a gateway on axum and tungstenite as one writes it in an afternoon, without ledger, auth or limits.
//!
//! It is no straw man: buffers are as small as in Tillgate, the header is parsed borrowed, and a request is written to the
//! link from its own task. What Tillgate needs beyond it is the price of its promises.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt as _;
use futures_util::SinkExt as _;
use futures_util::stream::{SplitSink, StreamExt as _};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// As in Tillgate: allocated at once, and most links are idle.
const READ_BUFFER: usize = 512;

type Link = Arc<tokio::sync::Mutex<SplitSink<WebSocket, Message>>>;

#[derive(Default)]
struct Gateway {
    /// By POIID.
    links: Mutex<HashMap<String, Link>>,
    /// By ServiceID.
    waiting: Mutex<HashMap<String, oneshot::Sender<Utf8Bytes>>>,
}

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(rename = "SaleToPOIRequest", borrow)]
    body: Body<'a>,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(rename = "SaleToPOIResponse", borrow)]
    body: Body<'a>,
}

/// The rest is checked for syntax only.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(rename = "MessageHeader", borrow)]
    header: Header<'a>,
}

#[derive(Deserialize)]
struct Header<'a> {
    #[serde(rename = "ServiceID")]
    service_id: &'a str,
    #[serde(rename = "POIID")]
    poi_id: &'a str,
}

/// Serves until it is killed. Prints its address.
pub(crate) fn run() -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        println!("{}", listener.local_addr()?);
        let router = Router::new()
            .route("/link/{poi}", get(open))
            .route("/sync", post(sync))
            .with_state(Arc::new(Gateway::default()));
        let listener = listener.tap_io(|stream| {
            // Without it every figure is one of Nagle's algorithm.
            let _ = stream.set_nodelay(true);
        });
        axum::serve(listener, router).await?;
        Ok(())
    })
}

async fn open(
    State(gateway): State<Arc<Gateway>>,
    Path(poi): Path<String>,
    upgrade: WebSocketUpgrade,
) -> Response {
    upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .on_upgrade(move |socket| async move { Box::pin(serve(gateway, poi, socket)).await })
}

async fn serve(gateway: Arc<Gateway>, poi: String, socket: WebSocket) {
    let (sink, mut stream) = socket.split();
    let link = Arc::new(tokio::sync::Mutex::new(sink));
    locked(&gateway.links).insert(poi.clone(), link.clone());
    while let Some(Ok(message)) = stream.next().await {
        let Message::Text(text) = message else { continue };
        let Ok(answer) = serde_json::from_str::<Answer<'_>>(&text) else { break };
        let waiting = locked(&gateway.waiting).remove(answer.body.header.service_id);
        if let Some(waiting) = waiting {
            let _ = waiting.send(text);
        }
    }
    let mut links = locked(&gateway.links);
    if links.get(&poi).is_some_and(|current| Arc::ptr_eq(current, &link)) {
        links.remove(&poi);
    }
}

async fn sync(State(gateway): State<Arc<Gateway>>, body: Bytes) -> Response {
    let Ok(text) = Utf8Bytes::try_from(body) else { return StatusCode::BAD_REQUEST.into_response() };
    let Ok(request) = serde_json::from_str::<Request<'_>>(&text) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let header = request.body.header;
    let link = locked(&gateway.links).get(header.poi_id).cloned();
    let Some(link) = link else { return StatusCode::NOT_FOUND.into_response() };
    let (tell, told) = oneshot::channel();
    locked(&gateway.waiting).insert(header.service_id.to_owned(), tell);
    if link.lock().await.send(Message::Text(text)).await.is_err() {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    match told.await {
        Ok(answer) => ([(header::CONTENT_TYPE, "application/json")], Bytes::from(answer)).into_response(),
        Err(_) => StatusCode::GATEWAY_TIMEOUT.into_response(),
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
