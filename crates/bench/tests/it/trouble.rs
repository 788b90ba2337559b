//! Servers that are missing, silent or gone.

use std::{net::TcpListener, thread, time::Duration};

use tidewire_bench::pairs::{Benchmark, RunError, Transport};

use crate::{client, measured};

/// A port at which nobody listens: somebody did, and has gone.
fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}

#[test]
fn a_missing_server_is_an_error_that_names_it() {
    let mut settings = client(Benchmark::Echo, Transport::Ws, free_port());
    settings.timeout = Duration::from_millis(100);
    let error = measured(&settings).expect_err("nobody is there");
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("no server at 127.0.0.1:{} (ws): ", settings.port)),
        "{text}"
    );
}

#[test]
fn a_server_that_never_answers_is_an_error() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let mut settings = client(Benchmark::Echo, Transport::Ws, port);
    settings.timeout = Duration::from_millis(100);
    let error = measured(&settings).expect_err("it says nothing");
    assert!(matches!(error, RunError::Unreachable { .. }), "{error}");
}

#[test]
fn a_server_that_closes_every_connection_is_an_error() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    // Ends with the test's process, in which nobody waits for it.
    thread::spawn(move || listener.incoming().for_each(drop));
    let mut settings = client(Benchmark::Echo, Transport::Ws, port);
    settings.timeout = Duration::from_millis(100);
    assert!(measured(&settings).is_err());
}

#[test]
fn more_clients_than_descriptors_are_refused_before_any_connects() {
    let mut settings = client(Benchmark::Echo, Transport::Tcp, free_port());
    // More than any system lets a process have.
    settings.clients = 1 << 40;
    let error = measured(&settings).expect_err("nobody can have so many");
    let text = error.to_string();
    assert!(
        text.contains("descriptors") && text.contains("-c"),
        "{text}"
    );
}
