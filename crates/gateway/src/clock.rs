//! What time it is.

/// The time, as upstreams are judged by it; virtual in tests.
pub(crate) fn now() -> std::time::Instant {
    tokio::time::Instant::now().into_std()
}
