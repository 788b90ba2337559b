//! Every target, without libFuzzer: the corpus, then a fixed number of seeded inputs.
//!
//! `TIDEWIRE_FUZZ_ROUNDS` multiplies the number of random inputs, `TIDEWIRE_FUZZ_SEED`
//! chooses others.

use std::{fs, path::PathBuf};

use tidewire_fuzz::{Random, TARGETS, Target};

/// Random inputs per target in one round: a few seconds for all of them unoptimised.
const INPUTS_PER_ROUND: u64 = 1500;

/// Longest random input.
const INPUT_LEN_MAX: usize = 700;

fn corpus(target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../corpus")
        .join(target.name);
    let entries =
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a readable folder").path())
        .collect();
    files.sort();
    files
        .into_iter()
        .map(|path| {
            let bytes = fs::read(&path).expect("a readable file");
            (path, bytes)
        })
        .collect()
}

fn number_from(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |value| value.parse().expect(variable))
}

/// Runs the target and names the input if it panics.
fn run(target: &Target, what: &str, input: &[u8]) {
    let result = std::panic::catch_unwind(|| (target.run)(input));
    assert!(
        result.is_ok(),
        "target {} failed on {what}: {input:02x?}",
        target.name
    );
}

#[test]
fn every_corpus_file_keeps_the_promises() {
    for target in TARGETS {
        let files = corpus(target);
        assert!(!files.is_empty(), "{} has a corpus", target.name);
        for (path, input) in files {
            run(target, &path.display().to_string(), &input);
        }
    }
}

#[test]
fn seeded_inputs_keep_the_promises() {
    let rounds = number_from("TIDEWIRE_FUZZ_ROUNDS", 1);
    let seed = number_from("TIDEWIRE_FUZZ_SEED", 1);
    for target in TARGETS {
        let files = corpus(target);
        for index in 0..rounds * INPUTS_PER_ROUND {
            let mut random = Random::new(seed.wrapping_mul(1 << 32).wrapping_add(index));
            let input = if index % 3 == 0 {
                random.bytes(INPUT_LEN_MAX)
            } else {
                let (_, first) = &files[random.below(files.len())];
                let (_, second) = &files[random.below(files.len())];
                random.mutate(first, second)
            };
            run(target, &format!("seed {seed} input {index}"), &input);
        }
    }
}
