//! Servers of the FBE simple protocol: a response to every request.

use std::net::SocketAddr;

use bytes::BytesMut;
use tidewire::{
    proto::fbe::{Decoder, MessageRef},
    service::{StartError, Workers},
    tcp::{Handler, RunningServer, Server, ServerConfig, Session},
};

pub(super) fn start(address: SocketAddr, workers: Workers) -> Result<RunningServer, StartError> {
    let config = ServerConfig::new(address.into()).workers(workers);
    Server::handlers(config, |_session| Responses::default()).start()
}

/// Answers requests with the length of their text and the hash 0, as the original's server does.
#[derive(Default)]
struct Responses {
    decoder: Decoder,
    /// Responses to what came with one read.
    out: BytesMut,
}

impl Responses {
    fn answer(&mut self, bytes: &[u8]) -> Result<(), String> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (taken, frame) = self.decoder.receive(rest);
            rest = rest.get(taken..).unwrap_or_default();
            let Some(frame) = frame.map_err(|error| error.to_string())? else {
                continue;
            };
            let message = frame.message().map_err(|error| error.to_string())?;
            let Some(MessageRef::Request { id, message }) = message else {
                continue;
            };
            let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
            let response = MessageRef::Response {
                id,
                length,
                hash: 0,
            };
            let encoded = response.encode_into(&mut self.out);
            encoded.map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

impl Handler for Responses {
    fn received(&mut self, session: &mut Session<'_>, bytes: &[u8]) {
        let is_answered = self.answer(bytes).is_ok() && session.send(&self.out).is_ok();
        self.out.clear();
        if !is_answered {
            session.abort();
        }
    }
}
