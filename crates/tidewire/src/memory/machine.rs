//! How much memory this process may have, as far as the system tells.
//!
//! In: files of the system. Out: the smallest of the machine's memory, the limits of the control groups the process is in
//! (version 1 and 2, each with those above it), and the limit of its address space. Invariant: what cannot be read
//! or makes no sense is as if it were not there.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Bytes of memory that this process may use: the least of what the machine has (`MemTotal`), what the control groups it
/// is in allow (`memory.max`, `memory.limit_in_bytes`), and what its address space may still grow by (`RLIMIT_AS`).
/// `None` where the system tells none of these; Linux does.
pub fn machine_bytes() -> Option<u64> {
    bytes_under(Path::new("/"))
}

fn bytes_under(root: &Path) -> Option<u64> {
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    let machine = kibibytes(&read("proc/meminfo"), "MemTotal:");
    let taken = kibibytes(&read("proc/self/status"), "VmSize:").unwrap_or(0);
    let space = address_space(&read("proc/self/limits"));
    let space = space.map(|limit| limit.saturating_sub(taken));
    let groups = read("proc/self/cgroup");
    let groups = groups.lines().filter_map(|line| group(root, line));
    // A mount that is not where it usually is leaves the limit of the namespace's root.
    let namespace = ["memory.max", "memory/memory.limit_in_bytes"]
        .iter()
        .filter_map(|file| limit(&root.join("sys/fs/cgroup").join(file)));
    machine
        .into_iter()
        .chain(space)
        .chain(groups)
        .chain(namespace)
        .filter(|bytes| *bytes > 0)
        .min()
}

/// The limit of the control group that a line of `/proc/self/cgroup` names, or of one above it.
fn group(root: &Path, line: &str) -> Option<u64> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (controllers, path) = (parts.next()?, parts.next()?);
    let (mount, file) = if controllers.is_empty() {
        ("sys/fs/cgroup", "memory.max")
    } else if controllers.split(',').any(|name| name == "memory") {
        ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
    } else {
        return None;
    };
    let mount = root.join(mount);
    let relative: PathBuf = Path::new(path)
        .components()
        .filter(|part| matches!(part, std::path::Component::Normal(_)))
        .collect();
    let group = mount.join(relative);
    let above = group.ancestors().take_while(|it| it.starts_with(&mount));
    above.filter_map(|group| limit(&group.join(file))).min()
}

/// The number in a file; version 2 writes `max`, version 1 a number beyond any machine where there is no limit.
fn limit(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// A field of `/proc/meminfo` or `/proc/self/status`, in bytes.
fn kibibytes(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    let number: u64 = line.split_whitespace().next()?.parse().ok()?;
    number.checked_mul(1024)
}

/// The soft limit of the address space; `None`: unlimited.
fn address_space(limits: &str) -> Option<u64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max address space"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory that looks like a root with these files.
    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    const MEMINFO: (&str, &str) = ("proc/meminfo", "MemTotal:     1000 kB\nMemFree: 5 kB\n");

    /// The bytes told by the machine and these files.
    fn told(files: &[(&str, &str)]) -> Option<u64> {
        bytes_under(root(&[&[MEMINFO], files].concat()).path())
    }

    const MACHINE: Option<u64> = Some(1_024_000);
    const GROUP: &str = "proc/self/cgroup";

    #[test]
    fn without_limits_it_is_what_the_machine_has() {
        assert_eq!(told(&[]), MACHINE);
        assert_eq!(bytes_under(root(&[]).path()), None);
        let nonsense = [("proc/meminfo", "nonsense"), (GROUP, "nonsense\n:\n")];
        assert_eq!(bytes_under(root(&nonsense).path()), None);
    }

    #[test]
    fn a_group_of_version_2_is_bounded_by_itself_and_those_above_it() {
        let own = ("sys/fs/cgroup/a/b/memory.max", "500000\n");
        assert_eq!(told(&[(GROUP, "0::/a/b\n"), own]), Some(500_000));
        let none = ("sys/fs/cgroup/a/b/memory.max", "max\n");
        let above = ("sys/fs/cgroup/a/memory.max", "400000\n");
        assert_eq!(told(&[(GROUP, "0::/a/b\n"), none, above]), Some(400_000));
        // In a namespace of its own, or with a path of another one.
        let top = ("sys/fs/cgroup/memory.max", "300000\n");
        assert_eq!(told(&[(GROUP, "0::/\n"), top]), Some(300_000));
        assert_eq!(told(&[(GROUP, "0::/../../x\n"), top]), Some(300_000));
    }

    #[test]
    fn a_group_of_version_1_is_bounded_and_its_absurd_number_is_no_limit() {
        let group = (GROUP, "5:cpu,memory:/d\n0::/\n");
        let limit = ("sys/fs/cgroup/memory/d/memory.limit_in_bytes", "200000\n");
        assert_eq!(told(&[group, limit]), Some(200_000));
        let none = (
            "sys/fs/cgroup/memory/memory.limit_in_bytes",
            "9223372036854771712",
        );
        assert_eq!(told(&[(GROUP, "5:memory:/\n"), none]), MACHINE);
    }

    #[test]
    fn an_address_space_is_bounded_by_what_is_left_of_it() {
        let taken = ("proc/self/status", "Name: x\nVmSize:  100 kB\n");
        let limits = "Limit Soft Hard Units\nMax address space  800000  unlimited  bytes\n";
        assert_eq!(told(&[("proc/self/limits", limits), taken]), Some(697_600));
        let limits = "Max address space  unlimited  unlimited  bytes\n";
        assert_eq!(told(&[("proc/self/limits", limits), taken]), MACHINE);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_tells_something() {
        assert!(machine_bytes().is_some_and(|bytes| bytes > 1 << 20));
    }
}
