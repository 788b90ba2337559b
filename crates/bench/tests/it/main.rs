//! Every pair, its server and its client in one process: a small, fixed number of messages, so that nothing depends on
//! the clock.
#![forbid(unsafe_code)]

mod pairs; // what arrives, and what is said of it
mod trouble; // servers that are missing, silent or gone

use std::time::Duration;

use tidewire_bench::pairs::{
    Benchmark, ClientReport, ClientSettings, Pair, PairServer, RunError, ServerSettings, Silent,
    Transport, run,
};

/// A guard against waiting for ever, not a time that anything should take.
const GUARD: u64 = 60;

/// A server of a pair on a port that is free.
fn server(benchmark: Benchmark, transport: Transport) -> PairServer {
    let pair = Pair::new(benchmark, transport).expect("there is such a pair");
    let settings = ServerSettings {
        pair,
        address: if pair.is_group() {
            pair.default_address().to_owned()
        } else {
            "127.0.0.1".to_owned()
        },
        port: if pair.is_group() { free_port() } else { 0 },
        threads: 2,
        rate: 10_000,
        size: 32,
        interface: "127.0.0.1".to_owned(),
        identity: None,
    };
    PairServer::start(&settings, &mut Silent).expect("the server starts")
}

/// The task of a client of a server at `port`: 3 clients on 2 threads, 1 000 messages in all.
fn client(benchmark: Benchmark, transport: Transport, port: u16) -> ClientSettings {
    let pair = Pair::new(benchmark, transport).expect("there is such a pair");
    ClientSettings {
        pair,
        address: pair.default_address().to_owned(),
        port,
        threads: 2,
        clients: 3,
        in_flight: 10,
        size: 32,
        seconds: GUARD,
        messages_total: Some(1_000),
        rate: None,
        timeout: Duration::from_secs(GUARD),
        interface: "127.0.0.1".to_owned(),
        ca: None,
    }
}

fn measured(settings: &ClientSettings) -> Result<ClientReport, RunError> {
    run(settings, &mut Silent)
}

/// A port that nobody has: somebody had it, and has gone.
fn free_port() -> u16 {
    let socket = std::net::UdpSocket::bind(("127.0.0.1", 0)).expect("a free port");
    socket.local_addr().expect("an address").port()
}
