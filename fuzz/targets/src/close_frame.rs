//! Close frames: what is received is judged as section 7.4 says, what is sent is valid
//! whatever the application asks for.

use std::{sync::Arc, time::Instant};

use arbitrary::Unstructured;
use tidewire_proto::{CloseCode, CloseFrame, Config, Role};

use crate::{
    drive::{self, Seen},
    model, script,
    wire::{Frame, LengthForm, put_frame, read_sent},
};

pub(crate) fn run(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let Ok(role) = script::role(&mut u) else {
        return;
    };
    let body = u.take_rest();
    received(role, body.get(..body.len().min(125)).unwrap_or_default());
    if let Some((code, reason)) = body.split_first_chunk() {
        let reason = String::from_utf8_lossy(reason);
        sent(role, CloseCode(u16::from_be_bytes(*code)), &reason);
    }
}

fn received(role: Role, body: &[u8]) {
    let expected = model::close_frame(body);
    let key = (role == Role::Server).then_some([7, 0, 0xff, 0x80]);
    let mut stream = Vec::new();
    let len = body.len() as u64;
    put_frame(&mut stream, 0x88, LengthForm::Shortest, len, key, body);
    let mut connection = drive::connection(role, &Arc::new(Config::default()), Instant::now());
    let seen = drive::receive_all(&mut connection, &stream, &[]);
    let (seen_as, answer_code) = match expected {
        Ok(frame) => {
            let code = frame.as_ref().map(|(code, _)| *code);
            (Seen::Close(frame), code)
        }
        Err(error) => (Seen::Error(error), Some(error.close_code().0)),
    };
    assert_eq!(seen, [seen_as]);
    assert!(connection.is_finished(), "nothing follows a close frame");
    let answer = answer(&drive::transmit(&mut connection, usize::MAX, 1), role);
    let code = answer
        .payload
        .first_chunk()
        .map(|code| u16::from_be_bytes(*code));
    assert_eq!(code, answer_code, "the answer's code");
}

fn sent(role: Role, code: CloseCode, reason: &str) {
    let frame = CloseFrame::new(code, reason);
    assert!(frame.reason.len() <= CloseFrame::REASON_BYTES_MAX);
    assert!(reason.starts_with(&frame.reason), "a reason is only cut");
    assert!(
        frame.reason.len() == reason.len() || frame.reason.len() + 4 > CloseFrame::REASON_BYTES_MAX,
        "not more is cut than the last character"
    );
    let now = Instant::now();
    let mut connection = drive::connection(role, &Arc::new(Config::default()), now);
    connection.close(code, reason, now);
    connection.close(CloseCode::NORMAL, "again", now);
    let answer = answer(&drive::transmit(&mut connection, usize::MAX, 1), role);
    let body = if model::may_be_sent(code) {
        [&code.0.to_be_bytes(), frame.reason.as_bytes()].concat()
    } else {
        Vec::new()
    };
    assert_eq!(answer.payload, body, "code and reason are sent once");
}

/// The one frame that was sent, a close frame.
fn answer(bytes: &[u8], sender: Role) -> Frame {
    let frames = read_sent(bytes, sender);
    let [frame] = frames.as_slice() else {
        panic!("expected one frame, {} were sent", frames.len());
    };
    assert_eq!(frame.opcode, 8);
    model::close_frame(&frame.payload).expect("a close frame that may be sent");
    frame.clone()
}
