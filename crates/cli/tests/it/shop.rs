//! A shop: a gateway, a terminal, and a till between which a payment runs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::gateway_process::{GatewayProcess, MERCHANT, POI, Setup};
use crate::pos::{Heard, Pos};
use crate::process::until;
use crate::proxy::Proxy;
use crate::terminal_process::TerminalProcess;

/// The first ServiceID, of the payment that is interrupted, and the one of the payment that may follow.
pub(crate) const FIRST: &str = "first";
pub(crate) const SECOND: &str = "second";

/// What is sold: both payments are for it.
pub(crate) const SALE: &str = "sale-1";

/// Cardholders who present their card at once, in the middle of what a test does, or not before it is over.
pub(crate) const AT_ONCE: f64 = 0.0;
pub(crate) const SOON: f64 = 1.5;
pub(crate) const LATER: f64 = 60.0;

/// A gateway, a terminal that is connected to it through a proxy, and a POS.
pub(crate) struct Shop {
    pub(crate) gateway: GatewayProcess,
    pub(crate) proxy: Proxy,
    pub(crate) terminal: TerminalProcess,
    pub(crate) pos: Arc<Pos>,
    pub(crate) opened: Instant,
}

impl Shop {
    /// Open when the terminal is connected. Its cardholders present a card after `cardholder_seconds`.
    pub(crate) async fn open(cardholder_seconds: f64) -> Shop {
        Shop::open_with(Setup::default(), cardholder_seconds).await
    }

    /// The same with another gateway than usual.
    pub(crate) async fn open_with(setup: Setup, cardholder_seconds: f64) -> Shop {
        let opened = Instant::now();
        let gateway = GatewayProcess::set_up(setup).await;
        let proxy = Proxy::start(gateway.address()).await;
        let code = gateway.boarding_code(POI).await;
        let terminal = TerminalProcess::start(&proxy.base_url(), POI, &code, cardholder_seconds);
        let pos = Arc::new(gateway.pos(POI));
        let shop = Shop { gateway, proxy, terminal, pos, opened };
        shop.is_connected().await;
        shop
    }

    /// Waits until the gateway's list has the terminal.
    pub(crate) async fn is_connected(&self) {
        until("the terminal is connected", Duration::from_secs(20), async || {
            self.pos.connected(MERCHANT).await?.contains(&self.pos.poi_id).then_some(())
        })
        .await;
    }

    /// The POS begins to pay.
    pub(crate) fn begin_to_pay(&self) -> JoinHandle<Heard> {
        let pos = self.pos.clone();
        tokio::spawn(async move { pos.pay(FIRST, SALE).await })
    }

    /// How often the payment with this ServiceID was executed, by the terminal's own journal.
    pub(crate) fn executed(&self, service: &str) -> usize {
        let is_of_it = |id: &Option<nexo::ServiceId>| id.as_ref().is_some_and(|id| id.as_str() == service);
        self.terminal.executions().iter().filter(|execution| is_of_it(&execution.service)).count()
    }
}
