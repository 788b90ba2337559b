//! Behaviour of the `tidewire` binary: real processes, real sockets, real disks.
//!
//! The store-fault tests need Linux, root (to mount a small disk) and strace; they fail with a
//! clear message where these are missing, because a promise about disks that nobody tests is
//! not kept for long.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    reason = "seeds and sums belong to a test's output"
)]

// What the tests are made of.
mod program; // the binary, run to its end
mod server; // the server as a process of its own
mod rest; // a plain client of the REST API
mod secrets; // what the program must never say
mod tokens; // made, and looked into
mod peer; // a WebSocket client that knows envelopes
mod random; // seeded choices
mod identity; // certificates made on the spot
mod ledger; // what was promised, what arrived

// What is tested.
mod usage; // help, version, exit codes, configuration commands
mod wsserver; // in the place of wsserver
mod certs; // certificates that others take
mod serve; // ready, stop, what stands in the way
mod gateway; // the gateway: start, reload, stop
mod access_log; // who came, and what became of it
mod metrics; // as documented, in both programs
mod reload; // renewed certificates and other settings, in both programs
mod reload_under_load; // a hundred of them
mod through_gateway; // what a client behind the gateway has not proved comes again
#[cfg(unix)]
mod systemd; // what the service manager is told
mod bench; // load: a server and its client
mod operator; // messages sent and followed, status, completions, man pages
mod chat; // the chat, from a script
mod terminal; // the chat, at a terminal
mod crash; // SIGKILL at any instant loses nothing accepted
#[cfg(unix)]
mod handover; // a new process in the place of the old one
mod events; // nor an event of it
mod disk_failure; // a failed fsync is the end of accepting
mod file_systems; // data directories on file systems that lack something
mod store; // copies and looks beside a server
mod disk_full; // a full disk refuses, and heals

use std::time::Duration;

/// A guard against waiting for ever, not a time that anything should take.
const GUARD: Duration = Duration::from_mins(1);

/// Runs a test's future on a runtime with two threads, within the guard.
fn run<F: Future>(test: F) -> F::Output {
    run_within(GUARD, test)
}

fn run_within<F: Future>(guard: Duration, test: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        tokio::time::timeout(guard, test)
            .await
            .unwrap_or_else(|_elapsed| panic!("not done within {guard:?}"))
    })
}
