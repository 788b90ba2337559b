//! What a peer of bad will can send, and what it gets for it; each test is named after the entry
//! of the list it proves: `item_` (bugs of other libraries), `a`, `e` (promises), `threat_`, `cve_`.
//!
//! Everything runs in both roles where both can be attacked. The allocator that counts belongs to
//! this program alone, and counts per thread.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod peer; // frames, and an end of a connection that answers them
mod corpus; // malformed input by rule, with the code it is answered with
mod verdicts; // the corpus and any other bytes, in any cut
mod closing; // the table of close codes
mod lengths; // announced lengths and what they allocate
mod floods; // many tiny things
mod heads; // request and response heads
mod injection; // what the application passes into heads
mod smuggling; // requests that two readers could read differently
#[cfg(feature = "deflate")]
mod inflating; // compressed messages
#[cfg(feature = "deflate")]
mod negotiation; // agreeing on compression
