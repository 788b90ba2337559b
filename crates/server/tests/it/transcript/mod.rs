//! The classic dialect byte by byte: what clients send, and every frame and answer they get.
//!
//! Each test plays a scenario against a server of its own and compares the whole exchange with a file
//! of `tests/transcripts`. Only message ids and the server's own times are replaced, by names in the order of
//! their appearance. A missing file is written, and the test fails: whoever adds one reads it first.

mod record; // the exchange as text

mod conversation; // messages, copies, receipts
mod endings; // close codes and their reasons
mod rest; // the same messages over REST
