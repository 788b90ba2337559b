//! What both programs tell about requests and connections: access logs, and the trace contexts of requests.
//!
//! In: records as the programs make them. Out: lines, somewhere. Invariant: nobody who serves a client waits for what is
//! written here; what finds no room is dropped and counted.
#![forbid(unsafe_code)]

mod line_log; // records → lines
mod trace_context; // `traceparent`

pub use line_log::{LineLog, LogPlace, timestamp};
pub use trace_context::TraceContext;
