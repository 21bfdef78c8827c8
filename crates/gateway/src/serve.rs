//! A gateway from its start to its end: the one place where everything is wired together.

use std::fs::{File, TryLockError};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::access::{Access, Passes};
use crate::actions::deliveries::Deliveries;
use crate::actions::desktops::{Desktops, PerIdentity};
use crate::actions::payments::Payments;
use crate::actions::terminals::Terminals;
use crate::actions_api::{ActionsApi, ActionsHttp};
use crate::admin::Admin;
use crate::clock::Clock;
use crate::config::{Config, ConfigError, Tls};
use crate::exchange::Exchanges;
use crate::fleet::{self, Assignments, Boarding, Directory, Keeper, Queries, Settings, Upkeep};
use crate::http::host::Hosts;
use crate::http::listener::{Listener, Sockets};
use crate::http::peer::Proxies;
use crate::http::problem::Problem;
use crate::http::tls::{Certificate, TlsError};
use crate::ids;
use crate::management_api::{self, ManagementApi};
use crate::presence::Presence;
use crate::sale_api::SaleApi;
use crate::secrets::Secrets;
use crate::store::{OpenError, SqliteStore, Store};
use crate::terminal_link::TerminalLink;
use crate::terminal_link::board::BoardApi;
use crate::terminal_management_api::TerminalManagementApi;

/// How long terminals have to hear that the gateway stops, and the database to write what is queued.
const FAREWELL_MAX: Duration = Duration::from_secs(5);

/// How long `/readyz` waits for the store.
const READY_MAX: Duration = Duration::from_secs(2);

/// A gateway that takes requests. Dropping it cuts everything off; [`Running::stop`] does not.
#[derive(Debug)]
pub struct Running {
    http: SocketAddr,
    tls: Option<SocketAddr>,
    drain_max: Duration,
    admin: Admin,
    payments: Arc<Payments>,
    sockets: Sockets,
    links: CancellationToken,
    tasks: TaskTracker,
    cut: [DropGuard; 3],
    /// Held, not read.
    claim: File,
}

/// Why a gateway did not start. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The certificate or its key.
    #[error("HTTPS: {0}. Correct [tls] and start again")]
    Tls(TlsError),
    /// The data directory can't be made.
    #[error("cannot make the data directory {}: {problem}. Name another with data_dir or --data-dir", path.display())]
    DataDir {
        /// Which one.
        path: PathBuf,
        /// Why.
        problem: io::Error,
    },
    /// Another gateway runs on the same data.
    #[error("another gateway runs on {}: stop it, or name another directory with data_dir or --data-dir", .0.display())]
    DataDirTaken(PathBuf),
    /// The database can't be opened or read.
    #[error("{0}")]
    Database(String),
    /// Another program listens there.
    #[error("{0} is taken by another program")]
    PortTaken(SocketAddr),
    /// The address can't be listened at.
    #[error("cannot listen at {address}: {problem}. Name another address with listen or --listen")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        problem: io::Error,
    },
}

impl From<OpenError> for StartError {
    fn from(error: OpenError) -> StartError {
        StartError::Database(error.to_string())
    }
}

/// Starts a gateway: when this returns it takes requests.
///
/// # Errors
/// [`StartError`]; then nothing is left running.
pub async fn start(config: Config) -> Result<Running, StartError> {
    config.check()?;
    let certificate = config.tls.as_ref().map(Certificate::load).transpose().map_err(StartError::Tls)?;
    let plain = Listener::plain(config.listen).await.map_err(|error| cannot_listen(config.listen, error))?;
    let tls = match (&config.tls, &certificate) {
        (Some(Tls { listen, .. }), Some(certificate)) => {
            let offered = certificate.server_config().map_err(StartError::Tls)?;
            Some(Listener::tls(*listen, offered).await.map_err(|error| cannot_listen(*listen, error))?)
        }
        _ => None,
    };
    let address = |listener: &Listener| {
        listener.address().map_err(|problem| StartError::Listen { address: config.listen, problem })
    };
    let (http_address, tls_address) = (address(&plain)?, tls.as_ref().map(address).transpose()?);

    let clock = Clock::start();
    let store = open_store(&config, clock).await?;
    let secrets = Arc::new(Secrets::new(&config));
    let claim = claim(&config.data_dir)?;
    let facts = store.facts().await.map_err(|error| StartError::Database(error.to_string()))?;
    let tasks = TaskTracker::new();
    let links = CancellationToken::new();
    let listened: Vec<SocketAddr> = [Some(http_address), tls_address].into_iter().flatten().collect();
    let is_called_by_name =
        !config.behind_proxy.is_empty() || listened.iter().any(|address| address.ip().is_unspecified());
    if config.hosts.is_empty() && is_called_by_name {
        tracing::warn!(
            "hosts is not set: only calls that name this machine as localhost, or by its loopback address or one that it listens at, are answered"
        );
    }
    let sockets = Sockets::new(config.patience, Hosts::new(&config.hosts, &listened), clock);
    let per_terminal = usize::try_from(config.limits.exchanges_per_terminal).unwrap_or(usize::MAX);
    let presence = Presence::new(store.clone(), clock, facts, per_terminal, tasks.clone(), links.clone());
    let (app, payments) = build(&config, &store, &secrets, &presence, &sockets, &links, &tasks);
    payments.recover();
    if let Some(certificate) = certificate {
        sockets.tasks.spawn(certificate.follow(sockets.stop.clone()));
    }
    for listener in [Some(plain), tls].into_iter().flatten() {
        sockets.tasks.spawn(listener.serve(app.clone(), sockets.clone()));
    }
    let node = config.node.unwrap_or_else(|| ids::node_id(clock.now().wall));
    tracing::info!(
        node.id = %node,
        http = %http_address,
        https = tls_address.map(tracing::field::display),
        environment = ?config.environment,
        "started"
    );
    let cut = [&sockets.stop, &sockets.cut, &links].map(|token| token.clone().drop_guard());
    Ok(Running {
        http: http_address,
        tls: tls_address,
        drain_max: config.drain_max,
        admin: Admin::new(store, clock, secrets),
        payments,
        sockets,
        links,
        tasks,
        cut,
        claim,
    })
}

/// All surfaces, each with what it uses; and the payments of desktops, which go on without any.
fn build(
    config: &Config,
    store: &Arc<dyn Store>,
    secrets: &Arc<Secrets>,
    presence: &Arc<Presence>,
    sockets: &Sockets,
    links: &CancellationToken,
    tasks: &TaskTracker,
) -> (Router, Arc<Payments>) {
    let clock = presence.clock();
    let access = Arc::new(Access::new(store.clone(), clock, &config.limits));
    let directory = Arc::new(Directory::new(store.clone(), clock));
    let boarding = Arc::new(Boarding::new(store.clone(), clock));
    let keeper = Arc::new(Keeper::new(store.clone(), directory.clone(), presence.clone()));
    let assignments =
        Arc::new(Assignments::new(store.clone(), presence.clone(), keeper.clone(), tasks.clone()));
    let settings = Arc::new(Settings::new(store.clone(), directory.clone(), clock));
    look_after_fleet(store, presence, &settings, &keeper, &assignments, links, tasks);
    let proxies = Proxies(config.behind_proxy.clone());
    let per_key = config.limits.exchanges_per_key;
    let exchanges = Arc::new(Exchanges::new(presence.clone(), directory.clone(), per_key));
    let per_identity = if config.actions.single_connection { PerIdentity::One } else { PerIdentity::Any };
    let desktops = Desktops::new(per_identity);
    let payments = Payments::new(
        store.clone(),
        exchanges.clone(),
        presence.clone(),
        desktops.clone(),
        tasks.clone(),
        sockets.stop.clone(),
        links.clone(),
        per_key,
    );
    let sale_api = SaleApi {
        access: access.clone(),
        exchanges,
        directory: directory.clone(),
        presence: presence.clone(),
        payments: payments.clone(),
        body: config.patience.for_body(config.body_limit),
    };
    let terminal_link = TerminalLink {
        store: store.clone(),
        directory: directory.clone(),
        presence: presence.clone(),
        keeper: keeper.clone(),
        assignments: assignments.clone(),
        stopping: links.clone(),
        tasks: tasks.clone(),
        proxies: proxies.clone(),
        body_limit: config.body_limit,
        patience: config.patience,
    };
    let terminals = Arc::new(Terminals::new(store.clone(), directory.clone(), presence.clone()));
    let (telling, stopped) = (terminals.clone(), links.clone());
    tasks.spawn(async move { stopped.run_until_cancelled(telling.tell_changes(&desktops)).await });
    let passes = Arc::new(Passes::new(store.clone()));
    let (watching, stopped) = (passes.clone(), links.clone());
    tasks.spawn(async move { stopped.run_until_cancelled(watching.watch()).await });
    let actions = ActionsApi {
        access: access.clone(),
        passes,
        deliveries: Arc::new(Deliveries::new(store.clone(), boarding.clone(), clock)),
        directory: directory.clone(),
        presence: presence.clone(),
        keeper: keeper.clone(),
        terminals: terminals.clone(),
        payments: payments.clone(),
        settings: config.actions.clone(),
        stopping: links.clone(),
        tasks: tasks.clone(),
        proxies: proxies.clone(),
        body_limit: config.body_limit,
    };
    let actions_http = ActionsHttp {
        access: access.clone(),
        store: store.clone(),
        secrets: secrets.clone(),
        clock,
        terminals,
        payments: payments.clone(),
        body: config.patience.for_body(config.body_limit),
    };
    let board = BoardApi {
        boarding: boarding.clone(),
        presence: presence.clone(),
        proxies,
        tasks: tasks.clone(),
        patience: config.patience,
    };
    let terminal_management = TerminalManagementApi {
        access: access.clone(),
        queries: Queries::new(store.clone(), presence.clone()),
        assignments,
        settings: config.terminal_management.clone(),
        patience: config.patience,
        body_limit: config.body_limit,
    };
    let management = ManagementApi {
        access,
        boarding,
        settings,
        upkeep: Upkeep::new(store.clone(), presence.clone(), keeper, tasks.clone()),
        v1_booleans: config.terminal_management.v1_booleans,
        body: config.patience.for_body(management_api::BODY_MAX),
    };
    let health = Health { store: store.clone(), stopping: sockets.stop.clone() };
    let router = Router::new()
        .merge(sale_api.router())
        .merge(actions.router())
        .merge(actions_http.router())
        .merge(terminal_link.router())
        .merge(board.router())
        .merge(terminal_management.router())
        .merge(management.router())
        .merge(health.router())
        .fallback(nothing_here)
        .method_not_allowed_fallback(other_method);
    (router, payments)
}

/// The background work of the fleet, until the gateway stops.
fn look_after_fleet(
    store: &Arc<dyn Store>,
    presence: &Arc<Presence>,
    settings: &Arc<Settings>,
    keeper: &Arc<Keeper>,
    assignments: &Arc<Assignments>,
    links: &CancellationToken,
    tasks: &TaskTracker,
) {
    let (keeping, stopped) = (keeper.clone(), links.clone());
    tasks.spawn(async move { stopped.run_until_cancelled(keeping.keep()).await });
    let (following, settings, stopped) = (keeper.clone(), settings.clone(), links.clone());
    tasks.spawn(async move { stopped.run_until_cancelled(following.follow(&settings)).await });
    let (working, stopped) = (assignments.clone(), links.clone());
    tasks.spawn(async move { stopped.run_until_cancelled(working.work()).await });
    let (taking, stopped) = (assignments.clone(), links.clone());
    tasks.spawn(async move { stopped.run_until_cancelled(taking.take_confirmations()).await });
    let noting = fleet::note_activity(store.clone(), presence.clone(), links.clone());
    tasks.spawn(noting);
}

/// Opens the database in the data directory, which is made if it is not there, readable by its owner alone.
pub(crate) async fn open_store(config: &Config, clock: Clock) -> Result<Arc<dyn Store>, StartError> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(&config.data_dir)
        .map_err(|problem| StartError::DataDir { path: config.data_dir.clone(), problem })?;
    let path = config.database();
    let open = move || SqliteStore::open(&path, Arc::new(move || clock.now().wall));
    match tokio::task::spawn_blocking(open).await {
        Ok(store) => Ok(Arc::new(store?)),
        Err(error) => Err(StartError::Database(format!("opening the database was cut short: {error}"))),
    }
}

/// Two gateways on one database would each believe the other's terminals absent: only one may run. The operating system
/// ends the claim with the process, whatever ends that.
fn claim(data_dir: &Path) -> Result<File, StartError> {
    let problem = |problem| StartError::DataDir { path: data_dir.to_owned(), problem };
    let file = File::create(data_dir.join("gateway.lock")).map_err(problem)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StartError::DataDirTaken(data_dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(problem(error)),
    }
}

impl Running {
    /// Where it listens for plain HTTP, with the port that it got.
    pub fn http_address(&self) -> SocketAddr {
        self.http
    }

    /// Where it listens for HTTPS.
    pub fn tls_address(&self) -> Option<SocketAddr> {
        self.tls
    }

    /// The operator's hand in it.
    pub fn admin(&self) -> &Admin {
        &self.admin
    }

    /// Stops: takes no more requests, lets those under way finish for as long as the configuration allows, then tells
    /// the terminals and desktops (close code 1001), and returns when the database has written everything.
    pub async fn stop(self) {
        let Running { drain_max, payments, sockets, links, tasks, admin, cut: _cut, claim: _claim, .. } =
            self;
        sockets.stop.cancel();
        sockets.tasks.close();
        // Desktops wait for their payments as others wait for the answers to their requests.
        let drained = async { tokio::join!(sockets.tasks.wait(), payments.settled()) };
        if timeout(drain_max, drained).await.is_err() {
            tracing::warn!(
                drain_max_s = drain_max.as_secs(),
                connections = sockets.tasks.len(),
                "requests were cut off; their outcomes can be asked for with TransactionStatus, those of desktops are told later"
            );
            sockets.cut.cancel();
        }
        drop(payments);
        links.cancel();
        tasks.close();
        let ended = async {
            sockets.tasks.wait().await;
            tasks.wait().await;
            // The last owner of the store writes what is queued and closes the file, and waits for that.
            let _ = tokio::task::spawn_blocking(move || drop(admin)).await;
        };
        if timeout(FAREWELL_MAX, ended).await.is_err() {
            tracing::warn!(tasks = tasks.len(), "some links or writes did not end in time");
        }
    }
}

fn cannot_listen(address: SocketAddr, problem: io::Error) -> StartError {
    match problem.kind() {
        io::ErrorKind::AddrInUse => StartError::PortTaken(address),
        _ => StartError::Listen { address, problem },
    }
}

/// What operations ask.
struct Health {
    store: Arc<dyn Store>,
    stopping: CancellationToken,
}

impl Health {
    fn router(self) -> Router {
        Router::new().route("/healthz", get(alive)).route("/readyz", get(ready)).with_state(Arc::new(self))
    }
}

/// The process runs: restart it if this fails.
async fn alive() -> Response {
    ([(header::CACHE_CONTROL, "no-store")], "ok").into_response()
}

/// It takes requests: send it none if this fails. It works again by itself when its database does, so it need not be restarted.
async fn ready(State(health): State<Arc<Health>>) -> Response {
    if health.stopping.is_cancelled() {
        return Problem::try_again(StatusCode::SERVICE_UNAVAILABLE, "The gateway is stopping.")
            .into_response();
    }
    if !health.store.is_writable() {
        let problem =
            "The database can't be written: its disk is full, read-only, or fails. The log has the reason.";
        return Problem::try_again(StatusCode::SERVICE_UNAVAILABLE, problem).into_response();
    }
    match timeout(READY_MAX, health.store.facts()).await {
        Ok(Ok(_)) => ([(header::CACHE_CONTROL, "no-store")], "ready").into_response(),
        Ok(Err(_)) | Err(_) => {
            Problem::try_again(StatusCode::SERVICE_UNAVAILABLE, "The database does not answer.")
                .into_response()
        }
    }
}

async fn nothing_here() -> Problem {
    Problem::not_found("There is nothing at this path.")
}

/// `Allow` is added by the router.
async fn other_method() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "This path takes other methods; the header Allow lists them.",
    )
}
