//! Chaos: a gateway and several terminals, all real processes, real files and real sockets, are killed, frozen, cut off and
//! starved of disk at random moments, while tills go on selling and act on what they are told.
//!
//! Everything that can be seen from outside is written down ([`witness`]): what tills sent and heard, the frames on the
//! terminals' links, what the terminals did by their own journals, and the ledger in the end. The judge, who shares no type
//! with the code, says from that whether everybody was told the truth about every sale; beside it stand some
//! [`violations`] of other promises.
//!
//! `cargo xtask test` runs it for some seconds; `cargo xtask chaos --minutes N` for as long as one likes, with a release
//! build; `cargo xtask chaos --fault NAME` against a gateway with a deliberate fault, until the fault is found. What
//! happens when is cast from a seed, but as processes and the machine take their own time a seed repeats the same troubles
//! rather than the same run.

mod overheard;
mod report;
mod till;
mod town;
mod trouble;
mod violations;
mod wire;
mod witness;

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::dice::Dice;
use report::{Progress, Report};
use town::{Size, Town};

/// How long tills sell in the run that every test run has.
const SHORT: Duration = Duration::from_secs(8);

/// How long a round of a long run sells: afterwards everything comes to rest and is judged, and the next one begins anew.
const ROUND: Duration = Duration::from_secs(60);

/// The same while a fault is looked for, so that it is soon seen to be found.
const ROUND_WITH_FAULT: Duration = Duration::from_secs(15);

/// What the environment asks for.
#[derive(Debug)]
struct Orders {
    /// How long to go on, in rounds; otherwise there is one short round.
    minutes: Option<f64>,
    /// A deliberate fault of the gateway, which is to be found within that time.
    fault: Option<&'static str>,
    seed: u64,
}

impl Orders {
    fn read() -> Orders {
        let minutes = std::env::var("TILLGATE_CHAOS_MINUTES").ok();
        Orders {
            minutes: minutes.map(|minutes| minutes.parse().expect("TILLGATE_CHAOS_MINUTES is a number")),
            fault: std::env::var("TILLGATE_CHAOS_FAULT").ok().map(|name| &*name.leak()),
            seed: Dice::seed(),
        }
    }

    fn round(&self) -> (Duration, Size) {
        match (&self.minutes, &self.fault) {
            (_, Some(_)) => (ROUND_WITH_FAULT, Size { terminals: 4, tills: 2 }),
            (Some(_), None) => (ROUND, Size { terminals: 6, tills: 2 }),
            (None, None) => (SHORT, Size { terminals: 3, tills: 2 }),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_breaks_at_any_moment_every_sale_is_paid_once_and_nobody_is_told_otherwise() {
    let orders = Orders::read();
    let (begun, (hours, size)) = (Instant::now(), orders.round());
    let until = Duration::from_secs_f64(orders.minutes.unwrap_or(0.0) * 60.0);
    let (mut seed, mut sum) = (orders.seed, Report::default());
    loop {
        let round = round(hours, size, seed, orders.fault, orders.minutes.is_some()).await;
        if orders.minutes.is_some() {
            println!("[{:5.0} s] seed {seed}: {}", begun.elapsed().as_secs_f64(), round.in_short());
        }
        sum.add(round);
        if sum.found_something() || begun.elapsed() >= until {
            break;
        }
        seed = Dice(seed).roll(u64::MAX);
    }
    println!("{sum}");
    match orders.fault {
        None if sum.found_something() => {
            let commit = std::env::var("TILLGATE_COMMIT").unwrap_or_default();
            panic!("found with seed {seed} {commit}: see above");
        }
        None => {}
        Some(fault) => {
            assert!(sum.found_something(), "{fault} was not found with seed {}", orders.seed);
            println!(
                "{fault}: found after {} payments, {:.0} s, by {}",
                sum.payments(),
                begun.elapsed().as_secs_f64(),
                sum.found_by()
            );
        }
    }
}

/// Opens a town, lets everything go wrong in it, and judges it when it has come to rest.
async fn round(hours: Duration, size: Size, seed: u64, fault: Option<&'static str>, shows: bool) -> Report {
    let mut dice = Dice(seed);
    let mut town = Town::open(size, &mut dice, fault).await;
    let (close, closed) = watch::channel(false);
    let mut selling = JoinSet::new();
    for till in town.tills(size, &mut dice) {
        selling.spawn(till.sell(closed.clone()));
    }
    town.set_weather(true);
    let progress = Progress::of(&town.counts, shows);
    let clock = async {
        sleep(hours).await;
        close.send_replace(true);
    };
    let (troubles, ()) = tokio::join!(trouble::make(&mut town, dice, &closed), clock);
    let mut found = town.clear_up();
    let tills = selling.join_all().await;
    found.extend(town.come_to_rest().await);
    let mut asking = JoinSet::new();
    for till in tills {
        asking.spawn(till.have_the_last_word());
    }
    found.extend(asking.join_all().await.into_iter().flatten());
    drop(progress);
    let executed = town.close().await;
    let rows = witness::rows(&town.gateway.database());
    let log = town.witness.testify(executed, rows);
    found.extend(violations::of(&log, &town.witness.links()));
    Report::of(&town, troubles, found, &log)
}
