//! `tidewire.mux.v1`: frames of any bytes, and one stream between two ends that do anything.

use std::collections::VecDeque;

use arbitrary::{Result, Unstructured};
use tidewire_proto::mux::{
    Body, CREDIT_MAX, DataFlags, FIRST_CREDIT_MIN, Frame, FrameType, MessageFrames,
    PAYLOAD_BYTES_MAX, ReceiveCredit, SendCredit, Side, StreamIds, StreamLife, data_header,
};

/// Bytes that decode encode to the same bytes, whoever sent them.
pub(crate) fn frame(data: &[u8]) {
    for from in [Side::Client, Side::Gateway] {
        let frame = match Frame::decode(data, from) {
            Ok(frame) => frame,
            Err(error) => {
                let reason = error.to_string();
                assert!(reason.len() <= 123, "{reason} fits a close frame");
                continue;
            }
        };
        let encoded = frame.encode().expect("what was decoded is valid");
        assert_eq!(encoded, data, "the same bytes");
        assert_eq!(Frame::decode(&encoded, from).as_ref(), Ok(&frame));
        let only = frame.frame_type().sent_only_by();
        assert!(only.is_none_or(|only| only == from), "sent by {only:?}");
        if let Body::Data { flags, payload } = frame.body {
            let header = data_header(frame.stream, flags);
            assert_eq!([&header, payload].concat(), data, "header and payload");
        }
    }
}

pub(crate) fn stream(data: &[u8]) {
    let mut u = Unstructured::new(data);
    // An input that is used up ends the run.
    if numbers(&mut u).is_ok() && life(&mut u).is_ok() {
        credit(&mut u).ok();
    }
}

/// Numbers against the plainest model: a list of all that were opened.
fn numbers(u: &mut Unstructured<'_>) -> Result<()> {
    let mut ids = StreamIds::default();
    let mut opened: Vec<u32> = Vec::new();
    for _ in 0..u.int_in_range(0..=8)? {
        let stream = match u.int_in_range(0..=2)? {
            0 => u.arbitrary()?,
            _ => u.int_in_range(0..=12)?,
        };
        let greatest = opened.iter().copied().max().unwrap_or(0);
        assert_eq!(ids.gone(stream).is_ok(), stream <= greatest);
        if u.ratio(1, 4)? {
            let allocated = ids.allocate();
            assert_eq!(allocated, greatest.checked_add(1), "the next number");
            opened.extend(allocated);
        } else if ids.open(stream).is_ok() {
            assert!(stream > greatest, "{stream} after {greatest}");
            opened.push(stream);
        } else {
            assert!(stream <= greatest, "{stream} after {greatest}");
        }
    }
    Ok(())
}

/// Any frames in any order: nothing is taken after the end, and gone is gone.
fn life(u: &mut Unstructured<'_>) -> Result<()> {
    let side = *u.choose(&[Side::Client, Side::Gateway])?;
    let mut life = StreamLife::new(1, side);
    for _ in 0..u.int_in_range(0..=12)? {
        let before = life;
        let frame = *u.choose(&[
            FrameType::Accept,
            FrameType::Reject,
            FrameType::Data,
            FrameType::Credit,
            FrameType::Close,
            FrameType::Ping,
        ])?;
        if u.arbitrary()? {
            let received = life.receive(frame);
            assert!(
                received.is_ok() || life == before,
                "an error changes nothing"
            );
        } else if frame == FrameType::Accept {
            life.accepted();
        } else if matches!(frame, FrameType::Reject | FrameType::Close) {
            life.closed(frame);
        }
        assert!(!before.is_gone() || life.is_gone(), "gone is gone");
        assert!(!life.is_open() || !life.is_gone());
    }
    Ok(())
}

/// One direction of a stream: an honest sender and an honest receiver never blame each other, a
/// sender is never stuck, and no more than the window is held.
fn credit(u: &mut Unstructured<'_>) -> Result<()> {
    let window = u.int_in_range(FIRST_CREDIT_MIN..=200_000)?;
    let mut send = SendCredit::new(1, window);
    let mut receive = ReceiveCredit::new(1, window);
    let mut frames = MessageFrames::default();
    let mut flying: VecDeque<u32> = VecDeque::new();
    let mut held: VecDeque<usize> = VecDeque::new();
    for _ in 0..u.int_in_range(0..=64)? {
        match u.int_in_range(0..=4)? {
            0 | 1 => {
                let wanted = u.int_in_range(0..=300_000)?;
                let Some(payload_len) = send.take(wanted) else {
                    continue;
                };
                assert!(payload_len <= wanted.min(PAYLOAD_BYTES_MAX));
                assert!(
                    payload_len > 0 || wanted == 0,
                    "a frame brings something on"
                );
                receive.charge(payload_len).expect("within the credit");
                let flags = DataFlags {
                    last: payload_len == wanted,
                    binary: true,
                };
                frames.accept(1, flags).expect("one kind");
                assert_eq!(frames.is_inside(), !flags.last);
                held.push_back(payload_len);
            }
            2 => {
                let Some(payload_len) = held.pop_front() else {
                    continue;
                };
                flying.extend(receive.give_back(payload_len));
            }
            3 => {
                if let Some(increment) = flying.pop_front() {
                    send.add(increment).expect("no more than was taken");
                }
            }
            _ => cheat(u, send, receive)?,
        }
        let sum: usize = held.iter().map(|len| len + 6).sum();
        assert_eq!(
            usize::try_from(receive.held()),
            Ok(sum),
            "what is held is known"
        );
        assert!(receive.held() <= window, "no more than the window");
        let flying: u32 = flying.iter().sum();
        assert_eq!(
            send.available() + flying,
            receive.available(),
            "no credit is lost"
        );
        if held.is_empty() {
            assert!(receive.available() > window / 2, "a sender is never stuck");
        }
    }
    Ok(())
}

/// Too much at once is noticed, and nothing else is.
fn cheat(u: &mut Unstructured<'_>, mut send: SendCredit, mut receive: ReceiveCredit) -> Result<()> {
    let payload_len = u.int_in_range(0..=300_000)?;
    let cost = u64::try_from(payload_len + 6).expect("small");
    let fits = cost <= u64::from(receive.available());
    assert_eq!(receive.charge(payload_len).is_ok(), fits, "an overrun");
    let increment: u32 = u.arbitrary()?;
    let sum = u64::from(send.available()) + u64::from(increment);
    let fits = sum <= u64::from(CREDIT_MAX);
    assert_eq!(send.add(increment).is_ok(), fits, "a sum of 2^31");
    Ok(())
}
