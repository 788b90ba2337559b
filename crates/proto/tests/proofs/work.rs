//! A7: the work a peer causes grows with what it sends, never faster. Work is counted in bytes
//! allocated and in calls, which do not depend on the machine.

use allocation_counter::measure;
use bytes::Bytes;
use tidewire_proto::{
    Config, Role,
    handshake::{self, AcceptOptions, HeadLimits, HeadScanner, RequestHead},
};

use crate::wire::{connection, frame, receive};

/// Bytes that receiving `bytes` in pieces of `step` allocates in all.
fn allocated(bytes: &[u8], step: usize, config: &Config) -> u64 {
    let mut server = connection(Role::Server, config.clone());
    // The pieces themselves are copied by the test.
    let cost = measure(|| {
        let (messages, verdict) = receive(&mut server, bytes, step);
        assert!(verdict.is_ok(), "{verdict:?}");
        drop(messages);
    });
    cost.bytes_total
}

#[test]
fn a7_item_16_a_long_message_is_put_together_in_linear_work() {
    let mut config = Config::default();
    config.message_bytes_max = usize::MAX;
    config.frame_bytes_max = usize::MAX;
    config.fragments_max = u32::MAX;
    let cost = |len: usize| {
        let bytes = frame(Role::Server, 0x82, &vec![1; len]);
        allocated(&bytes, 64 << 10, &config)
    };
    let (small, large) = (cost(1 << 20), cost(100 << 20));
    assert!(
        large <= 150 * small,
        "100 times the bytes: {small} became {large}"
    );
}

#[test]
fn a7_tiny_fragments_and_single_bytes_are_taken_in_linear_work() {
    let mut config = Config::default();
    config.fragments_max = u32::MAX;
    let cost = |count: usize| {
        let fragments = frame(Role::Server, 0x00, b"x").repeat(count);
        let last = frame(Role::Server, 0x80, b"");
        let bytes = [frame(Role::Server, 0x02, b""), fragments, last].concat();
        allocated(&bytes, 1, &config)
    };
    let (small, large) = (cost(1000), cost(100_000));
    assert!(
        large <= 150 * small,
        "100 times the fragments: {small} became {large}"
    );
}

#[test]
fn a7_item_08_threat_01_cve_2023_43669_a_dripped_head_is_refused_at_the_limit_and_never_rescanned()
{
    // The scanner is given a head byte by byte; each call may look at the new byte and the three
    // before it. Were it to look at more, 20 MB would be 2 * 10^14 looks and never end.
    let limits = HeadLimits {
        bytes_max: 20 << 20,
        fields_max: 64,
    };
    let head = vec![b'a'; 20 << 20];
    let mut scanner = HeadScanner::default();
    for len in 1..=head.len() {
        assert_eq!(scanner.scan(&head[..len], limits), Ok(None));
    }
    let mut scanner = HeadScanner::default();
    let refused = (1..=head.len()).find(|len| {
        let scanned = scanner.scan(&head[..*len], HeadLimits::default());
        scanned.is_err()
    });
    assert_eq!(refused, Some((16 << 10) + 1), "with the default limits");
}

#[test]
fn item_08_threat_02_cve_2024_37890_ten_thousand_fields_are_refused() {
    for count in [0, 1, 64, 65, 128, 129, 5000, 10_000] {
        let fields = "X: y\r\n".repeat(count);
        let head = Bytes::from(format!("GET / HTTP/1.1\r\n{fields}\r\n"));
        let limits = HeadLimits {
            bytes_max: usize::MAX,
            ..HeadLimits::default()
        };
        let parsed = RequestHead::parse(head, limits);
        assert_eq!(parsed.is_ok(), count <= 64, "{count} fields");
    }
}

#[test]
fn threat_03_long_lists_of_subprotocols_and_extensions_cost_linear_memory() {
    let cost = |count: usize| {
        let list = vec!["a_protocol"; count].join(", ");
        let head = Bytes::from(format!(
            "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Protocol: {list}\r\nSec-WebSocket-Extensions: {list}\r\n\r\n"
        ));
        let limits = HeadLimits {
            bytes_max: usize::MAX,
            ..HeadLimits::default()
        };
        let head = RequestHead::parse(head, limits).unwrap();
        let options = AcceptOptions {
            subprotocols: &["wanted", "a_protocol"],
            ..AcceptOptions::default()
        };
        let cost = measure(|| {
            let accepted = handshake::accept(&head, options).unwrap();
            assert_eq!(accepted.subprotocol.as_deref(), Some("a_protocol"));
        });
        cost.bytes_total
    };
    let (small, large) = (cost(10), cost(6400));
    assert_eq!(
        small, large,
        "what the answer costs does not depend on the list"
    );
}
