//! What to say when a port is taken.

use std::fs;
use std::net::SocketAddr;

use gateway::StartError;

/// The error as a person at a terminal needs it. `free` says how to take another port.
pub(crate) fn explain(error: StartError, free: &str) -> anyhow::Error {
    match error {
        StartError::PortTaken(address) => {
            let port = address.port();
            let holder =
                holder(address).unwrap_or_else(|| "another program, perhaps another tillgate".to_owned());
            anyhow::anyhow!(
                "port {port} on {} is taken by {holder}\n  see who it is:    ss -ltnp 'sport = :{port}'\n  take another one: {free}",
                address.ip()
            )
        }
        StartError::Listen { address, problem } if problem.kind() == std::io::ErrorKind::PermissionDenied => {
            anyhow::anyhow!("not allowed to listen at {address}: ports below 1024 are for root. {free}")
        }
        error => error.into(),
    }
}

/// Who listens there, as far as the system tells: `process 4711 (node)`.
fn holder(address: SocketAddr) -> Option<String> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|file| {
        let table = fs::read_to_string(file).ok()?;
        listening_inode(&table, address.port())
    })?;
    let wanted = format!("socket:[{inode}]");
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Ok(files) = fs::read_dir(process.path().join("fd")) else { continue };
        let holds =
            files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|to| to.as_os_str() == &*wanted));
        if holds {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("process {} ({})", process.file_name().display(), name.trim()));
        }
    }
    None
}

/// The inode of the socket that listens at this port, in a table as `/proc/net/tcp` has it.
fn listening_inode(table: &str, port: u16) -> Option<u64> {
    const LISTENING: &str = "0A";
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (_, local_port) = fields.get(1)?.rsplit_once(':')?;
        let at_port = u16::from_str_radix(local_port, 16).is_ok_and(|p| p == port);
        if at_port && *fields.get(3)? == LISTENING { fields.get(9)?.parse().ok() } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listener_is_found_among_other_sockets() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000  1000        0 111 1 0 20 4 30 10 -1\n\
             1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 222 1 0 100 0 0 10 0\n";
        assert_eq!(listening_inode(table, 8080), Some(222));
        assert_eq!(listening_inode(table, 8081), None);
    }
}
