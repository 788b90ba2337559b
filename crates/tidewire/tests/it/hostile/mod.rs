//! The toolkit against peers of bad will; tests are named after the entries of the lists they
//! prove, as in the core's `tests/hostile`.

mod ambiguity; // requests that can be read in two ways
#[cfg(feature = "deflate")]
mod cancel; // receives that are dropped at every byte
mod canary; // what one peer sent never reaches another
mod floods; // control frames without end
mod heads; // requests over real sockets
mod silence; // peers that read or write nothing
mod transport; // streams that buffer, messages of unusual size
