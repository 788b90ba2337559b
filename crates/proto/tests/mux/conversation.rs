//! Two ends made of the shared pieces and nothing else: each keeps its streams, sends and judges.

use std::collections::BTreeMap;

use tidewire_proto::mux::{
    Body, FlowError, Frame, MessageFrames, ReceiveCredit, Received, SendCredit, Side, StreamIds,
    StreamLife,
};

/// What the receiver does with a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Taken,
    Ignored,
    Error(String),
}

pub(crate) struct Conversation {
    client: End,
    gateway: End,
}

impl Default for Conversation {
    fn default() -> Self {
        Self {
            client: End::new(Side::Client),
            gateway: End::new(Side::Gateway),
        }
    }
}

impl Conversation {
    /// `from` sends a frame, the other end receives it.
    pub(crate) fn say(&mut self, from: Side, frame: &Frame<'_>) -> Outcome {
        let (sender, receiver) = match from {
            Side::Client => (&mut self.client, &mut self.gateway),
            Side::Gateway => (&mut self.gateway, &mut self.client),
        };
        sender.send(frame);
        match receiver.receive(frame) {
            Ok(outcome) => outcome,
            Err(error) => {
                assert!(error.to_string().len() <= 123, "fits a close frame");
                Outcome::Error(error.to_string())
            }
        }
    }
}

struct End {
    side: Side,
    ids: StreamIds,
    streams: BTreeMap<u32, Stream>,
}

struct Stream {
    life: StreamLife,
    frames: MessageFrames,
    /// What this end gave.
    receive: Option<ReceiveCredit>,
    /// What this end got.
    send: Option<SendCredit>,
    /// Payload lengths received and not passed on.
    held: Vec<usize>,
}

impl End {
    fn new(side: Side) -> Self {
        Self {
            side,
            ids: StreamIds::default(),
            streams: BTreeMap::new(),
        }
    }

    fn open(&mut self, stream: u32) -> &mut Stream {
        let opened = Stream {
            life: StreamLife::new(stream, self.side),
            frames: MessageFrames::default(),
            receive: None,
            send: None,
            held: Vec::new(),
        };
        self.streams.entry(stream).insert_entry(opened).into_mut()
    }

    /// Whatever the dialogue says is sent, right or wrong.
    fn send(&mut self, frame: &Frame<'_>) {
        let number = frame.stream;
        if let Body::Open(open) = &frame.body {
            if self.ids.open(number).is_ok() {
                self.open(number).receive = Some(ReceiveCredit::new(number, open.credit));
            }
            return;
        }
        let Some(stream) = self.streams.get_mut(&number) else {
            return;
        };
        match &frame.body {
            Body::Accept { credit, .. } => {
                stream.life.accepted();
                stream.receive = Some(ReceiveCredit::new(number, *credit));
            }
            Body::Close(_) | Body::Reject { .. } => stream.life.closed(frame.frame_type()),
            Body::Data { payload, .. } => {
                // The receiver judges whether it was enough.
                if let Some(send) = &mut stream.send {
                    send.take(payload.len());
                }
            }
            Body::Credit(credit) => {
                if stream.life.is_open() {
                    stream.pass_on(*credit);
                }
            }
            Body::Open(_)
            | Body::Ping(_)
            | Body::Pong(_)
            | Body::Down { .. }
            | Body::Up
            | Body::GoAway { .. } => {}
        }
        if stream.life.is_gone() {
            self.streams.remove(&number);
        }
    }

    fn receive(&mut self, frame: &Frame<'_>) -> Result<Outcome, FlowError> {
        let number = frame.stream;
        if number == 0 {
            return Ok(Outcome::Taken);
        }
        if let Body::Open(open) = &frame.body {
            self.ids.open(number)?;
            self.open(number).send = Some(SendCredit::new(number, open.credit));
            return Ok(Outcome::Taken);
        }
        let Some(stream) = self.streams.get_mut(&number) else {
            self.ids.gone(number)?;
            return Ok(Outcome::Ignored);
        };
        match stream.life.receive(frame.frame_type())? {
            Received::Ignore => return Ok(Outcome::Ignored),
            Received::Take => stream.take(frame)?,
            Received::Close => {}
            Received::End => {
                self.streams.remove(&number);
            }
        }
        Ok(Outcome::Taken)
    }
}

impl Stream {
    fn take(&mut self, frame: &Frame<'_>) -> Result<(), FlowError> {
        match &frame.body {
            Body::Accept { credit, .. } => self.send = Some(SendCredit::new(frame.stream, *credit)),
            Body::Data { flags, payload } => {
                self.receive
                    .as_mut()
                    .expect("an open stream")
                    .charge(payload.len())?;
                self.frames.accept(frame.stream, *flags)?;
                self.held.push(payload.len());
            }
            Body::Credit(credit) => self.send.as_mut().expect("an open stream").add(*credit)?,
            Body::Ping(_) | Body::Pong(_) | Body::Down { .. } | Body::Up => {}
            Body::Open(_) | Body::Reject { .. } | Body::Close(_) | Body::GoAway { .. } => {
                panic!("{frame:?} is not judged by its stream");
            }
        }
        Ok(())
    }

    /// This end gives credit: it has passed on all that it held, and `credit` is what that came to.
    fn pass_on(&mut self, credit: u32) {
        let receive = self.receive.as_mut().expect("an open stream");
        let mut given = self.held.drain(..).filter_map(|len| receive.give_back(len));
        assert!(given.all(|given| given == credit), "as much as was held");
    }
}
