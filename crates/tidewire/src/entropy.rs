//! Strong randomness in small pieces: masking keys (RFC 6455 section 10.3) and nonces.
//!
//! One system call fills a block per thread that serves 256 keys.

use std::cell::RefCell;

use tidewire_proto::MaskKeys;

const BLOCK: usize = 1024;

struct Block {
    bytes: [u8; BLOCK],
    used: usize,
}

thread_local! {
    static RANDOM: RefCell<Block> = const { RefCell::new(Block { bytes: [0; BLOCK], used: BLOCK }) };
}

/// `N` random bytes; `N` divides the block size.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    RANDOM.with_borrow_mut(|block| {
        if block.used + N > BLOCK {
            getrandom::fill(&mut block.bytes).expect("the system has a random source");
            block.used = 0;
        }
        let mut out = [0; N];
        out.copy_from_slice(&block.bytes[block.used..block.used + N]);
        block.bytes[block.used..block.used + N].fill(0); // a key is used once
        block.used += N;
        out
    })
}

/// Keys for a client's frames.
pub(crate) struct RandomKeys;

impl MaskKeys for RandomKeys {
    fn next_key(&mut self) -> [u8; 4] {
        random()
    }
}
