//! Reading mailboxes for sessions that catch up.
//!
//! In: sessions that want their next messages, the store's answers. Out: reads, and decoded
//! batches for the sessions. Invariant: a session that wants a read gets one, at the latest when
//! the store is no longer busy; a completion never waits and never recurses into another.

use std::sync::Arc;

use tidewire_engine::{Batch, ReadError, SubmitError};

use crate::{
    Hub, Publication, Reason, UserId, delivery::CaughtUp, fan_out::Work, live::Live,
    send_queue::Item,
};

impl Hub {
    /// Asks the store for the session's next messages, if it wants any.
    pub(crate) fn read_if_wanted(self: &Arc<Self>, live: &Arc<Live>) {
        match self.try_read(live) {
            Ok(()) => {}
            Err(SubmitError::Busy) => self.wait_for_gate(live),
            Err(SubmitError::Closed | _) => live.end(Reason::StoreClosed),
        }
    }

    /// Lets a session wait until the store has room again.
    pub(crate) fn wait_for_gate(self: &Arc<Self>, live: &Arc<Live>) {
        self.gate.wait(live);
        self.shut_gate();
    }

    /// Lets nothing be submitted until a command has completed.
    pub(crate) fn shut_gate(self: &Arc<Self>) {
        if self.gate.shut() {
            self.release_waiting();
        }
    }

    /// The store did not take a command.
    pub(crate) fn command_not_taken(self: &Arc<Self>, error: SubmitError) {
        self.gate.cancel();
        let release = match error {
            SubmitError::Busy => self.gate.shut(),
            SubmitError::Closed | _ => self.gate.open_again(),
        };
        if release {
            self.release_waiting();
        }
    }

    pub(crate) fn command_completed(self: &Arc<Self>) {
        if self.gate.complete() {
            self.release_waiting();
        }
    }

    pub(crate) fn try_read(self: &Arc<Self>, live: &Arc<Live>) -> Result<(), SubmitError> {
        let Some(request) = live.next_read() else {
            return Ok(());
        };
        let done = {
            let (hub, live) = (Arc::clone(self), Arc::clone(live));
            Box::new(move |result| hub.complete_read(live, result))
        };
        self.gate.begin();
        let (room, key) = (request.room, live.key.clone());
        let read = self
            .mailbox
            .read(key, request.after, room.messages, room.bytes, done);
        if let Err(error) = read {
            live.handle_read_not_taken();
            self.gate.cancel();
            return Err(error);
        }
        Ok(())
    }

    /// Runs on the store's thread, in order with the completions of appends.
    fn complete_read(self: &Arc<Self>, live: Arc<Live>, result: Result<Batch, ReadError>) {
        let shard = self.session_table.shard_of(&live.user);
        if self.fan_out.is_idle(shard) {
            self.handle_read(&live, result);
        } else {
            self.hand_over([(shard, Work::Read { live, result })]);
        }
    }

    /// Runs in order with the deliveries of appends to this user.
    pub(crate) fn handle_read(
        self: &Arc<Self>,
        live: &Arc<Live>,
        result: Result<Batch, ReadError>,
    ) {
        match result {
            Ok(batch) => {
                let queued = live.handle_read(self.decode(batch, &live.user));
                self.counters.caught_up.add(queued);
                self.read_if_wanted(live);
            }
            Err(error) => {
                tracing::warn!(user = %live.user, %error, "a mailbox could not be read");
                live.end(Reason::StoreFailed);
            }
        }
        self.command_completed();
    }

    fn decode(&self, batch: Batch, recipient: &UserId) -> CaughtUp {
        let Batch {
            epoch,
            messages,
            gone_up_to,
            last_offset,
            more,
        } = batch;
        let last = messages.last().map(|message| message.offset);
        let mut items = Vec::with_capacity(messages.len());
        for message in messages {
            let Ok(publication) = Publication::from_body(message.body, recipient) else {
                self.counters.undecodable.add(1);
                tracing::warn!(
                    offset = message.offset,
                    "skipped a record that is no message"
                );
                continue;
            };
            items.push(Item::durable(Arc::new(publication), message.offset));
        }
        CaughtUp {
            epoch,
            gone_up_to,
            last_offset,
            last,
            items,
            more,
        }
    }

    /// Lets waiting sessions go on until the store is busy again.
    fn release_waiting(self: &Arc<Self>) {
        let mut idle_refusals = 0;
        while let Some(live) = self.gate.next_waiting() {
            match self.try_read(&live) {
                Ok(()) => {}
                Err(SubmitError::Busy) => {
                    self.gate.wait(&live);
                    if !self.gate.shut() {
                        // A command is outstanding; its completion goes on here.
                        return;
                    }
                    idle_refusals += 1;
                    if idle_refusals > IDLE_REFUSALS_MAX {
                        // Busy without a command of ours: nothing would ever release them.
                        return self.end_waiting();
                    }
                }
                Err(SubmitError::Closed | _) => live.end(Reason::StoreClosed),
            }
        }
    }

    fn end_waiting(&self) {
        while let Some(live) = self.gate.next_waiting() {
            if live.wants_read() {
                live.end(Reason::Overloaded);
            }
        }
    }
}

/// How often the store may be busy in a row while nothing of ours is outstanding. Once or
/// twice is a race: the last command completed between the refusal and the look.
const IDLE_REFUSALS_MAX: u32 = 16;
