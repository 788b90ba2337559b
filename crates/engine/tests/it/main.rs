//! Behaviour of the engine's adapters.

mod blocking; // commands that wait for their completion
mod clock; // time under the tests' control
mod contract; // what every adapter of Mailbox does
mod model; // random operations against a model
mod sqlite; // what only the embedded store does
mod sqlite_damage; // what it does with a damaged file
