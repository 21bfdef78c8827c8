//! Real processes: started, watched, stopped, killed. Whatever happens to a test, none outlives it, and what they wrote
//! is shown if it fails.

use std::fmt::Debug;
use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitOptions, getrlimit, kill_process, prlimit, waitpid,
};

/// Between two looks at a condition.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// One running program.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    output: Arc<Mutex<Vec<String>>>,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    /// Starts it; `name` stands before each line that it writes.
    pub(crate) fn start(name: impl Into<String>, command: &mut Command) -> Process {
        let name = name.into();
        Process::try_start(&name, command).unwrap_or_else(|error| panic!("{name} can't be started: {error}"))
    }

    /// The same for a program that may not be there.
    pub(crate) fn try_start(name: &str, command: &mut Command) -> std::io::Result<Process> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (name, output) = (name.to_owned(), Arc::default());
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let readers = [stdout.map(|out| collect(out, &output)), stderr.map(|err| collect(err, &output))];
        Ok(Process { name, child, output, readers: readers.into_iter().flatten().collect() })
    }

    /// The operating system's name for it.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has written this line; false if it ends without.
    pub(crate) async fn says(&mut self, line: &str) -> bool {
        until(format!("{} says {line}", self.name), Duration::from_secs(20), async || {
            let said = self.output().iter().any(|said| said == line);
            (said || self.exit().is_some()).then_some(said)
        })
        .await
    }

    /// Its lines so far, of both streams.
    pub(crate) fn output(&self) -> Vec<String> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends it at once: nothing that it holds in memory is saved.
    pub(crate) fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Stops it as [`Process::freeze`] does, without waiting until the last of its threads stands still.
    pub(crate) fn freeze_at_once(&self) {
        self.signal(Signal::STOP);
    }

    /// It gets no processor from here on, as on a machine that hangs; its sockets stay open.
    pub(crate) async fn freeze(&self) {
        self.signal(Signal::STOP);
        // The signal is sent at once, but on a busy machine some of its threads run on for a while.
        let (id, options) = (Pid::from_child(&self.child), WaitOptions::UNTRACED | WaitOptions::NOHANG);
        until(format!("{} stands still", self.name), Duration::from_secs(10), async || {
            let (_, status) = waitpid(Some(id), options).expect("a child of ours")?;
            assert!(status.stopped(), "it has ended");
            Some(())
        })
        .await;
    }

    /// It goes on after [`Process::freeze`].
    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// From here on no file of its own grows beyond this; without a limit, as far as the disk goes. It hears of it as of a
    /// full disk (`EFBIG` instead of `ENOSPC`), if it ignores SIGXFSZ.
    pub(crate) fn limit_files(&self, bytes: Option<u64>) {
        let own = getrlimit(Resource::Fsize);
        let limit = Rlimit { current: bytes.or(own.current), maximum: own.maximum };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Fsize, limit)
            .expect("a child of ours can be limited");
    }

    /// Asks it to stop, as Ctrl-C does.
    pub(crate) fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// Waits for it to end by itself.
    pub(crate) async fn ended(&mut self, within: Duration) -> ExitStatus {
        let what = format!("{} ends", self.name);
        until(&what, within, async || self.child.try_wait().expect("a child of ours")).await
    }

    /// How it has ended, if it has.
    pub(crate) fn exit(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child of ours")
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a child of ours can be signalled");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        if thread::panicking() {
            for line in self.output() {
                eprintln!("{}: {line}", self.name);
            }
        }
    }
}

/// Waits until `look` finds what it looks for.
///
/// # Panics
/// With `what` was awaited, when it is not there in time.
pub(crate) async fn until<T>(
    what: impl Debug,
    within: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + within;
    loop {
        // A look that hangs is over at the deadline, too.
        let left = deadline.saturating_duration_since(Instant::now());
        match tokio::time::timeout(left.max(LOOK_EVERY), look()).await {
            Ok(Some(found)) => return found,
            Ok(None) if Instant::now() < deadline => tokio::time::sleep(LOOK_EVERY).await,
            _ => panic!("not within {within:?}: {what:?}"),
        }
    }
}

fn collect(stream: impl Read + Send + 'static, output: &Arc<Mutex<Vec<String>>>) -> JoinHandle<()> {
    let output = output.clone();
    thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            output.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn shell(script: &str) -> Process {
        Process::start("sh", Command::new("sh").args(["-c", script]))
    }

    #[tokio::test]
    async fn lines_of_both_streams_are_kept() {
        let mut process = shell("echo out; echo err >&2; exit 3");
        assert_eq!(process.ended(Duration::from_secs(5)).await.code(), Some(3));
        let lines = until("both lines", Duration::from_secs(5), async || {
            Some(process.output()).filter(|lines| lines.len() == 2)
        });
        let mut lines = lines.await;
        lines.sort();
        assert_eq!(lines, ["err", "out"]);
    }

    #[tokio::test]
    async fn a_frozen_process_does_nothing_until_it_is_thawed() {
        let mut process = Process::start("sleep", Command::new("sleep").arg("60"));
        process.freeze().await;
        process.interrupt();
        assert_eq!(process.exit(), None);
        process.thaw();
        assert!(!process.ended(Duration::from_secs(5)).await.success(), "the signal ends it");
    }

    #[tokio::test]
    async fn nothing_outlives_its_owner() {
        let process = shell("trap '' INT TERM; echo ready; while :; do sleep 0.01; done");
        let ready = async || process.output().first().map(|_| ());
        until("it is ready", Duration::from_secs(5), ready).await;
        process.interrupt();
        let id = process.child.id();
        drop(process);
        assert!(!fs::exists(format!("/proc/{id}")).unwrap_or(true));
    }
}
