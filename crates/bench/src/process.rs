//! A process as the system sees it: its CPU time, its memory, its sockets. Linux only; elsewhere nothing is known.

use std::{fs, net::IpAddr, path::PathBuf, time::Duration};

/// Processor time and memory of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time, user and system. From one [`of`](Self::of): since its start.
    pub cpu: Duration,
    /// Resident memory in bytes.
    pub resident: u64,
}

impl Usage {
    /// Of a process that runs.
    pub fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        Some(Self {
            cpu: cpu(&stat)?,
            resident: resident(&status)?,
        })
    }

    /// Of this process.
    pub fn own() -> Option<Self> {
        Self::of(std::process::id())
    }

    /// The processor time since `earlier`, and the memory of now.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(earlier.cpu),
            resident: self.resident,
        }
    }
}

/// User and system time in the text of `/proc/<pid>/stat`.
fn cpu(stat: &str) -> Option<Duration> {
    /// Fixed by the Linux user-space interface: a tick is a hundredth of a second.
    const MILLIS_PER_TICK: u64 = 10;
    // Fields are counted behind the closing parenthesis: the name may contain blanks.
    let (_name, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (times.next()?.parse().ok()?, times.next()?.parse().ok()?);
    Some(Duration::from_millis((user + system) * MILLIS_PER_TICK))
}

/// Resident bytes in the text of `/proc/<pid>/status`.
fn resident(status: &str) -> Option<u64> {
    let value = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = value.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// The use of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketKind {
    /// TCP connections.
    Listener,
    /// Datagrams.
    Datagram,
}

/// The process on this machine that serves `port`, if `address` is one of this machine's loopback and the process may
/// be looked at.
pub fn serving(address: IpAddr, port: u16, kind: SocketKind) -> Option<u32> {
    if !address.is_loopback() {
        return None;
    }
    let tables: [&str; 2] = match kind {
        SocketKind::Listener => ["/proc/net/tcp", "/proc/net/tcp6"],
        SocketKind::Datagram => ["/proc/net/udp", "/proc/net/udp6"],
    };
    let inode = tables
        .into_iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .find_map(|table| inode(&table, port, kind).map(str::to_owned))?;
    let link = PathBuf::from(format!("socket:[{inode}]"));
    let pids = fs::read_dir("/proc").ok()?.filter_map(|entry| {
        let name = entry.ok()?.file_name();
        name.to_str()?.parse::<u32>().ok()
    });
    pids.into_iter().find(|pid| {
        let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else {
            return false;
        };
        open.filter_map(Result::ok)
            .any(|file| fs::read_link(file.path()).is_ok_and(|target| target == link))
    })
}

/// The number of the socket in a table of `/proc/net`.
fn inode(table: &str, port: u16, kind: SocketKind) -> Option<&str> {
    // The state of a listener, and of a datagram socket that is not connected (include/net/tcp_states.h).
    let state = match kind {
        SocketKind::Listener => "0A",
        SocketKind::Datagram => "07",
    };
    let port = format!(":{port:04X}");
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace();
        let (local, _remote) = (fields.nth(1)?, fields.next()?);
        let is_it = local.ends_with(&port) && fields.next()? == state;
        fields.nth(5).filter(|_inode| is_it)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_memory_are_read_from_the_systems_texts() {
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194560 100 0 0 0 150 25 0 0 20 0 4 0 100 1 2";
        assert_eq!(cpu(stat), Some(Duration::from_millis(1_750)));
        assert_eq!(cpu("nonsense"), None);
        assert_eq!(resident("Name:\ta\nVmRSS:\t    12 kB\n"), Some(12 * 1024));
        assert_eq!(resident("Name:\ta\n"), None);
    }

    #[test]
    fn the_number_of_a_listening_socket_is_read_from_the_systems_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             \x20  0: 0100007F:0457 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 7 1\n\
             \x20  1: 00000000:0457 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1234 1\n";
        assert_eq!(inode(table, 1111, SocketKind::Listener), Some("1234"));
        assert_eq!(inode(table, 1112, SocketKind::Listener), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_process_behind_a_port_is_found() {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let found = serving(address.ip(), address.port(), SocketKind::Listener);
        assert_eq!(found, Some(std::process::id()));
        assert!(Usage::own().is_some_and(|usage| usage.resident > 0));
        let outside = IpAddr::from([192, 0, 2, 1]);
        assert_eq!(serving(outside, address.port(), SocketKind::Listener), None);
    }
}
