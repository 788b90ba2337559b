//! What every server needs, whatever it speaks: workers, tasks, and the wish to end.

mod workers; // a runtime per core, or one pool
mod drain; // the wish to end, and waiting for the end

pub use drain::Drain;
#[cfg(any(feature = "http2", feature = "blocking"))]
pub(crate) use drain::DrainGuard;
pub(crate) use drain::Tasks;
pub use workers::Workers;
pub(crate) use workers::on_own_thread;
