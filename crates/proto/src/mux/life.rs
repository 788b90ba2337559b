//! The life of one stream, as one end sees it.
//!
//! ```text
//!            ACCEPT             CLOSE sent              CLOSE received
//! opening ───────────▶ open ───────────────▶ closing ───────────────────▶ gone
//!    │                  │                                                  ▲
//!    │ REJECT           └── CLOSE received, then answered at once ─────────┤
//!    └─────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! In: which frame came or went. Out: what to do with it. A stream that is gone is forgotten by its
//! owner; what still comes for it is judged by [`StreamIds::gone`](super::StreamIds::gone).

use super::{FlowError, FrameType, Side};

/// One stream at one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamLife {
    stream: u32,
    side: Side,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Opening,
    Open,
    /// CLOSE was sent; before ACCEPT, the answer may be REJECT.
    Closing,
    /// CLOSE was received and has to be answered.
    Closed,
    Gone,
}

/// How a frame is to be treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// It means what it says.
    Take,
    /// Nothing.
    Ignore,
    /// It is the peer's CLOSE: answer CLOSE at once, then the stream is gone.
    Close,
    /// It ends the stream: a REJECT, or the answer to our CLOSE.
    End,
}

impl StreamLife {
    /// A stream whose OPEN was sent (client) or received (gateway) by `side`.
    pub fn new(stream: u32, side: Side) -> Self {
        Self {
            stream,
            side,
            phase: Phase::Opening,
        }
    }

    /// A frame of this stream was received.
    ///
    /// # Errors
    /// [`FlowError`]: the peer must not send it now.
    pub fn receive(&mut self, frame: FrameType) -> Result<Received, FlowError> {
        let answers = matches!(frame, FrameType::Accept | FrameType::Reject);
        match (self.phase, self.side) {
            (Phase::Opening, Side::Client) if answers => {
                if frame == FrameType::Accept {
                    self.phase = Phase::Open;
                    return Ok(Received::Take);
                }
                self.phase = Phase::Gone;
                Ok(Received::End)
            }
            (Phase::Opening, Side::Client) => Err(FlowError::NotAnswered {
                stream: self.stream,
            }),
            (Phase::Opening, Side::Gateway) if frame != FrameType::Close => {
                Err(FlowError::BeforeAccept {
                    stream: self.stream,
                })
            }
            (Phase::Open, _) if answers => Err(FlowError::AnsweredTwice {
                stream: self.stream,
            }),
            (Phase::Opening | Phase::Open, _) if frame == FrameType::Close => {
                self.phase = Phase::Closed;
                Ok(Received::Close)
            }
            (Phase::Opening | Phase::Open, _) => Ok(Received::Take),
            (Phase::Closing, _) if matches!(frame, FrameType::Close | FrameType::Reject) => {
                self.phase = Phase::Gone;
                Ok(Received::End)
            }
            (Phase::Closing | Phase::Closed | Phase::Gone, _) => Ok(Received::Ignore),
        }
    }

    /// This end, the gateway, has sent ACCEPT.
    pub fn accepted(&mut self) {
        if self.phase == Phase::Opening {
            self.phase = Phase::Open;
        }
    }

    /// This end has sent CLOSE, or REJECT.
    pub fn closed(&mut self, frame: FrameType) {
        self.phase = match self.phase {
            Phase::Closed | Phase::Gone => Phase::Gone,
            Phase::Opening | Phase::Open | Phase::Closing if frame == FrameType::Reject => {
                Phase::Gone
            }
            Phase::Opening | Phase::Open | Phase::Closing => Phase::Closing,
        };
    }

    /// Returns whether this end may send DATA, CREDIT, PING and, as the gateway, DOWN and UP.
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Returns whether this end has sent CLOSE and waits for the other's.
    pub fn is_closing(&self) -> bool {
        self.phase == Phase::Closing
    }

    /// Returns whether both ends are done with it: its owner forgets it.
    pub fn is_gone(&self) -> bool {
        self.phase == Phase::Gone
    }
}
