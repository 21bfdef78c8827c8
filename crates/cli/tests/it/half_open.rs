//! Links that are dead, and no end of which was told so: found by silence alone. It takes 40 s, so all of it runs at once.

use std::time::{Duration, Instant};

use tokio::task::LocalSet;

use crate::gateway_process::MERCHANT;
use crate::interruptions::{Table, link_cut};
use crate::pos::Heard;
use crate::process::until;
use crate::proxy::{Break, Side};
use crate::shop::{AT_ONCE, Shop};

/// What a machine that runs other tests as well may add to a time that is measured.
const SLACK: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_half_open_link_is_found_within_40_s_and_a_sale_is_paid_once_all_the_same() {
    let links = LocalSet::new();
    links
        .run_until(async {
            let mut table = Table::new();
            for action in ["deliver", "received", "result"] {
                table.add(link_cut(Side::Before, action, Break::Swallow));
            }
            tokio::join!(a_frozen_terminal(), table.finish());
        })
        .await;
}

/// A frozen terminal is missed in time, and back within a second of its hello.
async fn a_frozen_terminal() {
    let mut shop = Shop::open(AT_ONCE).await;
    shop.terminal.process().freeze().await;
    let frozen = Instant::now();

    let mut slowest = Duration::ZERO;
    let asked = until("whoever asks for it is told that it is gone", Duration::from_secs(20), async || {
        let asked = Instant::now();
        let is_connected = shop.pos.is_connected(MERCHANT).await?;
        slowest = slowest.max(asked.elapsed());
        (!is_connected).then(|| frozen.elapsed())
    })
    .await;
    let listed = until("the list is without it", Duration::from_secs(60), async || {
        shop.pos.connected(MERCHANT).await.filter(Vec::is_empty).map(|_| frozen.elapsed())
    })
    .await;

    let hellos = shop.proxy.seen("hello").len();
    shop.terminal.process().thaw();
    let thawed = Instant::now();
    shop.is_connected().await;
    let back = Instant::now();
    let hello =
        shop.proxy.seen("hello").get(hellos).and_then(|hello| hello.passed).expect("it said hello again");
    println!(
        "frozen terminal: asked itself, missed after {asked:.1?} (slowest answer {slowest:.1?}); in the list, missed after \
         {listed:.1?}; after it was thawed, hello after {:.0?}, listed {:.0?} later",
        hello - thawed,
        back - hello
    );
    assert!(slowest < Duration::from_secs(3) + SLACK, "a terminal that is asked has 3 s: {slowest:?}");
    assert!(asked < Duration::from_secs(5) + SLACK, "a sign of life is good for 2 s more: {asked:?}");
    assert!(listed < Duration::from_secs(40) + SLACK, "a half-open link is found within 40 s: {listed:?}");
    assert!(back - hello < Duration::from_secs(1), "it is back within 1 s of its hello");
    assert_eq!(shop.begin_to_pay().await.expect("a POS hears something"), Heard::Success);
}
