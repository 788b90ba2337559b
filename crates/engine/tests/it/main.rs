//! Behaviour of the engine's adapters.

mod blocking; // commands that wait for their completion
mod clock; // time under the tests' control
mod contract; // what every adapter of Mailbox does
mod model; // random operations against a model
mod sqlite; // what only the embedded store does
mod sqlite_damage; // what it does with a damaged file
mod sqlite_files; // what it does when its files go away
mod sqlite_formats; // what it does with stores of earlier programs
mod sqlite_log; // what it does with a damaged log
mod sqlite_time; // what it makes of wrong clocks
