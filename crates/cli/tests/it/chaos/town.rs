//! A gateway, some terminals that are connected to it over bad wires, and their tills.

use std::sync::Arc;
use std::time::Duration;

use relay::terminal::Execution;
use tokio::time::{sleep, timeout};

use super::till::{Counts, Manner, Till};
use super::violations::{Kind, Violation};
use super::wire::{Terminal, Wire};
use super::witness::{Witness, undecided};
use crate::dice::Dice;
use crate::gateway_process::{GatewayProcess, MERCHANT, Setup};
use crate::pos::{Pos, http_client};
use crate::proxy::Break;
use crate::terminal_process::TerminalProcess;

/// How long all terminals may take to connect when nothing is broken, on a machine that has much to do.
const CONNECTED_MAX: Duration = Duration::from_secs(60);

/// How long the last result may take to be handed in and settled.
const SETTLED_MAX: Duration = Duration::from_secs(60);

/// Between two looks at whether it is so.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Cardholders who are quick, but not so quick that nothing could happen meanwhile.
const QUICK: f64 = 0.03;

/// One whose nervous till repeats itself some dozen times meanwhile.
const SLOW: f64 = 8.0;

/// How large a town is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Terminals with quick cardholders; one more has a slow one.
    pub(crate) terminals: usize,
    /// At each of those; at the slow one there is one.
    pub(crate) tills: usize,
}

#[derive(Debug)]
pub(crate) struct Town {
    pub(crate) witness: Arc<Witness>,
    pub(crate) gateway: GatewayProcess,
    /// The first has a slow cardholder.
    pub(crate) terminals: Vec<TerminalAtWire>,
    pub(crate) tills_wire: Wire,
    pub(crate) counts: Arc<Counts>,
}

#[derive(Debug)]
pub(crate) struct TerminalAtWire {
    pub(crate) poi: String,
    pub(crate) process: TerminalProcess,
    pub(crate) wire: Wire,
}

impl Town {
    /// Open when all terminals are connected; until then the weather is fair.
    pub(crate) async fn open(size: Size, dice: &mut Dice, fault: Option<&'static str>) -> Town {
        let pois: Vec<String> = (0..=size.terminals).map(|number| format!("V400m-{number:09}")).collect();
        let setup = Setup { terminals: pois.clone(), log: "info", fault, ..Setup::default() };
        let gateway = GatewayProcess::set_up(setup).await;
        let witness = Arc::new(Witness::new());
        let mut terminals = Vec::new();
        for poi in pois {
            let at = Terminal { poi: poi.clone(), witness: witness.clone() };
            let wire = Wire::lay(gateway.address(), dice.roll(u64::MAX), Some(at)).await;
            let code = gateway.boarding_code(&poi).await;
            let cardholder = if terminals.is_empty() { SLOW } else { QUICK };
            let process = TerminalProcess::start(&wire.base_url(), &poi, &code, cardholder);
            terminals.push(TerminalAtWire { poi, process, wire });
        }
        let tills_wire = Wire::lay(gateway.address(), dice.roll(u64::MAX), None).await;
        let town = Town { witness, gateway, terminals, tills_wire, counts: Arc::default() };
        assert!(town.is_connected().await, "not all terminals have connected");
        town
    }

    /// Its tills, which are not selling yet.
    pub(crate) fn tills(&self, size: Size, dice: &mut Dice) -> Vec<Till> {
        let mut tills = Vec::new();
        for (index, terminal) in self.terminals.iter().enumerate() {
            let (count, manner) =
                if index == 0 { (1, Manner::Nervous) } else { (size.tills, Manner::Lively) };
            for _ in 0..count {
                let number = tills.len();
                tills.push(Till {
                    sale_id: format!("TILL-{number}"),
                    poi: terminal.poi.clone(),
                    // A hang-up that the wire is slow to pass on is not the gateway's to notice.
                    base_url: match manner {
                        Manner::Nervous => self.gateway.base_url(),
                        Manner::Lively => self.tills_wire.base_url(),
                    },
                    key: self.gateway.key().to_owned(),
                    witness: self.witness.clone(),
                    counts: self.counts.clone(),
                    dice: Dice(dice.roll(u64::MAX)),
                    manner,
                    http: http_client(),
                    number,
                    paid_with: Vec::new(),
                    last: 0,
                });
            }
        }
        tills
    }

    pub(crate) fn set_weather(&self, bad: bool) {
        self.terminals.iter().for_each(|terminal| terminal.wire.set_weather(bad));
        self.tills_wire.set_weather(bad);
    }

    /// Nothing is broken any more: everybody connects anew.
    pub(crate) fn clear_up(&mut self) -> Vec<Violation> {
        self.set_weather(false);
        self.tills_wire.sever(Break::Close);
        let mut found = Vec::new();
        for terminal in &mut self.terminals {
            if let Some(exit) = terminal.process.process().exit() {
                let text = format!("{}: {exit}", terminal.poi);
                found.push(Violation { kind: Kind::EndedByItself, at: self.witness.now(), text });
            }
            terminal.wire.sever(Break::Close);
            // Its next attempt to connect may be half a minute off; that of a new process is not.
            terminal.process.kill();
            terminal.process.cardholder_seconds = QUICK;
            terminal.process.start_again();
        }
        let panics = self.gateway.process().output().into_iter().filter(|line| line.contains("panicked"));
        found.extend(panics.map(|text| Violation {
            kind: Kind::EndedByItself,
            at: self.witness.now(),
            text,
        }));
        found
    }

    /// Waits until terminals have handed in what is left. What is still undecided then is for the judge to find.
    pub(crate) async fn come_to_rest(&self) -> Option<Violation> {
        let text = "a terminal did not come back".to_owned();
        let away = !self.is_connected().await;
        let database = self.gateway.database();
        let _ = timeout(SETTLED_MAX, async {
            while undecided(&database) > 0 {
                sleep(LOOK_EVERY).await;
            }
        })
        .await;
        self.witness.at_rest();
        away.then(|| Violation { kind: Kind::NotWelcomed, at: self.witness.now(), text })
    }

    /// Ends all processes, and returns what the terminals did with money.
    pub(crate) async fn close(&mut self) -> Vec<(String, Execution)> {
        self.gateway.stop().await;
        let mut executed = Vec::new();
        for terminal in &mut self.terminals {
            terminal.process.kill();
            let by_this = terminal.process.executions().into_iter();
            executed.extend(by_this.map(|execution| (terminal.poi.clone(), execution)));
        }
        executed
    }

    /// Waits until the gateway's list has all terminals; false when that takes too long.
    async fn is_connected(&self) -> bool {
        let asker = Pos::new(&self.gateway.base_url(), self.gateway.key(), &self.terminals[0].poi);
        let all = async {
            loop {
                let connected = asker.connected(MERCHANT).await.unwrap_or_default();
                if self.terminals.iter().all(|terminal| connected.contains(&terminal.poi)) {
                    return;
                }
                sleep(LOOK_EVERY).await;
            }
        };
        timeout(CONNECTED_MAX, all).await.is_ok()
    }
}
