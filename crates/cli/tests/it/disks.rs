//! A disk that is full, and one that takes nothing at all: requests are refused clearly, nothing is half done, and service
//! comes back by itself as soon as it can.

use std::fs::{OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::gateway_process::{GatewayProcess, OTHER_POI, Setup};
use crate::pos::{Heard, http_client};
use crate::process::{Process, until};
use crate::shop::{AT_ONCE, FIRST, SALE, SECOND, Shop};

/// How soon service has to be back once there is room: the next try of the commit or of the database, or the next link of the
/// terminal, whose pause is half a minute at most.
const BACK_MAX: Duration = Duration::from_secs(45);

/// How long a result's commit is tried before the link is closed (E23), and then some.
const GIVEN_UP: Duration = Duration::from_secs(20);

/// How long a disk must take nothing to be used up: some times as long as the database's log needs to be moved, after which it is
/// written from its beginning.
const TAKES_NOTHING: Duration = Duration::from_secs(2);

/// How soon that must be so; there is room for some hundred payments.
const USED_UP_MAX: Duration = Duration::from_secs(60);

#[tokio::test]
async fn on_a_full_disk_requests_are_refused_clearly_and_service_returns_with_the_room() {
    let disk = SmallDisk::make().await;
    let setup = Setup { data_dir: disk.data_dir(), within: disk.within(), ..Setup::default() };
    let mut shop = Shop::open_with(setup, AT_ONCE).await;
    let mut result = shop.proxy.hold("result");
    let paying = shop.begin_to_pay();
    result.caught().await;

    disk.fill(&mut shop.gateway);
    is_used_up(&shop).await;
    is_refused_clearly(&shop).await;
    result.pass_on();
    assert_eq!(paying.await.expect("a POS hears something"), Heard::Success, "it is true, kept or not (E23)");
    assert_eq!(shop.proxy.seen("recorded").len(), 0, "nobody may forget what is on no disk");
    assert!(!shop.pos.ask(FIRST).await.denies());

    disk.free(&mut shop.gateway);
    is_back(&shop).await;
}

/// Nothing can be written for longer than a result's commit is tried: then the link goes, and the terminal hands the result in
/// once more.
#[tokio::test]
async fn a_disk_that_takes_nothing_for_long_costs_no_result_and_service_returns_with_it() {
    let mut shop = Shop::open(AT_ONCE).await;
    let mut result = shop.proxy.hold("result");
    let paying = shop.begin_to_pay();
    result.caught().await;

    shop.gateway.process().limit_files(Some(0));
    is_refused_clearly(&shop).await;
    result.pass_on();
    assert_eq!(paying.await.expect("a POS hears something"), Heard::Success);
    let hellos = shop.proxy.seen("hello").len();
    until("the link is given up, and the terminal says hello again", GIVEN_UP, async || {
        (shop.proxy.seen("hello").len() > hellos).then_some(())
    })
    .await;
    assert_eq!(shop.proxy.seen("recorded").len(), 0);
    is_refused_clearly(&shop).await;

    shop.gateway.process().limit_files(None);
    is_back(&shop).await;
}

#[tokio::test]
async fn a_database_that_may_not_be_written_is_refused_at_the_start_with_what_to_do() {
    let mut gateway = GatewayProcess::start().await;
    gateway.stop().await;
    let data_dir = gateway.database().parent().expect("it is in a directory").to_owned();
    let ended = read_only(&data_dir, |within| gateway.run_to_end(within));
    let told = String::from_utf8_lossy(&ended.stderr);
    assert!(!ended.status.success(), "{told}");
    assert!(told.contains("must be writable for the user who runs tillgate"), "{told}");
    // It has harmed nothing.
    gateway.start_again().await;
}

/// A payment is refused with what to do, reaches no terminal, and whoever asks whether the gateway is ready learns why.
async fn is_refused_clearly(shop: &Shop) {
    let delivered = shop.proxy.writes_per_delivery();
    let refused = shop.pos.call("/sync", &shop.pos.payment(SECOND, SALE), None).await;
    assert_eq!((refused.status, refused.retry_after.as_deref()), (503, Some("1")), "{}", refused.text);
    assert!(refused.text.contains("Repeat it with the same ServiceID"), "{}", refused.text);
    assert_eq!(shop.proxy.writes_per_delivery(), delivered, "nothing is delivered that is not on disk");
    let ready = http_client().get(format!("{}/readyz", shop.gateway.base_url())).send().await;
    let ready = ready.expect("it answers");
    assert_eq!(ready.status(), 503);
    let text = ready.text().await.expect("a whole answer");
    assert!(text.contains("The database can't be written"), "{text}");
}

/// Without a restart: the result is kept and acknowledged, the refused request is as good as before, and both ran once.
async fn is_back(shop: &Shop) {
    let ready = format!("{}/readyz", shop.gateway.base_url());
    until("the gateway is ready again", BACK_MAX, async || {
        http_client().get(&ready).send().await.ok().filter(|answer| answer.status() == 200)
    })
    .await;
    until("the result is on disk, and acknowledged", BACK_MAX, async || {
        (!shop.proxy.seen("recorded").is_empty()).then_some(())
    })
    .await;
    assert_eq!(shop.pos.ask(FIRST).await, Heard::Success);
    let paid = until("the same request is taken", BACK_MAX, async || {
        Some(shop.pos.pay(SECOND, SALE).await).filter(|heard| !matches!(heard, Heard::Status(503)))
    })
    .await;
    assert_eq!(paid, Heard::Success);
    assert_eq!((shop.executed(FIRST), shop.executed(SECOND)), (1, 1));
    assert!(shop.proxy.writes_per_delivery().values().all(|writes| *writes == 1), "delivered twice");
}

/// Payments for a terminal that is not there go on until no more is taken for a while: what the database and its log have
/// already is written anew now and then.
async fn is_used_up(shop: &Shop) {
    let absent = shop.gateway.pos(OTHER_POI);
    let mut taken = Instant::now();
    until("the disk takes nothing more", USED_UP_MAX, async || {
        let answer = absent.call("/sync", &absent.payment(&absent.fresh_service(), SALE), None).await;
        if answer.status != 503 {
            assert_eq!(answer.heard(), Heard::NotDelivered);
            taken = Instant::now();
        }
        (taken.elapsed() > TAKES_NOTHING).then_some(())
    })
    .await;
}

/// What `run` returns while nothing in this directory may be written: by the words of a command that it begins with, or, where
/// that can't be had, by the files' own modes.
fn read_only<T>(directory: &Path, run: impl FnOnce(&[String]) -> T) -> T {
    let script = "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\" && exec \"$@\"";
    let words = ["unshare", "--mount", "--map-root-user", "sh", "-c", script, &*directory.to_string_lossy()];
    let words = words.map(str::to_owned);
    let try_out = Command::new(&words[0]).args(&words[1..]).arg("true").output();
    if try_out.is_ok_and(|tried| tried.status.success()) {
        return run(&words);
    }
    let files =
        || std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("a file").path());
    let may_write = |mode| {
        for path in files().chain([directory.to_owned()]) {
            std::fs::set_permissions(path, Permissions::from_mode(mode)).expect("a file of ours");
        }
    };
    may_write(0o500);
    let ran = run(&[]);
    may_write(0o700);
    ran
}

/// A disk of a few megabytes that only the gateway sees: in a mount namespace of its own, which ends with its processes. Where
/// no such thing can be had, files that may not grow take its place.
struct SmallDisk {
    /// Holds the namespace.
    holder: Option<Process>,
    dir: TempDir,
}

impl SmallDisk {
    async fn make() -> SmallDisk {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--map-root-user", "sh", "-c"]);
        unshare.arg("mount -t tmpfs -o size=2m,mode=700 tmpfs \"$0\" && echo mounted && exec sleep 600");
        let mut holder = Process::try_start("small disk", unshare.arg(dir.path())).ok();
        if let Some(process) = &mut holder
            && !process.says("mounted").await
        {
            holder = None;
        }
        println!("the small disk is {}", if holder.is_some() { "a tmpfs" } else { "a limit to files" });
        SmallDisk { holder, dir }
    }

    fn data_dir(&self) -> Option<PathBuf> {
        self.holder.as_ref().map(|_| self.dir.path().join("data"))
    }

    /// What a command begins with that is to see it.
    fn within(&self) -> Vec<String> {
        let Some(holder) = &self.holder else { return Vec::new() };
        let id = holder.id().to_string();
        ["nsenter", "--user", "--preserve-credentials", "--mount", "--target", &id, "--"]
            .map(str::to_owned)
            .to_vec()
    }

    /// Leaves no room.
    fn fill(&self, gateway: &mut GatewayProcess) {
        let Some(filler) = self.filler() else { return gateway.process().limit_files(Some(0)) };
        let mut file = OpenOptions::new().create(true).append(true).open(filler).expect("a new file");
        while file.write_all(&[b'x'; 4096]).is_ok() {}
        while file.write_all(b"x").is_ok() {}
    }

    fn free(&self, gateway: &mut GatewayProcess) {
        match self.filler() {
            Some(filler) => std::fs::remove_file(filler).expect("the filler is there"),
            None => gateway.process().limit_files(None),
        }
    }

    /// A file on it, as this process sees it.
    fn filler(&self) -> Option<PathBuf> {
        let holder = self.holder.as_ref()?;
        let inside = self.dir.path().join("filler");
        Some(PathBuf::from(format!("/proc/{}/root{}", holder.id(), inside.display())))
    }
}
