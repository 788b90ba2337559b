//! The gateway: one address in front of many named WebSocket endpoints, self-healing.
//!
//! In: [`Settings`](settings::Settings). Out: a running gateway. Knows no users and no messages'
//! meaning: no messaging code is in it.
#![forbid(unsafe_code)]

pub mod settings; // what the operator wants, checked
pub mod upstream; // which upstream a connection gets, and which are usable
