//! libFuzzer's entry: calls the target that `TIDEWIRE_FUZZ_TARGET` names. One program for all
//! targets, so that the crates are compiled once.
#![no_main]
#![forbid(unsafe_code)]

use std::sync::OnceLock;

use tidewire_fuzz::{TARGETS, Target};

static CHOSEN: OnceLock<&Target> = OnceLock::new();

fn chosen() -> &'static Target {
    let name = std::env::var("TIDEWIRE_FUZZ_TARGET").expect("TIDEWIRE_FUZZ_TARGET names a target");
    TARGETS
        .iter()
        .find(|target| target.name == name)
        .expect("TIDEWIRE_FUZZ_TARGET names a target of fuzz/targets")
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| (CHOSEN.get_or_init(chosen).run)(data));
