//! Which cores the process may use.

/// A list of cores, as `taskset -c` takes it: `0`, `0,2`, `0-3`. Empty: all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cores(Vec<usize>);

impl std::str::FromStr for Cores {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected numbers of cores, for example 0 or 0,2-3";
        let mut cores = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| text.trim().parse::<usize>().map_err(|_no_number| EXPECTED);
            let (first, last) = (number(first)?, number(last)?);
            if first > last || last >= CORES_MAX {
                return Err(EXPECTED);
            }
            cores.extend(first..=last);
        }
        Ok(Self(cores))
    }
}

/// As many as the system's calls have bits for.
const CORES_MAX: usize = 1024;

/// Binds this process, whose threads have not begun, to these cores.
///
/// # Errors
/// The system refuses, for example because there is no such core.
#[cfg(target_os = "linux")]
pub(super) fn use_only(cores: &Cores) -> anyhow::Result<()> {
    use anyhow::Context as _;
    use rustix::thread::{CpuSet, sched_setaffinity};
    if cores.0.is_empty() {
        return Ok(());
    }
    let mut set = CpuSet::new();
    for core in &cores.0 {
        set.set(*core);
    }
    sched_setaffinity(None, &set).context("cannot bind the process to these cores")
}

/// Other systems have no such call behind a safe interface.
#[cfg(not(target_os = "linux"))]
pub(super) fn use_only(cores: &Cores) -> anyhow::Result<()> {
    anyhow::ensure!(cores.0.is_empty(), "--cores works on Linux only");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_listed_as_for_taskset() {
        assert_eq!("0".parse(), Ok(Cores(vec![0])));
        assert_eq!("0,2-4".parse(), Ok(Cores(vec![0, 2, 3, 4])));
        for wrong in ["", "a", "3-1", "0,", "0-100000"] {
            assert!(wrong.parse::<Cores>().is_err(), "{wrong}");
        }
    }
}
