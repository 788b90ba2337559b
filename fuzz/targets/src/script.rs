//! Arbitrary streams of frames: mostly valid, sometimes wrong in one field, since random
//! bytes seldom get past the first header.

use arbitrary::{Arbitrary, Unstructured};
use tidewire_proto::Role;

use crate::wire::{LengthForm, put_frame};

/// Most frames of a script; more only repeat.
const FRAMES_MAX: usize = 24;

/// A stream of frames for a receiver, and how it is cut into reads.
#[derive(Clone, Debug)]
pub struct Script {
    /// Who receives the stream.
    pub receiver: Role,
    /// Sizes of the reads, used in turn; 0 counts as 1.
    pub cuts: Vec<u8>,
    /// The stream.
    pub bytes: Vec<u8>,
}

impl<'a> Arbitrary<'a> for Script {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let receiver = role(u)?;
        let cuts = cuts(u)?;
        let mut bytes = Vec::new();
        let mut in_message = false;
        for _ in 0..u.int_in_range(1..=FRAMES_MAX)? {
            put_arbitrary(u, receiver, &mut in_message, &mut bytes)?;
            if u.is_empty() {
                break;
            }
        }
        if u.ratio(1_u8, 16)? && !bytes.is_empty() {
            let at = u.choose_index(bytes.len())?;
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << u.int_in_range(0..=7)?;
            }
        }
        if u.ratio(1_u8, 8)? && !bytes.is_empty() {
            bytes.truncate(u.choose_index(bytes.len())?);
        }
        Ok(Self {
            receiver,
            cuts,
            bytes,
        })
    }
}

/// Either role.
pub(crate) fn role(u: &mut Unstructured<'_>) -> arbitrary::Result<Role> {
    Ok(if u.arbitrary()? {
        Role::Server
    } else {
        Role::Client
    })
}

/// A few read sizes; none at all means one read.
pub(crate) fn cuts(u: &mut Unstructured<'_>) -> arbitrary::Result<Vec<u8>> {
    let count = u.int_in_range(0..=8)?;
    Ok(u.bytes(count.min(u.len()))?.to_vec())
}

/// One frame, right with good odds in each of its fields.
fn put_arbitrary(
    u: &mut Unstructured<'_>,
    receiver: Role,
    in_message: &mut bool,
    out: &mut Vec<u8>,
) -> arbitrary::Result<()> {
    let wrong = u.ratio(1_u8, 12)?;
    let control = u.ratio(1_u8, 3)?;
    let fin = control || u.ratio(2_u8, 3)?;
    let opcode = match (wrong, control, *in_message) {
        (true, ..) => u.int_in_range(0..=15)?,
        (false, true, _) => *u.choose(&[8_u8, 9, 9, 9, 10, 10])?,
        (false, false, true) => 0,
        (false, false, false) => *u.choose(&[1_u8, 2])?,
    };
    if !control {
        *in_message = !fin;
    }
    let reserved = if u.ratio(1_u8, 64)? {
        *u.choose(&[0x40_u8, 0x20, 0x10])?
    } else {
        0
    };
    let payload = match opcode {
        8 => close_body(u)?,
        9 | 10 => plain(u, 130)?,
        1 => text(u)?,
        _ => plain(u, 300)?,
    };
    let form = if u.ratio(1_u8, 24)? {
        *u.choose(&[LengthForm::Two, LengthForm::Eight])?
    } else {
        LengthForm::Shortest
    };
    let announced = match u.int_in_range(0..=63_u8)? {
        1 => u.arbitrary()?,
        2 => u.int_in_range(0..=16 << 20)?, // below the default limits
        _ => payload.len() as u64,
    };
    let masked = (receiver == Role::Server) != u.ratio(1_u8, 64)?;
    let key = if masked { Some(u.arbitrary()?) } else { None };
    let first = if fin { 0x80 } else { 0 } | reserved | opcode;
    put_frame(out, first, form, announced, key, &payload);
    Ok(())
}

fn close_body(u: &mut Unstructured<'_>) -> arbitrary::Result<Vec<u8>> {
    if u.ratio(1_u8, 4)? {
        return plain(u, 3);
    }
    let code: u16 = match u.int_in_range(0..=3)? {
        0_u8 => 1000,
        1 => u.int_in_range(990..=1020)?,
        2 => u.int_in_range(2990..=5010)?,
        _ => u.arbitrary()?,
    };
    let mut body = code.to_be_bytes().to_vec();
    body.extend(text(u)?.into_iter().take(123));
    Ok(body)
}

/// Bytes of every range, up to `max`.
fn plain(u: &mut Unstructured<'_>, max: usize) -> arbitrary::Result<Vec<u8>> {
    let len = u.int_in_range(0..=max)?.min(u.len());
    Ok(u.bytes(len)?.to_vec())
}

/// Mostly UTF-8; sometimes any bytes, or a sequence that is cut.
fn text(u: &mut Unstructured<'_>) -> arbitrary::Result<Vec<u8>> {
    if u.ratio(1_u8, 10)? {
        return plain(u, 20);
    }
    let text: String = u.arbitrary::<&str>()?.chars().take(150).collect();
    let mut bytes = text.into_bytes();
    let more = *u.choose(&["", "", "é", "€", "😀", "\u{10ffff}"])?;
    bytes.extend_from_slice(more.as_bytes());
    if u.ratio(1_u8, 20)? {
        bytes.pop();
    }
    Ok(bytes)
}
