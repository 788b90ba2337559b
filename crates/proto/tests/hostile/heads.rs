//! Heads without end, with too much in them, or cut anywhere: bounded work, bounded memory.

use std::fmt::Write as _;

use allocation_counter::measure;
use bytes::Bytes;
#[cfg(not(feature = "deflate"))]
use tidewire_proto::DeflateConfig;
use tidewire_proto::handshake::{
    AcceptOptions, HeadError, HeadLimits, HeadScanner, Refusal, RequestHead, ResponseHead, accept,
};

const LIMITS: HeadLimits = HeadLimits {
    bytes_max: 16 << 10,
    fields_max: 64,
};

pub(crate) const UPGRADE: &str = "Host: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

/// Drips a head in pieces of `step` as a driver reads it: bytes taken until the verdict.
fn drip(head: &[u8], step: usize) -> (usize, Result<Option<usize>, HeadError>) {
    let mut scanner = HeadScanner::default();
    let mut buffer = Vec::new();
    for piece in head.chunks(step) {
        buffer.extend_from_slice(piece);
        match scanner.scan(&buffer, LIMITS) {
            Ok(None) => {}
            verdict => return (buffer.len(), verdict),
        }
    }
    (buffer.len(), Ok(None))
}

const TOO_LARGE: HeadError = HeadError::TooLarge {
    bytes_max: LIMITS.bytes_max,
    fields_max: LIMITS.fields_max,
};

fn with_fields(count: usize) -> String {
    let mut head = format!("GET / HTTP/1.1\r\n{UPGRADE}");
    for i in 0..count {
        write!(head, "X{i}: 1\r\n").unwrap();
    }
    head + "\r\n"
}

#[test]
fn a_head_of_20_megabytes_is_refused_after_the_limit_in_any_cut() {
    let mut head = b"GET / HTTP/1.1\r\nX: ".to_vec();
    head.resize(20 << 20, b'a');
    for step in [1, 512, 4096, 64 << 10] {
        let (taken, verdict) = drip(&head, step);
        assert_eq!(verdict, Err(TOO_LARGE));
        assert!(taken <= LIMITS.bytes_max + step, "{taken} bytes taken");
    }
    head.truncate(1 << 20);
    let lines = b"GET / HTTP/1.1\r\n"
        .iter()
        .chain(b"X: a\r\n".iter().cycle().take(1 << 20));
    for head in [head, lines.copied().collect()] {
        assert_eq!(drip(&head, 1), (LIMITS.bytes_max + 1, Err(TOO_LARGE)));
    }
}

#[test]
fn a_head_in_segments_of_one_byte_is_found() {
    let head = with_fields(10);
    let (taken, verdict) = drip(format!("{head}rest").as_bytes(), 1);
    assert_eq!((taken, verdict), (head.len(), Ok(Some(head.len()))));
    let parsed = RequestHead::parse(head.into(), LIMITS).unwrap();
    assert!(accept(&parsed, AcceptOptions::default()).is_ok());
}

#[test]
fn ten_thousand_fields_are_refused_with_431() {
    let wide = HeadLimits {
        bytes_max: 1 << 20,
        fields_max: 10_000,
    };
    for limits in [LIMITS, wide] {
        let error = RequestHead::parse(with_fields(10_000).into(), limits).unwrap_err();
        assert!(matches!(error, HeadError::TooLarge { .. }), "{error}");
        assert_eq!(Refusal::from(error).status, 431);
        let answer = with_fields(10_000).replacen("GET / HTTP/1.1", "HTTP/1.1 101 X", 1);
        let error = ResponseHead::parse(answer.into(), limits).unwrap_err();
        assert!(matches!(error, HeadError::TooLarge { .. }), "{error}");
    }
}

/// ws crashed on a request whose fields were cut off by a limit of the HTTP server, as the
/// one it needed was not there.
#[test]
fn cve_2024_37890_any_number_of_fields_is_accepted_or_refused() {
    for count in (0..200).chain([500, 1000, 2000, 5000]) {
        let head = with_fields(count);
        let limits = HeadLimits {
            bytes_max: usize::MAX,
            ..LIMITS
        };
        match RequestHead::parse(head.into(), limits) {
            // Five fields are of the upgrade.
            Ok(head) => {
                assert!(count + 5 <= 64, "{count}");
                assert!(accept(&head, AcceptOptions::default()).is_ok(), "{count}");
            }
            Err(error) => {
                assert!(count + 5 > 64, "{count}");
                assert_eq!(Refusal::from(error).status, 431);
            }
        }
    }
}

#[test]
fn any_field_of_the_upgrade_may_be_missing_doubled_or_empty() {
    let lines: Vec<&str> = UPGRADE.split_inclusive("\r\n").collect();
    for line in &lines {
        let (name, _) = line.split_once(':').unwrap();
        for replacement in [
            String::new(),
            line.repeat(2),
            format!("{name}:\r\n"),
            format!("{name}: \r\n"),
        ] {
            let head = format!(
                "GET / HTTP/1.1\r\n{}\r\n",
                UPGRADE.replace(line, &replacement)
            );
            let head = RequestHead::parse(head.into(), LIMITS).unwrap();
            let answer = accept(&head, AcceptOptions::default());
            let list = matches!(name, "Upgrade" | "Connection");
            let doubled_list = list && replacement == line.repeat(2);
            // An address without authority has an empty one (RFC 9110 section 7.2).
            let empty_host =
                name == "Host" && replacement.starts_with("Host:") && replacement.len() < 9;
            let fine = doubled_list || empty_host;
            assert_eq!(answer.is_ok(), fine, "{replacement:?}: {answer:?}");
        }
    }
}

/// A byte that was looked at is not looked at again: an end put there later is not found. This
/// is what keeps a dripped head linear.
#[test]
fn cve_2023_43669_what_was_scanned_is_not_scanned_again() {
    for step in [1, 2, 3, 7, 100] {
        let mut scanner = HeadScanner::default();
        let mut buffer = Vec::new();
        while buffer.len() + step <= LIMITS.bytes_max {
            buffer.resize(buffer.len() + step, b'a');
            assert_eq!(scanner.scan(&buffer, LIMITS), Ok(None));
            // All but the last three bytes, which may begin an end, are done with.
            if let Some(done) = buffer.len().checked_sub(3) {
                let end = done.saturating_sub(4);
                buffer[end..done].fill(b'\n');
                if let Some(four) = buffer.get_mut(end..end + 4) {
                    four.copy_from_slice(b"\r\n\r\n");
                }
            }
        }
        assert_eq!(scanner.scan(&buffer, LIMITS), Ok(None));
    }
}

#[test]
fn a_megabyte_dripped_without_an_end_costs_its_limit() {
    let head = vec![b'a'; 1 << 20];
    let mut verdict = None;
    let info = measure(|| verdict = Some(drip(&head, 1)));
    assert_eq!(verdict, Some((LIMITS.bytes_max + 1, Err(TOO_LARGE))));
    // The buffer of the test, doubling.
    assert!(info.bytes_total <= 4 * LIMITS.bytes_max as u64, "{info:?}");
}

#[test]
fn parsing_a_head_allocates_in_proportion_to_its_fields() {
    let allocated = |count| {
        let head = Bytes::from(with_fields(count));
        measure(|| assert!(RequestHead::parse(head.clone(), LIMITS).is_ok())).bytes_total
    };
    let (few, many) = (allocated(0), allocated(59));
    assert!(
        many <= few * 64 / 5 + 64,
        "{few} bytes for 5 fields, {many} for 64"
    );
}

/// Length sweep of what servers parse by hand: refused or ignored above the limits, and never
/// with more allocations than items.
#[test]
fn long_lists_of_subprotocols_and_extensions_cost_their_length() {
    let limits = HeadLimits {
        bytes_max: 1 << 20,
        fields_max: 64,
    };
    #[cfg(feature = "deflate")]
    let deflate = Some(tidewire_proto::DeflateConfig::default());
    #[cfg(not(feature = "deflate"))]
    let deflate: Option<DeflateConfig> = None;
    let options = AcceptOptions {
        subprotocols: &["v1"],
        deflate: deflate.as_ref(),
        ..AcceptOptions::default()
    };
    for name in ["Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"] {
        for item in [
            "a",
            ",",
            " ",
            "\t",
            "a,",
            "a ,",
            "a;b;",
            "a;b=c,",
            "a;b=\"",
            ";",
            "=",
            "\"\\",
            "permessage-deflate,",
        ] {
            let answer = |len: usize| {
                let value = item.repeat(len.div_ceil(item.len()));
                let head = format!("GET / HTTP/1.1\r\n{UPGRADE}{name}: {value}\r\n\r\n");
                let head = RequestHead::parse(head.into(), limits).unwrap();
                let mut status = 0;
                let info = measure(|| {
                    status = match accept(&head, options) {
                        Ok(_) => 101,
                        Err(refusal) => refusal.status,
                    };
                });
                (status, info)
            };
            for len in [1 << 10, 4 << 10, 16 << 10, 64 << 10] {
                let (status, info) = answer(len);
                assert!(matches!(status, 101 | 400), "{name} {item:?}: {status}");
                // At most 1 KiB of extensions is ever looked at.
                assert!(
                    info.bytes_total <= 64 << 10,
                    "{name}, {len} of {item:?}: {info:?}"
                );
            }
        }
    }
}
