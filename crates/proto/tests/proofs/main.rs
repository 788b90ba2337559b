//! Promises and threats of the protocol core, each a test named after its identifier.
//!
//! The allocator of this test program counts per thread, so that "costs no memory" is measured.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod wire; // frames made by hand
mod malformed; // A2: every broken rule has its code, in any cut, in both roles
mod memory; // what a hostile peer makes us keep
mod work; // A7: what a hostile peer makes us do
