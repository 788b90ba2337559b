//! The FBE simple protocol: requests, and where their responses end.

use bytes::{Bytes, BytesMut};
use tidewire::proto::fbe::{Frame, Id, MessageRef, MessageType};

use super::{
    job::Job,
    stream::{Messages, Split},
};

/// `SimpleRequest`s with a text of as many NUL characters as a message has bytes, as of the original. All have the same
/// id: to the server ids are bytes to be sent back.
#[derive(Debug, Default)]
pub(super) struct Requests;

impl Messages for Requests {
    fn message(job: &Job) -> Bytes {
        let text = "\0".repeat(job.payload.len());
        let request = MessageRef::Request {
            id: Id([1; 16]),
            message: &text,
        };
        let mut bytes = BytesMut::with_capacity(request.encoded_len());
        request
            .encode_into(&mut bytes)
            .expect("a text that fits into memory fits into a message");
        bytes.freeze()
    }

    fn split(&mut self, _job: &Job, bytes: &[u8]) -> Result<Split, String> {
        let mut split = Split::default();
        let mut rest = bytes;
        while let Some(frame) =
            Frame::split_first(rest, RESPONSE_BYTES_MAX).map_err(|error| error.to_string())?
        {
            if frame.message_type() == Some(MessageType::Response) {
                split.messages += 1;
            }
            rest = rest.get(frame.bytes().len()..).unwrap_or_default();
        }
        split.unread = rest.len();
        Ok(split)
    }
}

/// A response has 40 bytes; a greeting in between may be longer.
const RESPONSE_BYTES_MAX: usize = 64 << 10;
