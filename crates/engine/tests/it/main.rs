//! Behaviour of the engine's adapters.

mod clock; // time under the tests' control
mod model; // random operations against a model
mod registry; // the embedded registry
mod sqlite; // what only the embedded store does
mod sqlite_copies; // copies of it, also while it works
mod sqlite_damage; // what it does with a damaged file
mod sqlite_files; // what it does when its files go away
mod sqlite_formats; // what it does with stores of earlier programs
mod sqlite_events; // its outbox of events
mod sqlite_log; // what it does with a damaged log
mod sqlite_mailboxes; // its mailboxes seen from outside
mod sqlite_respelt; // mailboxes under earlier spellings of their users' keys
mod sqlite_shared; // messages to several users as one row
mod sqlite_time; // what it makes of wrong clocks
