//! The promises of every [`Mailbox`]: a function per promise, each on a store of its own.

mod limits; // what is refused, and when there is room again
mod messages; // what is stored, read and acknowledged
mod order; // restarts, completions and many submitters

use std::sync::Arc;

pub use self::{limits::*, messages::*, order::*};
use crate::Mailbox;

/// A store that can be opened, stopped and opened again with what it kept.
pub trait MailboxAdapter: Sized {
    /// Opens an empty store with these limits.
    fn open(limits: Limits) -> Self;
    /// The store.
    fn mailbox(&self) -> Arc<dyn Mailbox>;
    /// Stops the store and opens it again.
    #[must_use]
    fn restart(self) -> Self;
}

/// Limits of a store, named as in the configuration of the embedded one.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "see the configuration of the embedded store")]
pub struct Limits {
    pub user_messages_max: u64,
    pub user_bytes_max: u64,
    pub messages_max: u64,
    pub bytes_max: u64,
    pub sender_messages_max: u64,
    pub sender_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            user_messages_max: 1000,
            user_bytes_max: 1 << 20,
            messages_max: 100_000,
            bytes_max: 1 << 30,
            sender_messages_max: 100_000,
            sender_bytes_max: 1 << 30,
        }
    }
}

/// Makes a module of tests, one per promise, for a [`MailboxAdapter`].
#[macro_export]
macro_rules! mailbox_contract {
    ($module:ident, $adapter:ty) => {
        $crate::mailbox_contract! { $module, $adapter:
            messages_are_read_back_in_order_with_offsets_from_one,
            a_message_for_several_users_reaches_every_mailbox,
            a_user_named_twice_gets_the_message_twice,
            an_append_tells_which_offset_was_given_before_it,
            an_empty_mailbox_reads_as_nothing_gone_and_nothing_more,
            a_read_respects_both_bounds_and_says_whether_there_is_more,
            a_read_returns_one_message_however_small_its_byte_bound,
            an_ack_is_cumulative_and_moves_gone_up_to,
            an_ack_of_offsets_not_given_out_removes_only_what_there_is,
            an_ack_takes_effect_before_a_later_read,
            a_full_mailbox_keeps_the_message_from_nobody_else,
            a_message_that_no_mailbox_takes_is_refused_until_an_ack,
            a_sender_has_a_budget_over_all_mailboxes_that_a_restart_keeps,
            a_sender_fills_only_his_share_of_a_mailbox,
            a_purge_removes_what_it_names_and_says_how_many,
            a_read_tells_the_last_offset_although_that_message_has_left,
            a_purge_sees_exactly_what_was_completed_before_it,
            a_full_store_shows_in_the_statistics_until_something_leaves,
            a_full_mailbox_is_full_by_bytes_as_well,
            an_empty_mailbox_takes_a_message_of_exactly_the_byte_limit,
            a_full_store_refuses_and_an_ack_makes_room,
            appends_queued_together_see_each_others_reservations,
            a_restart_keeps_everything_in_order_and_the_epoch,
            offsets_continue_after_an_emptied_mailbox_and_a_restart,
            an_ack_survives_a_restart,
            stop_completes_what_was_taken_and_closes,
            a_completion_may_submit_further_commands,
            a_completion_may_stop_the_store,
            completions_of_one_user_come_in_the_order_of_submission,
            a_read_sees_exactly_what_was_completed_before_it,
            what_was_appended_is_acked_or_pending,
        }
    };
    ($module:ident, $adapter:ty: $($promise:ident),* $(,)?) => {
        mod $module {
            $(#[test]
            fn $promise() {
                $crate::contract::mailbox::$promise::<$adapter>();
            })*
        }
    };
}
