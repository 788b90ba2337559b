//! Numbers of streams, and the frames of one message: rules that need no more than a number to keep.

use super::{DataFlags, FlowError};

/// The streams of a connection that were ever opened. The same at both ends: the client takes its
/// numbers here, the gateway checks them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamIds {
    greatest: u32,
}

impl StreamIds {
    /// The client's next number; `None` once all are used up: another connection is needed.
    pub fn allocate(&mut self) -> Option<u32> {
        self.greatest = self.greatest.checked_add(1)?;
        Some(self.greatest)
    }

    /// OPEN was received.
    ///
    /// # Errors
    /// [`FlowError::StreamOrder`]: the number is not greater than all before.
    pub fn open(&mut self, stream: u32) -> Result<(), FlowError> {
        if stream <= self.greatest {
            return Err(FlowError::StreamOrder {
                stream,
                greatest: self.greatest,
            });
        }
        self.greatest = stream;
        Ok(())
    }

    /// Another frame was received, for a stream that is not in the table. `Ok`: the stream is gone, the
    /// frame is ignored.
    ///
    /// # Errors
    /// [`FlowError::NeverOpened`].
    pub fn gone(&self, stream: u32) -> Result<(), FlowError> {
        if stream <= self.greatest {
            return Ok(());
        }
        Err(FlowError::NeverOpened {
            stream,
            greatest: self.greatest,
        })
    }

    /// The greatest number so far; 0 before the first.
    pub fn greatest(&self) -> u32 {
        self.greatest
    }
}

/// The DATA frames of one direction of a stream: where messages begin and end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageFrames {
    /// The kind of the message under way.
    binary: Option<bool>,
}

impl MessageFrames {
    /// A frame was received; gives whether it begins a message.
    ///
    /// # Errors
    /// [`FlowError::KindChanged`].
    pub fn accept(&mut self, stream: u32, flags: DataFlags) -> Result<bool, FlowError> {
        let begins = self.binary.is_none();
        if self.binary.is_some_and(|binary| binary != flags.binary) {
            return Err(FlowError::KindChanged { stream });
        }
        self.binary = (!flags.last).then_some(flags.binary);
        Ok(begins)
    }

    /// Returns whether a message has begun and not ended.
    pub fn is_inside(&self) -> bool {
        self.binary.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_used_once_and_only_upwards() {
        let mut ids = StreamIds::default();
        for stream in [1, 2, 7] {
            assert_eq!(ids.open(stream), Ok(()));
        }
        for stream in [0, 1, 3, 7] {
            let order = FlowError::StreamOrder {
                stream,
                greatest: 7,
            };
            assert_eq!(ids.open(stream), Err(order));
        }
        assert_eq!(ids.gone(3), Ok(()), "skipped numbers are used up too");
        let never = FlowError::NeverOpened {
            stream: 8,
            greatest: 7,
        };
        assert_eq!(ids.gone(8), Err(never));
        assert_eq!(ids.allocate(), Some(8));
        assert_eq!(ids.open(u32::MAX), Ok(()));
        assert_eq!(ids.allocate(), None);
    }

    #[test]
    fn the_frames_of_a_message_are_of_one_kind() {
        let mut frames = MessageFrames::default();
        let flags = |last, binary| DataFlags { last, binary };
        assert_eq!(frames.accept(1, flags(false, true)), Ok(true));
        assert_eq!(
            frames.accept(1, flags(true, false)),
            Err(FlowError::KindChanged { stream: 1 })
        );
        assert_eq!(frames.accept(1, flags(true, true)), Ok(false));
        assert!(!frames.is_inside());
        assert_eq!(frames.accept(1, flags(true, false)), Ok(true));
    }
}
