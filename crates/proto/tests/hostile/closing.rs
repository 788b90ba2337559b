//! The close frame: every code, every length of a reason, what comes behind it.

use std::time::{Duration, Instant};

use tidewire_proto::{CloseCode, Config, PeerState, ProtocolError, SendError};

use crate::peer::{ROLES, Seen, close_code, end, feed, frames, sent, sent_frames};

#[test]
fn every_close_code_is_echoed_or_refused_as_the_table_says() {
    for receiver in ROLES {
        for code in 0..=u16::MAX {
            let valid = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
            let mut connection = end(receiver, &Config::default());
            let bytes = frames(receiver, &[(0x88, &code.to_be_bytes())]);
            let seen = feed(&mut connection, &bytes, usize::MAX);
            let (expected, answer) = if valid {
                (Seen::Close(Some(code)), code)
            } else {
                (Seen::Error(ProtocolError::InvalidCloseCode(code)), 1002)
            };
            assert_eq!(seen, [expected], "{receiver:?}");
            assert_eq!(close_code(&mut connection), Some(answer), "{receiver:?}");
        }
    }
}

#[test]
fn a_reason_has_up_to_123_bytes_both_ways() {
    for receiver in ROLES {
        for len in [0, 1, 122, 123, 124] {
            let reason = "r".repeat(len);
            let mut connection = end(receiver, &Config::default());
            let body = [b"\x03\xe8", reason.as_bytes()].concat();
            let seen = feed(&mut connection, &frames(receiver, &[(0x88, &body)]), 1);
            let expected = if len <= 123 {
                Seen::Close(Some(1000))
            } else {
                Seen::Error(ProtocolError::ControlTooLong)
            };
            assert_eq!(seen, [expected], "{len} bytes");

            let mut connection = end(receiver, &Config::default());
            connection.close(CloseCode::NORMAL, &reason, Instant::now());
            let frames = sent_frames(&mut connection);
            assert_eq!(frames[0].1.len(), 2 + len.min(123), "cut, never refused");
        }
        // Characters are not cut in two.
        let mut connection = end(receiver, &Config::default());
        connection.close(CloseCode::NORMAL, &"é".repeat(100), Instant::now());
        let body = sent_frames(&mut connection)[0].1.split_off(2);
        assert_eq!(String::from_utf8(body).unwrap(), "é".repeat(61));
    }
}

#[test]
fn nothing_behind_a_close_frame_is_seen_or_answered() {
    for receiver in ROLES {
        for step in [1, usize::MAX] {
            let mut connection = end(receiver, &Config::default());
            let script: &[(u8, &[u8])] = &[
                (0x88, b"\x03\xe8"),
                (0x81, b"data after close"),
                (0x89, b"ping after close"),
                (0x88, b"\x03\xe9"),
                (0x83, b"broken after close"),
            ];
            let seen = feed(&mut connection, &frames(receiver, script), step);
            assert_eq!(seen, [Seen::Close(Some(1000))]);
            assert_eq!(sent_frames(&mut connection), [(0x88, b"\x03\xe8".to_vec())]);
            assert_eq!(connection.send(&"late".into()), Err(SendError::Closed));
        }
    }
}

#[test]
fn close_frames_that_cross_end_the_connection_at_once() {
    for receiver in ROLES {
        let now = Instant::now();
        let mut connection = end(receiver, &Config::default());
        connection.close(CloseCode::GOING_AWAY, "", now);
        let seen = feed(
            &mut connection,
            &frames(receiver, &[(0x88, b"\x03\xe8")]),
            1,
        );
        assert_eq!(seen, [Seen::Close(Some(1000))]);
        assert_eq!(
            close_code(&mut connection),
            Some(1001),
            "one close frame, ours"
        );
        assert!(connection.is_finished());
        assert_eq!(connection.poll_timeout(), None, "nothing left to wait for");
    }
}

#[test]
fn a_peer_that_never_answers_a_close_costs_five_seconds_whatever_else_it_sends() {
    for receiver in ROLES {
        let now = Instant::now();
        let mut connection = end(receiver, &Config::default());
        connection.close(CloseCode::NORMAL, "", now);
        sent(&mut connection);
        for second in 1..5 {
            let now = now + Duration::from_secs(second);
            feed(
                &mut connection,
                &frames(receiver, &[(0x89, b"still here")]),
                1,
            );
            connection.handle_activity(now);
            assert_eq!(connection.handle_timeout(now), PeerState::Alive);
        }
        assert_eq!(
            connection.handle_timeout(now + Duration::from_secs(5)),
            PeerState::GivenUp
        );
        assert!(connection.is_finished() && sent(&mut connection).is_empty());
    }
}

#[test]
fn a_code_that_must_not_be_sent_is_not() {
    for receiver in ROLES {
        for code in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
            let mut connection = end(receiver, &Config::default());
            connection.close(CloseCode(code), "reason", Instant::now());
            assert_eq!(sent_frames(&mut connection), [(0x88, Vec::new())], "{code}");
        }
    }
}
