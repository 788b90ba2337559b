//! The benchmark pairs of `CppServer`: the same parameters, defaults and report, with true counts, latencies, and the cost
//! to both ends.
//!
//! A [`Pair`] is a server ([`PairServer`]) and a client ([`run`]) of one transport; the two may be different programs,
//! ours and the original. What a client found is a [`ClientReport`].

mod scenario; // which pairs, and what they are told
mod units; // times and sizes as the original prints them
mod progress; // what is said meanwhile
mod latency; // which messages are timed, and how
mod meter; // what one client counts
mod report; // the result as text and JSON
mod client; // the client of each pair
mod server; // the server of each pair
pub mod table; // all scenarios, beside the published figures and the original

pub use client::{RunError, run};
pub use latency::Latencies;
pub use progress::{Progress, Silent};
pub use report::{ClientReport, client_parameters, server_parameters, server_usage};
pub use scenario::{
    Benchmark, ClientSettings, IdentityFiles, NoSuchPair, Pair, ServerSettings, Transport,
};
pub use server::{PairServer, ServeError};
pub use units::{DataSize, TimePeriod};

/// The number of threads that `CppServer`'s programs have by default: one per physical core.
pub fn default_threads() -> usize {
    num_cpus::get_physical().max(1)
}
