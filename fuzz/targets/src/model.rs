//! What a receiver must make of a stream (RFC 6455 sections 5 and 8.1), written for
//! clearness: the whole stream at once, every byte copied, `std` for UTF-8.

use tidewire_proto::{CloseCode, Config, Kind, ProtocolError, Role};

use crate::{drive::Seen, wire};

/// A message whose first frame has come.
struct Open {
    kind: Kind,
    payload: Vec<u8>,
    frames: u32,
}

struct Header {
    fin: bool,
    opcode: u8,
    len: u64,
    key: Option<[u8; 4]>,
}

/// How messages are taken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    Whole,
    /// Nothing is kept: of the limits only the one on fragments applies, to those that are empty.
    InChunks,
}

/// What `receiver` sees of `stream`, up to the close frame or the first broken rule.
pub(crate) fn expected(
    receiver: Role,
    config: &Config,
    taken: Taken,
    mut stream: &[u8],
) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut open = None;
    loop {
        match step(receiver, config, taken, &mut open, &mut stream) {
            Ok(Step::NeedsMore) => return seen,
            Ok(Step::Nothing) => {}
            Ok(Step::Saw(one)) => {
                let last = matches!(one, Seen::Close(_));
                seen.push(one);
                if last {
                    return seen;
                }
            }
            Err(error) => {
                seen.push(Seen::Error(error));
                return seen;
            }
        }
    }
}

enum Step {
    NeedsMore,
    Nothing,
    Saw(Seen),
}

fn step(
    receiver: Role,
    config: &Config,
    taken: Taken,
    open: &mut Option<Open>,
    stream: &mut &[u8],
) -> Result<Step, ProtocolError> {
    let Some(header) = header(stream, receiver)? else {
        return Ok(Step::NeedsMore);
    };
    let control = header.opcode >= 8;
    if !control {
        open_message(config, taken, open, &header)?;
    }
    let len = usize::try_from(header.len).unwrap_or(usize::MAX);
    let here = len.min(stream.len());
    let payload = wire::masked(&stream[..here], header.key);
    let whole = here == len;
    *stream = &stream[here..];
    if control {
        return if whole {
            control_frame(header.opcode, payload).map(Step::Saw)
        } else {
            Ok(Step::NeedsMore)
        };
    }
    let message = open.as_mut().expect("opened above");
    message.payload.extend_from_slice(&payload);
    let ends = whole && header.fin;
    if message.kind == Kind::Text
        && let Err(error) = std::str::from_utf8(&message.payload)
        && (ends || error.error_len().is_some())
    {
        return Err(ProtocolError::InvalidUtf8);
    }
    if !whole {
        return Ok(Step::NeedsMore);
    }
    if !header.fin {
        return Ok(Step::Nothing);
    }
    let message = open.take().expect("opened above");
    Ok(Step::Saw(Seen::Message(message.kind, message.payload)))
}

/// Order of fragments and limits; they are checked before any payload is taken.
fn open_message(
    config: &Config,
    taken: Taken,
    open: &mut Option<Open>,
    header: &Header,
) -> Result<(), ProtocolError> {
    match (open.as_mut(), header.opcode) {
        (None, 0) => return Err(ProtocolError::UnexpectedContinuation),
        (Some(_), 1 | 2) => return Err(ProtocolError::ExpectedContinuation),
        (Some(message), _) => {
            message.frames += u32::from(taken == Taken::Whole || header.len == 0);
            if message.frames > config.fragments_max {
                let max = config.fragments_max;
                return Err(ProtocolError::TooManyFragments { max });
            }
        }
        (None, opcode) => {
            *open = Some(Open {
                kind: if opcode == 1 {
                    Kind::Text
                } else {
                    Kind::Binary
                },
                payload: Vec::new(),
                frames: 1,
            });
        }
    }
    if taken == Taken::InChunks {
        return Ok(());
    }
    if header.len > config.frame_bytes_max as u64 {
        return Err(ProtocolError::FrameTooBig {
            len: header.len,
            max: config.frame_bytes_max,
        });
    }
    let before = open.as_ref().map_or(0, |message| message.payload.len());
    if header.len + before as u64 > config.message_bytes_max as u64 {
        let max = config.message_bytes_max;
        return Err(ProtocolError::MessageTooBig { max });
    }
    Ok(())
}

fn control_frame(opcode: u8, payload: Vec<u8>) -> Result<Seen, ProtocolError> {
    match opcode {
        9 => Ok(Seen::Ping(payload)),
        10 => Ok(Seen::Pong(payload)),
        _ => close_frame(&payload).map(Seen::Close),
    }
}

/// The body of a close frame (sections 5.5.1 and 7.4).
pub(crate) fn close_frame(body: &[u8]) -> Result<Option<(u16, String)>, ProtocolError> {
    if body.is_empty() {
        return Ok(None);
    }
    let Some((code, reason)) = body.split_first_chunk() else {
        return Err(ProtocolError::CloseTruncated);
    };
    let code = u16::from_be_bytes(*code);
    if !may_be_sent(CloseCode(code)) {
        return Err(ProtocolError::InvalidCloseCode(code));
    }
    let reason = String::from_utf8(reason.to_vec()).map_err(|_| ProtocolError::InvalidUtf8)?;
    Ok(Some((code, reason)))
}

/// Section 7.4: 1004, 1005, 1006 and 1015 are reserved, below 1000 and from 5000 on nothing
/// is defined, 1016 to 2999 wait for later versions of the protocol.
pub(crate) fn may_be_sent(code: CloseCode) -> bool {
    match code.0 {
        1004..=1006 => false,
        1000..=1014 => true,
        other => (3000..5000).contains(&other),
    }
}

/// Takes a header from the stream, if it is there in full; every rule counts as soon as the
/// byte it concerns is there.
fn header(stream: &mut &[u8], receiver: Role) -> Result<Option<Header>, ProtocolError> {
    let Some(&first) = stream.first() else {
        return Ok(None);
    };
    if first & 0b0111_0000 != 0 {
        return Err(ProtocolError::ReservedBit);
    }
    let (fin, opcode) = (first >= 0x80, first & 15);
    if !matches!(opcode, 0 | 1 | 2 | 8 | 9 | 10) {
        return Err(ProtocolError::ReservedOpcode(opcode));
    }
    if opcode >= 8 && !fin {
        return Err(ProtocolError::ControlFragmented);
    }
    let Some(&second) = stream.get(1) else {
        return Ok(None);
    };
    match (receiver, second >= 0x80) {
        (Role::Server, false) => return Err(ProtocolError::UnmaskedFromClient),
        (Role::Client, true) => return Err(ProtocolError::MaskedFromServer),
        (Role::Server, true) | (Role::Client, false) => {}
    }
    let short = second & 127;
    if opcode >= 8 && short > 125 {
        return Err(ProtocolError::ControlTooLong);
    }
    let (more, least) = match short {
        126 => (2, 126),
        127 => (8, 1 << 16),
        _ => (0, 0),
    };
    let Some(extended) = stream.get(2..2 + more) else {
        return Ok(None);
    };
    let extended = extended
        .iter()
        .fold(0_u64, |len, byte| len << 8 | u64::from(*byte));
    let len = if more == 0 {
        u64::from(short)
    } else {
        extended
    };
    if len > u64::MAX / 2 {
        return Err(ProtocolError::LengthTooLarge);
    }
    if len < least {
        return Err(ProtocolError::LengthNotMinimal);
    }
    let (key, end) = if receiver == Role::Server {
        let Some(key) = stream.get(2 + more..).and_then(|rest| rest.first_chunk()) else {
            return Ok(None);
        };
        (Some(*key), 6 + more)
    } else {
        (None, 2 + more)
    };
    *stream = &stream[end..];
    Ok(Some(Header {
        fin,
        opcode,
        len,
        key,
    }))
}
