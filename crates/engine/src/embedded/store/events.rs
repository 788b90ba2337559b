//! Describes what the outbox is asked for: planned before a commit, completed behind it.

use super::Store;
use crate::{
    OutboxError,
    embedded::outbox::{OutboxCommand, dead_letters},
};

impl Store {
    /// Decides about a request, before it is written.
    pub(in crate::embedded) fn plan_outbox(
        &mut self,
        request: &OutboxCommand,
    ) -> Result<(), OutboxError> {
        match request {
            OutboxCommand::Append { events, .. } => self.outbox.admit(events, false),
            OutboxCommand::Register { targets, .. } => {
                self.outbox.register(targets);
                self.index.note_expired(self.outbox.wants_expired());
                Ok(())
            }
            OutboxCommand::Read { .. }
            | OutboxCommand::Bury { .. }
            | OutboxCommand::DeadLetters { .. }
            | OutboxCommand::RemoveDead { .. } => Ok(()),
        }
    }

    /// Answers a request that was planned and, if it is to be written, is on disk.
    pub(in crate::embedded) fn complete_outbox(
        &mut self,
        request: OutboxCommand,
        plan: Result<(), OutboxError>,
    ) -> rusqlite::Result<()> {
        if let Err(error) = plan {
            request.fail(error);
            return Ok(());
        }
        let epoch = self.epoch();
        let failed = match request {
            OutboxCommand::Append { done, .. } | OutboxCommand::Bury { done, .. } => {
                done(Ok(()));
                return Ok(());
            }
            OutboxCommand::Register { done, .. } => {
                done(Ok(self.outbox.cursors()));
                return Ok(());
            }
            OutboxCommand::RemoveDead { done, removed, .. } => {
                done(Ok(removed.get()));
                return Ok(());
            }
            OutboxCommand::Read {
                after,
                events_max,
                bytes_max,
                done,
            } => {
                let bounds = (after, events_max, bytes_max);
                match self.outbox.read(&self.database, epoch, bounds) {
                    Ok(batch) => {
                        done(Ok(batch));
                        return Ok(());
                    }
                    Err(error) => (error, Failing::Read(done)),
                }
            }
            OutboxCommand::DeadLetters {
                after,
                letters_max,
                done,
            } => match dead_letters(self.database.connection(), after, letters_max) {
                Ok(letters) => {
                    done(Ok(letters));
                    return Ok(());
                }
                Err(error) => (error, Failing::DeadLetters(done)),
            },
        };
        let (error, failing) = failed;
        failing.fail(&error);
        Err(error)
    }

    /// Wakes who waits for events, once per batch.
    pub(in crate::embedded) fn tell_new_events(&mut self) {
        if let Some(stats) = self.outbox.changed_stats() {
            self.shared.outbox.set_stats(stats);
        }
        if std::mem::take(&mut self.has_new_events) {
            self.shared.outbox.tell_new_events();
        }
    }
}

/// A read that has met an error of the database, with which the store ends.
enum Failing {
    Read(crate::OnOutbox<crate::EventBatch>),
    DeadLetters(crate::OnOutbox<Vec<crate::DeadLetter>>),
}

impl Failing {
    fn fail(self, error: &rusqlite::Error) {
        let reason = std::sync::Arc::from(error.to_string());
        let error = OutboxError::Failed { reason };
        match self {
            Self::Read(done) => done(Err(error)),
            Self::DeadLetters(done) => done(Err(error)),
        }
    }
}
