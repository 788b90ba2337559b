//! Many peers at once, and what each of them costs.
//!
//! A program of its own: it holds thousands of descriptors, and its allocator counts, per thread.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod memory; // what peers that do not read, or do not go on, make us hold
mod shutdown; // everybody is told
mod slowloris; // half-open connections beside good ones
