//! Whose commands are next when there are more than a batch takes: [`Turns`].
//!
//! In: commands in the order of submission. Out: batches in which the submitters take turns, by
//! bytes written (deficit round robin): who queues gigabytes waits for them, and nobody else
//! does. Invariant: the commands of one submitter keep their order.

use std::collections::{HashMap, VecDeque};

use super::command::{BatchBounds, Command, Size};
use crate::UserKey;

/// Commands by submitter, each with what he may still take of this round.
#[derive(Default)]
pub(super) struct Turns {
    /// By submitter, none empty.
    lines: HashMap<Submitter, Line>,
    /// Every line once; the front one is next.
    order: VecDeque<Submitter>,
}

type Submitter = Option<UserKey>;

#[derive(Default)]
struct Line {
    commands: VecDeque<Command>,
    /// What may be taken, in cost. Below zero after a command of more than a turn.
    credit: i64,
}

impl Turns {
    pub(super) fn add(&mut self, commands: VecDeque<Command>) {
        for command in commands {
            let submitter = command.submitter().cloned();
            let line = self.lines.entry(submitter.clone()).or_default();
            if line.commands.is_empty() {
                self.order.push_back(submitter);
            }
            line.commands.push_back(command);
        }
    }

    /// The next commands, at least one if there is any, within `bounds`.
    pub(super) fn take(&mut self, bounds: BatchBounds) -> VecDeque<Command> {
        let mut taken = VecDeque::new();
        let mut size = Size::default();
        while bounds.admit_after(size) {
            let Some(submitter) = self.order.pop_front() else {
                break;
            };
            let Some(line) = self.lines.get_mut(&submitter) else {
                continue;
            };
            line.credit += TURN_COST;
            while line.credit > 0 && bounds.admit_after(size) {
                let Some(command) = line.commands.pop_front() else {
                    break;
                };
                let of_command = command.size();
                size.add(of_command);
                line.credit = line.credit.saturating_sub(cost(of_command));
                taken.push_back(command);
            }
            if line.commands.is_empty() {
                // With the last command of a line its debt is forgotten.
                self.lines.remove(&submitter);
            } else if line.credit > 0 {
                // The batch is full in the middle of a turn, which goes on in the next one.
                line.credit -= TURN_COST;
                self.order.push_front(submitter);
            } else {
                self.order.push_back(submitter);
            }
        }
        taken
    }
}

/// Bytes, and something for each row and look-up.
fn cost(size: Size) -> i64 {
    let rows = size.messages.saturating_mul(ROW_COST);
    i64::try_from(rows.saturating_add(size.bytes)).unwrap_or(i64::MAX)
}

/// About what one submitter writes before the next one's turn.
const TURN_COST: i64 = 64 << 10;
const ROW_COST: usize = 256;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{Append, Sender, embedded::command::Read};

    const BOUNDS: BatchBounds = BatchBounds {
        messages_max: 4096,
        bytes_max: 1 << 20,
    };

    fn append(sender: &str, recipients: usize, len: usize) -> Command {
        Command::Append {
            append: Append {
                recipients: vec!["x".into(); recipients],
                body: Bytes::from(vec![b'.'; len]),
                sender: Some(Sender {
                    user: sender.into(),
                    limited: true,
                }),
                ttl_ms: None,
                events: Vec::new(),
            },
            done: Box::new(|_| {}),
            plan: Ok(Vec::new()),
        }
    }

    fn read(user: &str, after: u64) -> Command {
        Command::Read {
            read: Read {
                user: user.into(),
                after,
                messages_max: 1,
                bytes_max: 1,
            },
            done: Box::new(|_| {}),
        }
    }

    fn names(commands: &VecDeque<Command>) -> Vec<String> {
        let name = |command: &Command| {
            command
                .submitter()
                .map_or_else(|| "-".into(), ToString::to_string)
        };
        commands.iter().map(name).collect()
    }

    #[test]
    fn one_who_queues_gigabytes_delays_others_by_one_of_his_messages() {
        let mut turns = Turns::default();
        turns.add((0..200).map(|_| append("eve", 256, 1 << 20)).collect());
        turns.add([append("ann", 1, 100), read("bob", 0)].into());
        assert_eq!(names(&turns.take(BOUNDS)), ["eve"]);
        assert_eq!(names(&turns.take(BOUNDS)), ["ann", "bob", "eve"]);
        turns.add([append("ann", 1, 100)].into());
        assert_eq!(names(&turns.take(BOUNDS)), ["ann", "eve"]);
    }

    #[test]
    fn submitters_of_equal_messages_get_equal_parts_of_a_batch() {
        let mut turns = Turns::default();
        for name in ["ann", "bob", "eve"] {
            turns.add((0..1000).map(|_| append(name, 1, 8 << 10)).collect());
        }
        let batch = names(&turns.take(BOUNDS));
        for name in ["ann", "bob", "eve"] {
            let count = batch.iter().filter(|of| *of == name).count();
            assert!(
                (32..=56).contains(&count),
                "{name} has {count} of {}",
                batch.len()
            );
        }
    }

    #[test]
    fn the_commands_of_one_submitter_keep_their_order_and_none_is_lost() {
        let mut turns = Turns::default();
        for after in 0..3000 {
            turns.add([read("ann", after), read("bob", after)].into());
        }
        let bounds = BatchBounds {
            messages_max: 700,
            ..BOUNDS
        };
        let (mut next, mut count) = (HashMap::<UserKey, u64>::new(), 0);
        loop {
            let batch = turns.take(bounds);
            if batch.is_empty() {
                break;
            }
            for command in batch {
                let Command::Read { read, .. } = command else {
                    panic!("only reads were added");
                };
                let next = next.entry(read.user).or_default();
                assert_eq!(read.after, *next);
                *next += 1;
                count += 1;
            }
        }
        assert_eq!(count, 6000);
        assert!(turns.lines.is_empty() && turns.order.is_empty());
    }
}
