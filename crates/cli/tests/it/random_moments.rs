//! Gateway, terminal and link die again and again at random moments, while a POS goes on selling and acts on what it is told.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::dice::Dice;
use crate::pos::{Heard, Pos};
use crate::process::until;
use crate::proxy::Break;
use crate::shop::Shop;

/// How long the POS goes on.
const OPENING_HOURS: Duration = Duration::from_secs(8);

/// Cardholders are quick, but not so quick that nothing could happen meanwhile.
const QUICK: f64 = 0.03;

/// How long each frame is on its way, so that one may be lost there.
const LATENCY: Duration = Duration::from_millis(15);

/// How long the terminal may take to come back after all that.
const SETTLED_MAX: Duration = Duration::from_secs(40);

/// One thing that a customer wants to pay for.
#[derive(Debug, Default)]
struct Sale {
    /// By ServiceID: all that was told about that request.
    told: BTreeMap<String, Vec<Heard>>,
    /// Nobody could say what became of it, so it was not tried again.
    for_a_person: bool,
}

/// How often what was done.
#[derive(Debug, Default)]
struct Sabotage {
    gateways_killed: usize,
    terminals_killed: usize,
    links_cut: usize,
}

#[tokio::test]
async fn at_whatever_moment_anything_dies_a_sale_is_paid_once_and_nobody_is_told_otherwise() {
    let seed = Dice::seed();
    let mut shop = Shop::open(QUICK).await;
    shop.proxy.slow_down(LATENCY);
    let (pos, closed) = (shop.pos.clone(), Cell::new(false));
    let (sales, sabotage) =
        tokio::join!(sell(&pos, Dice(seed), &closed), sabotage(&mut shop, Dice(!seed), &closed));
    shop.terminal.kill();
    shop.terminal.start_again();
    shop.is_connected().await;

    let executions = shop.terminal.executions();
    let executed = |service: &str| {
        executions.iter().filter(|e| e.service.as_ref().is_some_and(|id| id.as_str() == service)).count()
    };
    let (mut paid, mut for_a_person, mut requests) = (0, 0, 0);
    for (number, sale) in sales.iter().enumerate() {
        let mut times = 0;
        for (service, told) in &sale.told {
            let settled = until(format!("the result of {service} is handed in"), SETTLED_MAX, async || {
                let status = pos.ask_until_settled(service, SETTLED_MAX).await;
                (executed(service) == 0 || status == Heard::Success).then_some(status)
            })
            .await;
            for heard in told.iter().chain([&settled]) {
                let (is, what) = (
                    executed(service),
                    format!("seed {seed}, {service} of sale {number}: told {told:?}, {settled}"),
                );
                assert!(is == 0 || !heard.denies(), "false failure: {what}");
                assert!(is == 1 || *heard != Heard::Success, "false success: {what}");
            }
            times += executed(service);
        }
        assert!(times <= 1, "seed {seed}: executed twice: {sale:?}");
        assert!(times == 1 || sale.for_a_person, "seed {seed}: lost: {sale:?}");
        (paid, requests) = (paid + times, requests + sale.told.len());
        for_a_person += usize::from(sale.for_a_person);
    }
    assert!(
        shop.proxy.writes_per_delivery().values().all(|writes| *writes == 1),
        "seed {seed}: delivered twice"
    );
    let Sabotage { gateways_killed, terminals_killed, links_cut } = sabotage;
    println!(
        "{} sales in {requests} requests, while {gateways_killed} gateways and {terminals_killed} terminals were killed and \
         {links_cut} links cut: {paid} paid, {for_a_person} for a person to look at; executed twice 0, lost 0, false failure 0",
        sales.len()
    );
}

async fn sabotage(shop: &mut Shop, mut dice: Dice, closed: &Cell<bool>) -> Sabotage {
    let mut done = Sabotage::default();
    while !closed.get() {
        sleep(Duration::from_millis(dice.roll(400))).await;
        match dice.roll(5) {
            0 => {
                shop.gateway.kill();
                sleep(Duration::from_millis(dice.roll(50))).await;
                shop.gateway.start_again().await;
                done.gateways_killed += 1;
            }
            // Often enough that its pauses between two attempts to connect stay short.
            1 | 2 => {
                shop.terminal.kill();
                sleep(Duration::from_millis(dice.roll(50))).await;
                shop.terminal.start_again();
                done.terminals_killed += 1;
            }
            way => {
                shop.proxy.sever(if way == 3 { Break::Reset } else { Break::Close });
                done.links_cut += 1;
            }
        }
    }
    done
}

async fn sell(pos: &Pos, mut dice: Dice, closed: &Cell<bool>) -> Vec<Sale> {
    let (opened, mut sales) = (Instant::now(), Vec::new());
    while opened.elapsed() < OPENING_HOURS {
        let mut sale = Sale::default();
        let name = format!("sale-{}", sales.len());
        while !is_over(pos, &mut dice, &name, &mut sale).await {
            // The terminal may be away for a moment.
            sleep(Duration::from_millis(20)).await;
        }
        sales.push(sale);
    }
    closed.set(true);
    sales
}

/// One request for a sale, until it is clear what became of it. Says whether no other is to follow.
async fn is_over(pos: &Pos, dice: &mut Dice, name: &str, sale: &mut Sale) -> bool {
    let service = pos.fresh_service();
    let told = sale.told.entry(service.clone()).or_default();
    let mut heard = pos.pay(&service, name).await;
    let mut asked = false;
    loop {
        told.push(heard.clone());
        match heard {
            Heard::Success => return true,
            ref heard if heard.denies() => return false,
            Heard::NoResponse if asked => {
                sale.for_a_person = true;
                return true;
            }
            Heard::NoResponse | Heard::InProgress | Heard::Nothing | Heard::Status(503) => {}
            other => panic!("{service}: nobody expects {other}"),
        }
        sleep(Duration::from_millis(20)).await;
        asked = dice.roll(2) == 0;
        // A POS may ask, or send the very same once more: then it gets the answer of the first one.
        heard = if asked { pos.ask(&service).await } else { pos.pay(&service, name).await };
    }
}
