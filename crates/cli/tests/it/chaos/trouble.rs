//! What goes wrong, again and again at random moments: processes die or stand still, links and connections break, the disk
//! is full.

use std::ops::AddAssign;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::town::{TerminalAtWire, Town};
use super::wire::Wire;
use super::witness::Witness;
use crate::dice::Dice;
use crate::gateway_process::GatewayProcess;
use crate::proxy::Break;

/// Between two troubles of a gateway, of a terminal and of a wire.
const GATEWAY_PAUSE_MS: u64 = 2_500;
const TERMINAL_PAUSE_MS: u64 = 500;
const WIRE_PAUSE_MS: u64 = 1_000;

/// One trouble of a terminal in so many is the slow one's.
const SPARED: u64 = 30;

/// How long a process lies dead.
const DEAD_MS: u64 = 60;

/// How long a process stands still: less than the 10 s that end a link.
const FROZEN_MS: u64 = 900;

/// How long the disk is full: less than the 10 s after which a result's link is closed, and often more than the 2 s that an
/// admission may take.
const FULL_MS: u64 = 3_000;

/// How often what was done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Troubles {
    pub(crate) gateways_killed: usize,
    pub(crate) terminals_killed: usize,
    pub(crate) gateways_frozen: usize,
    pub(crate) terminals_frozen: usize,
    pub(crate) disks_full: usize,
    pub(crate) links_severed: usize,
    pub(crate) tills_cut_off: usize,
}

impl AddAssign for Troubles {
    fn add_assign(&mut self, other: Troubles) {
        self.gateways_killed += other.gateways_killed;
        self.terminals_killed += other.terminals_killed;
        self.gateways_frozen += other.gateways_frozen;
        self.terminals_frozen += other.terminals_frozen;
        self.disks_full += other.disks_full;
        self.links_severed += other.links_severed;
        self.tills_cut_off += other.tills_cut_off;
    }
}

/// Makes trouble until the shops close: for the gateway, for terminals and for wires, all at once.
pub(crate) async fn make(town: &mut Town, mut dice: Dice, closed: &watch::Receiver<bool>) -> Troubles {
    let [of_gateway, of_terminals, of_wires] = [(); 3].map(|()| Dice(dice.roll(u64::MAX)));
    let Town { witness, gateway, terminals, tills_wire, .. } = town;
    let wires: Vec<_> =
        terminals.iter().map(|terminal| (terminal.poi.clone(), terminal.wire.clone())).collect();
    let (mut done, terminals, wires) = tokio::join!(
        for_gateway(gateway, witness, of_gateway, closed),
        for_terminals(terminals, witness, of_terminals, closed),
        for_wires(&wires, tills_wire, witness, of_wires, closed),
    );
    done += terminals;
    done += wires;
    done
}

async fn for_gateway(
    gateway: &mut GatewayProcess,
    witness: &Witness,
    mut dice: Dice,
    closed: &watch::Receiver<bool>,
) -> Troubles {
    let mut done = Troubles::default();
    while wait(GATEWAY_PAUSE_MS, &mut dice, closed).await {
        match dice.roll(6) {
            0..3 => {
                witness.note(None, "the gateway is killed");
                gateway.kill();
                sleep(Duration::from_millis(dice.roll(DEAD_MS))).await;
                gateway.start_again().await;
                done.gateways_killed += 1;
            }
            3 => {
                witness.note(None, "the gateway stands still");
                gateway.process().freeze_at_once();
                sleep(Duration::from_millis(dice.roll(FROZEN_MS))).await;
                gateway.process().thaw();
                done.gateways_frozen += 1;
            }
            _ => {
                witness.note(None, "the gateway's disk is full");
                gateway.process().limit_files(Some(0));
                sleep(Duration::from_millis(dice.roll(FULL_MS))).await;
                done.disks_full += 1;
                if dice.one_in(2) {
                    witness.note(None, "the gateway is killed while its disk is full");
                    gateway.kill();
                    gateway.start_again().await;
                    done.gateways_killed += 1;
                } else {
                    gateway.process().limit_files(None);
                }
            }
        }
        witness.note(None, "the gateway is as it should be");
    }
    done
}

async fn for_terminals(
    terminals: &mut [TerminalAtWire],
    witness: &Witness,
    mut dice: Dice,
    closed: &watch::Receiver<bool>,
) -> Troubles {
    let mut done = Troubles::default();
    while wait(TERMINAL_PAUSE_MS, &mut dice, closed).await {
        // Mostly one that has no link, for which it would wait longer each time; seldom the slow one, whose payments take longer
        // than any other lives.
        let quick = 1..terminals.len();
        let away: Vec<_> = quick.filter(|index| !witness.is_linked(&terminals[*index].poi)).collect();
        let index = if dice.one_in(SPARED) {
            0
        } else if away.is_empty() || dice.one_in(4) {
            1 + dice.index(terminals.len() - 1)
        } else {
            away[dice.index(away.len())]
        };
        let TerminalAtWire { poi, process, .. } = &mut terminals[index];
        if dice.one_in(5) {
            witness.note(Some(poi), "the terminal stands still");
            process.process().freeze_at_once();
            sleep(Duration::from_millis(dice.roll(FROZEN_MS))).await;
            process.process().thaw();
            done.terminals_frozen += 1;
        } else {
            witness.note(Some(poi), "the terminal is killed");
            process.kill();
            sleep(Duration::from_millis(dice.roll(DEAD_MS))).await;
            process.start_again();
            done.terminals_killed += 1;
        }
    }
    done
}

async fn for_wires(
    wires: &[(String, Wire)],
    tills_wire: &Wire,
    witness: &Witness,
    mut dice: Dice,
    closed: &watch::Receiver<bool>,
) -> Troubles {
    let mut done = Troubles::default();
    while wait(WIRE_PAUSE_MS, &mut dice, closed).await {
        if dice.one_in(4) {
            witness.note(None, "all tills are cut off");
            tills_wire.sever(if dice.one_in(2) { Break::Reset } else { Break::Close });
            done.tills_cut_off += 1;
            continue;
        }
        let how = match dice.roll(5) {
            0 => Break::Swallow,
            1 | 2 => Break::Reset,
            _ => Break::Close,
        };
        let (poi, wire) = &wires[dice.index(wires.len())];
        witness.note(Some(poi), format!("the link is {how}"));
        wire.sever(how);
        done.links_severed += 1;
    }
    done
}

/// Waits for a while; false when the shops have closed meanwhile.
async fn wait(below_ms: u64, dice: &mut Dice, closed: &watch::Receiver<bool>) -> bool {
    let mut closed = closed.clone();
    let pause = Duration::from_millis(dice.roll(below_ms));
    tokio::time::timeout(pause, closed.wait_for(|closed| *closed)).await.is_err()
}
