//! The FBE simple protocol: requests, and where their responses end.

use bytes::{Bytes, BytesMut};
use tidewire::proto::fbe::{Decoder, Id, MessageRef, MessageType};

use super::{
    job::Job,
    stream::{Messages, Split},
};

/// `SimpleRequest`s with a text of as many NUL characters as a message has bytes, as of the original. All have the same
/// id: to the server ids are bytes to be sent back.
#[derive(Debug, Default)]
pub(super) struct Requests {
    decoder: Decoder,
}

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
        while !rest.is_empty() {
            let (taken, frame) = self.decoder.receive(rest);
            let frame = frame.map_err(|error| error.to_string())?;
            let is_response =
                frame.is_some_and(|frame| frame.type_number() == MessageType::Response.number());
            split.messages += u64::from(is_response);
            rest = rest.get(taken..).unwrap_or_default();
        }
        Ok(split)
    }
}
