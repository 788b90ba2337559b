//! How many connections the process can hold.
//!
//! In: the system's limit of file descriptors, raised as far as it allows. Out: a number of
//! connections that leaves room for the store, the listeners and a little more.

/// Descriptors kept free for everything that is no connection.
const KEPT_FREE_MIN: u64 = 32;

/// The most connections to accept when the configuration names no limit. Raises the limit of
/// descriptors.
pub fn connections_max() -> usize {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(descriptors) => usize::try_from(leave_room(descriptors)).unwrap_or(usize::MAX),
        Err(error) => {
            tracing::warn!(%error, "the limit of file descriptors is unknown: connections are not limited");
            usize::MAX
        }
    }
}

/// Nine tenths, and at least the minimum kept free.
fn leave_room(descriptors: u64) -> u64 {
    (descriptors - descriptors / 10)
        .min(descriptors.saturating_sub(KEPT_FREE_MIN))
        .max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_and_at_least_the_minimum_is_kept_free() {
        assert_eq!(
            [20_000, 1024, 256, 40, 8].map(leave_room),
            [18_000, 922, 224, 8, 1]
        );
    }
}
