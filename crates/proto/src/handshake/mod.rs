//! Handshake
