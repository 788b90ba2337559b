//! What a hostile peer makes us keep: counted, not estimated.

use allocation_counter::measure;
use tidewire_proto::{Config, Event, Role};

use crate::wire::{connection, frame, header, receive, sent};

#[test]
fn item_09_threat_04_cve_2022_35922_cve_2026_1528_an_announced_length_reserves_nothing() {
    for role in [Role::Server, Role::Client] {
        for len in [1_u64 << 7, 15 << 20, 16 << 20] {
            let mut connection = connection(role, Config::default());
            let mut bytes = header(role, 0x82, len);
            let cost = measure(|| {
                let (_, event) = connection.receive(&mut bytes);
                assert!(matches!(event, Ok(None)));
            });
            assert_eq!(cost.bytes_total, 0, "{role:?}, {len} announced");
        }
    }
}

#[test]
fn item_09_cve_2025_1695_no_length_is_taken_for_a_negative_one() {
    for len in [1_u64 << 63, u64::MAX, (1 << 63) - 1, (1 << 32) + 5] {
        let mut server = connection(Role::Server, Config::default());
        let bytes = header(Role::Server, 0x82, len);
        receive(&mut server, &bytes, bytes.len()).1.unwrap_err();
    }
}

#[test]
fn item_10_threat_05_cve_2026_48779_a_million_fragments_cost_their_bytes_and_no_more() {
    for payload in [&b"x"[..], b""] {
        let mut config = Config::default();
        config.fragments_max = u32::MAX;
        let mut server = connection(Role::Server, config);
        let first = frame(Role::Server, 0x02, payload);
        receive(&mut server, &first, first.len()).1.unwrap();
        let more = frame(Role::Server, 0x00, payload).repeat(1000);
        let mut input = more.clone();
        let cost = measure(|| {
            for _ in 0..1000 {
                input.copy_from_slice(&more);
                let mut rest = input.as_mut_slice();
                while !rest.is_empty() {
                    let (used, event) = server.receive(rest);
                    assert!(matches!(event, Ok(None)));
                    rest = &mut rest[used..];
                }
            }
        });
        let assembled = payload.len() as u64 * 1_000_000;
        assert!(
            cost.bytes_max <= 2 * assembled + 64,
            "{} bytes kept",
            cost.bytes_max
        );
        assert!(cost.count_total <= 40, "{} allocations", cost.count_total);
    }
}

#[test]
fn threat_05_cve_2026_42786_an_endless_message_ends_at_the_limit_of_fragments_or_bytes() {
    let mut server = connection(Role::Server, Config::default());
    let fragments = frame(Role::Server, 0x00, b"").repeat(5000);
    let bytes = [frame(Role::Server, 0x02, b""), fragments].concat();
    let error = receive(&mut server, &bytes, bytes.len()).1.unwrap_err();
    assert_eq!(error.close_code().0, 1008, "{error}");
    let mut server = connection(Role::Server, Config::default());
    let part = frame(Role::Server, 0x00, &vec![0; 1 << 20]);
    let bytes = [frame(Role::Server, 0x02, b""), part.repeat(17)].concat();
    let error = receive(&mut server, &bytes, 64 << 10).1.unwrap_err();
    assert_eq!(error.close_code().0, 1009, "{error}");
}

#[test]
fn item_10_threat_10_a_million_pings_unread_are_one_pong_and_no_allocation_each() {
    let mut server = connection(Role::Server, Config::default());
    let pings = frame(Role::Server, 0x89, &[b'p'; 100]).repeat(100);
    let mut input = pings.clone();
    let cost = measure(|| {
        for _ in 0..10_000 {
            input.copy_from_slice(&pings);
            let mut rest = input.as_mut_slice();
            while !rest.is_empty() {
                let (used, event) = server.receive(rest);
                assert!(matches!(event, Ok(Some(Event::Ping(_)) | None)));
                rest = &mut rest[used..];
            }
        }
    });
    assert!(cost.bytes_max <= 64 << 10, "{} bytes kept", cost.bytes_max);
    assert!(server.queued() <= 17 << 10, "{} queued", server.queued());
}

#[test]
fn item_17_a_small_message_kept_does_not_keep_the_read_buffer() {
    let mut server = connection(Role::Server, Config::default());
    let mut bytes = frame(Role::Server, 0x82, b"tiny");
    bytes.resize(64 << 10, 0);
    let mut kept = None;
    let cost = measure(|| {
        let (_, event) = server.receive(&mut bytes);
        if let Ok(Some(Event::Message(message))) = event {
            kept = Some(message.to_message());
        }
    });
    assert!(
        cost.bytes_current <= 64,
        "{} bytes for 4",
        cost.bytes_current
    );
    assert_eq!(kept.unwrap().payload().len(), 4);
}

#[test]
fn threat_42_an_answer_holds_nothing_of_what_its_buffer_held_before() {
    let mut server = connection(Role::Server, Config::default());
    let (_, outgoing) = server.halves();
    outgoing.lend_buffer(|| b"secret of another user, secret of another user".to_vec());
    server.ping(b"hi").unwrap();
    assert_eq!(sent(&mut server), b"\x89\x02hi");
    let code = tidewire_proto::CloseCode::NORMAL;
    server.close(code, "bye", std::time::Instant::now());
    assert_eq!(sent(&mut server), b"\x88\x05\x03\xe8bye");
}

#[test]
fn an_idle_connection_owns_nothing_after_a_message_in_pieces() {
    let mut server = connection(Role::Server, Config::default());
    let bytes = [
        frame(Role::Server, 0x02, &vec![7; 500_000]),
        frame(Role::Server, 0x80, &vec![7; 500_000]),
    ]
    .concat();
    let cost = measure(|| {
        assert_eq!(receive(&mut server, &bytes, 16 << 10).0.len(), 1);
        server.halves().0.settle();
    });
    assert_eq!(cost.bytes_current, 0);
}
