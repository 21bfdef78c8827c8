//! What Linux says about a process: CPU and memory.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// CPU time of a process, user and system, all its threads, also those that have ended. Exact to 10 ms.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the server has ended")?;
    let ticks = ticks(&stat).with_context(|| format!("cannot read /proc/{pid}/stat: {stat}"))?;
    let per_second = rustix::param::clock_ticks_per_second();
    Ok(Duration::from_secs(ticks) / u32::try_from(per_second).unwrap_or(100))
}

/// The fields `utime` and `stime`, added. The program's name before them may hold blanks and parentheses.
fn ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// CPU time of the threads that live, added by name. Exact to the nanosecond.
pub(crate) fn cpu_by_thread(pid: u32) -> Result<BTreeMap<String, Duration>> {
    let mut by_name = BTreeMap::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task")).context("the server has ended")? {
        let path = thread?.path();
        // A thread may end between the two reads.
        let (Ok(name), Ok(stat)) =
            (fs::read_to_string(path.join("comm")), fs::read_to_string(path.join("schedstat")))
        else {
            continue;
        };
        let nanos = stat.split_ascii_whitespace().next().and_then(|text| text.parse().ok()).unwrap_or(0);
        *by_name.entry(name.trim_end().to_owned()).or_default() += Duration::from_nanos(nanos);
    }
    Ok(by_name)
}

/// Memory that is this process's own and was written to, in bytes (`Private_Dirty`).
pub(crate) fn private_memory(pid: u32) -> Result<u64> {
    kilobytes(pid, "smaps_rollup", "Private_Dirty:")
}

/// All memory that a process has in use, its program included, in bytes (`VmRSS`).
pub(crate) fn resident_memory(pid: u32) -> Result<u64> {
    kilobytes(pid, "status", "VmRSS:")
}

fn kilobytes(pid: u32, file: &str, name: &str) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).context("the server has ended")?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix("kB"));
    let value: Option<u64> = value.and_then(|value| value.trim().parse().ok());
    Ok(value.with_context(|| format!("no {name} in /proc/{pid}/{file}"))? * 1024)
}

/// How many files a process has open.
pub(crate) fn open_files(pid: u32) -> Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd")).context("the server has ended")?.count())
}

/// The average number of running tasks over the last minute.
pub(crate) fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// One line about the machine: processor, cores, memory, kernel.
pub(crate) fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let value = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map_or("unknown", |(_, value)| value.trim()).to_owned()
    };
    let processor = value(&read("/proc/cpuinfo"), "model name");
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let kilobytes: u64 =
        value(&read("/proc/meminfo"), "MemTotal").trim_end_matches(" kB").parse().unwrap_or_default();
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{processor}, {cores} cores, {} GiB, Linux {}", kilobytes.div_ceil(1024 * 1024), kernel.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_are_found_behind_an_odd_name() {
        let stat = "77 (a b) c) S 1 77 77 0 -1 4194560 100 0 0 0 12 30 0 0 20 0 3 0 5 6 7";
        assert_eq!(ticks(stat), Some(42));
    }

    #[test]
    fn this_very_process_has_used_memory_and_files() {
        let pid = std::process::id();
        assert!(private_memory(pid).unwrap() > 0);
        assert!(resident_memory(pid).unwrap() > private_memory(pid).unwrap());
        assert!(open_files(pid).unwrap() > 2);
        assert!(!cpu_by_thread(pid).unwrap().is_empty());
        cpu(pid).unwrap();
    }
}
