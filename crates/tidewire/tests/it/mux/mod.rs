//! The client of a gateway against scripted gateways: what it says, frame by frame, and what it makes
//! of what it hears.

mod script; // a gateway that says what the test says
mod echo; // a gateway that echoes, with credit of its own
mod opening; // endpoints that open, or do not
mod messages; // order, pieces, many sockets at once
mod credit; // who waits for whom
mod ending; // close, loss, broken rules
mod example; // what the example prints
mod lifetime; // the runtime of a connection
