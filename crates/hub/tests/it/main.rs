//! Behaviour of the hub on a store whose commits the tests pump by hand.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

mod desk;
mod mailbox;

mod accepting;
mod catch_up;
mod fan_out;
mod gaps;
mod interleaving;
mod limits;
mod live_only;
mod notices;
mod receipts;
mod recipients;
mod statistics;
mod threads;
mod transcript;
mod unproven;
mod wakes;
