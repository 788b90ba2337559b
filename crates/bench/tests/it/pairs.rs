//! Messages that arrive, and what is said of them.

use tidewire_bench::pairs::{Benchmark, ClientReport, Silent, Transport};

use crate::{client, measured, server};

/// An echo or trace of 1 000 messages: each comes back once.
fn answered(benchmark: Benchmark, transport: Transport) -> ClientReport {
    let server = server(benchmark, transport);
    let settings = client(benchmark, transport, server.local_addr().port());
    let report = measured(&settings).expect("the server answers");
    server.stop(&mut Silent);
    assert_eq!(
        (report.errors, report.messages),
        (0, 1_000),
        "{transport:?}"
    );
    assert!(report.latencies.samples() > 0, "{transport:?}");
    report
}

/// A multicast of which each client takes its share of 1 000 messages, and perhaps more.
fn multicast(transport: Transport) {
    let server = server(Benchmark::Multicast, transport);
    let settings = client(Benchmark::Multicast, transport, server.local_addr().port());
    let report = measured(&settings).expect("the server sends");
    server.stop(&mut Silent);
    assert_eq!(report.errors, 0, "{transport:?}");
    assert!(
        report.messages >= 1_000,
        "{transport:?}: {}",
        report.messages
    );
    assert!(report.bytes >= report.messages * 32, "{transport:?}");
}

#[test]
fn every_message_to_a_websocket_echo_comes_back_once() {
    for transport in [Transport::Ws, Transport::Wss] {
        let report = answered(Benchmark::Echo, transport);
        assert_eq!(report.bytes, 32_000);
    }
}

#[test]
fn every_message_over_tcp_and_tls_comes_back_once() {
    for transport in [Transport::Tcp, Transport::Tls] {
        let report = answered(Benchmark::Echo, transport);
        assert_eq!(report.bytes, 32_000);
    }
}

#[test]
fn every_trace_request_is_answered_with_itself() {
    for transport in [Transport::Http, Transport::Https] {
        let report = answered(Benchmark::Trace, transport);
        // The head of the answer, and at least the 39 bytes of the original's request.
        assert!(report.bytes >= 106_000, "{}", report.bytes);
    }
}

#[test]
fn every_request_of_the_simple_protocol_is_responded_to_once() {
    let report = answered(Benchmark::Echo, Transport::Proto);
    assert_eq!(report.bytes, 40_000, "a response has 40 bytes");
}

#[test]
fn datagrams_come_back_and_lost_ones_are_replaced() {
    let report = answered(Benchmark::Echo, Transport::Udp);
    assert_eq!(report.bytes, 32_000);
}

#[test]
fn a_multicast_group_is_heard_by_every_client() {
    multicast(Transport::Udp);
}

#[test]
fn a_multicast_over_tcp_and_tls_reaches_every_client() {
    multicast(Transport::Tcp);
    multicast(Transport::Tls);
}

#[test]
fn a_websocket_multicast_reaches_every_client() {
    multicast(Transport::Ws);
    multicast(Transport::Wss);
}

#[test]
fn a_restarted_server_is_at_the_same_address_and_serves() {
    let mut server = server(Benchmark::Echo, Transport::Ws);
    let before = server.local_addr();
    server.restart(&mut Silent).expect("it starts again");
    assert_eq!(server.local_addr(), before);
    let settings = client(Benchmark::Echo, Transport::Ws, before.port());
    let report = measured(&settings).expect("the server answers");
    assert_eq!(report.messages, 1_000);
}

#[test]
fn an_open_loop_sends_at_its_rate_and_every_answer_is_timed() {
    let server = server(Benchmark::Echo, Transport::Ws);
    let mut settings = client(Benchmark::Echo, Transport::Ws, server.local_addr().port());
    settings.rate = Some(20_000);
    let report = measured(&settings).expect("the server answers");
    assert!(report.messages >= 1_000);
    assert!(report.latencies.samples() >= 1_000, "each is timed");
}
