//! Whole answers as bytes of HTTP/1.1, for requests as plain as most are: [`Ready`].
//!
//! In: a head that keeps every rule. Out: two pieces that only have to be written. Whatever needs thought (ranges,
//! `Expect`, a body, the end of the connection, files on disk) is left to the way that all requests can take.

use std::io::IoSlice;

use bytes::{Buf as _, Bytes};
use tidewire_proto::handshake::RequestHead;

use super::{FileCache, answer, entry::Content};
use crate::http::{
    conditional::{Asked, Outcome},
    date,
};

/// An answer to be written as it is.
#[derive(Debug)]
pub(in crate::http) struct Ready {
    head: Bytes,
    /// `Date` and the empty line.
    date: Bytes,
    body: Bytes,
}

impl Ready {
    /// Pieces that it is written in.
    pub(in crate::http) const PIECES: usize = 3;

    pub(in crate::http) fn new(head: Bytes, date: Bytes, body: Bytes) -> Self {
        Self { head, date, body }
    }

    pub(in crate::http) fn has_remaining(&self) -> bool {
        !(self.head.is_empty() && self.date.is_empty() && self.body.is_empty())
    }

    /// Gives the pieces that are left, and their number.
    pub(in crate::http) fn chunks<'a>(&'a self, slices: &mut [IoSlice<'a>; Self::PIECES]) -> usize {
        let pieces = [&self.head, &self.date, &self.body];
        let left = pieces.into_iter().filter(|piece| !piece.is_empty());
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(left) {
            *slice = IoSlice::new(piece);
            count += 1;
        }
        count
    }

    /// So many bytes have been written.
    pub(in crate::http) fn advance(&mut self, mut count: usize) {
        for piece in [&mut self.head, &mut self.date, &mut self.body] {
            let len = count.min(piece.len());
            piece.advance(len);
            count -= len;
        }
    }
}

pub(super) fn find(cache: &FileCache, head: &RequestHead) -> Option<Ready> {
    let is_head = match head.method() {
        "GET" => false,
        "HEAD" => true,
        _ => return None,
    };
    if head.minor_version() != 1 || !head.target().starts_with('/') {
        return None;
    }
    let mut asked = Asked::default();
    for (name, value) in head.fields() {
        let is_special = match name.len() {
            5 => name.eq_ignore_ascii_case("range"),
            6 => name.eq_ignore_ascii_case("expect"),
            7 => name.eq_ignore_ascii_case("upgrade"),
            10 => {
                name.eq_ignore_ascii_case("connection")
                    && !value.eq_ignore_ascii_case(b"keep-alive")
            }
            14 => name.eq_ignore_ascii_case("content-length"),
            17 => name.eq_ignore_ascii_case("transfer-encoding"),
            _ => false,
        };
        if is_special {
            return None;
        }
        asked.field(name, value);
    }
    let entry = cache.lookup(head.path())?;
    if matches!(entry.content, Content::Disk { .. }) || !has_body(entry.status) {
        return None;
    }
    let form = answer::negotiate(&entry, &asked);
    let (head, body) = match answer::judge(&entry, form, &asked) {
        Outcome::Send if is_head => (form.head.clone(), Bytes::new()),
        Outcome::Send => (form.head.clone(), form.body.clone()),
        Outcome::NotModified => (form.not_modified.clone(), Bytes::new()),
        Outcome::Failed => return None,
    };
    Some(Ready::new(head, date::line_and_end(), body))
}

/// Answers without a body have no length either.
fn has_body(status: http::StatusCode) -> bool {
    !status.is_informational()
        && status != http::StatusCode::NO_CONTENT
        && status != http::StatusCode::NOT_MODIFIED
}
