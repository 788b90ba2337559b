//! Text validation against `std`, in any cut: valid text arrives, and invalid text fails with
//! the read that holds the first wrong byte (section 8.1).

use std::{sync::Arc, time::Instant};

use arbitrary::Unstructured;
use tidewire_proto::{Config, Kind, ProtocolError, Role};

use crate::{
    drive::{self, Seen},
    script,
    wire::{LengthForm, put_frame},
};

pub(crate) fn run(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let Ok(cuts) = script::cuts(&mut u) else {
        return;
    };
    let fragments = u.int_in_range(1..=4_usize).unwrap_or(1);
    let text = u.take_rest();
    check(text, fragments, &cuts);
}

fn check(text: &[u8], fragments: usize, cuts: &[u8]) {
    let mut connection =
        drive::connection(Role::Client, &Arc::new(Config::default()), Instant::now());
    let size = text.len().div_ceil(fragments).max(1);
    let mut pieces: Vec<&[u8]> = text.chunks(size).collect();
    if pieces.is_empty() {
        pieces.push(b"");
    }
    let last = pieces.len() - 1;
    let mut given = 0;
    let mut seen = Vec::new();
    for (index, piece) in pieces.iter().enumerate() {
        let first = u8::from(index == 0) | if index == last { 0x80 } else { 0 };
        let mut header = Vec::new();
        put_frame(
            &mut header,
            first,
            LengthForm::Shortest,
            piece.len() as u64,
            None,
            b"",
        );
        drive::receive_read(&mut connection, &header, &mut seen);
        let mut sizes = cuts.iter().cycle();
        let mut rest = *piece;
        while !rest.is_empty() {
            let size = sizes
                .next()
                .map_or(rest.len(), |size| usize::from(*size).max(1));
            let (read, later) = rest.split_at(size.min(rest.len()));
            drive::receive_read(&mut connection, read, &mut seen);
            rest = later;
            given += read.len();
            let wrong = std::str::from_utf8(&text[..given])
                .is_err_and(|error| error.error_len().is_some() || given == text.len());
            let failed = seen == [Seen::Error(ProtocolError::InvalidUtf8)];
            assert_eq!(failed, wrong, "after {given} bytes");
            if failed {
                return;
            }
        }
    }
    assert_eq!(seen, [Seen::Message(Kind::Text, text.to_vec())]);
}
