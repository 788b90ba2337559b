//! Seeded random inputs and mutations of known ones: what libFuzzer does better, but on any
//! compiler and the same on every run.

/// A small generator (SplitMix64): its quality is enough to vary inputs, and its sequence
/// never changes with a dependency's version.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 if there is none.
    pub fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next_u64() % end).unwrap_or(0)
    }

    /// Up to `len_max` random bytes; short ones are as likely as long ones.
    pub fn bytes(&mut self, len_max: usize) -> Vec<u8> {
        let len = self.below(len_max + 1);
        let len = self.below(len + 1);
        (0..len).map(|_| self.byte()).collect()
    }

    /// `input` with a few bytes changed, repeated, inserted, removed or cut off, or joined
    /// with a part of `other`.
    pub fn mutate(&mut self, input: &[u8], other: &[u8]) -> Vec<u8> {
        let mut out = input.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(out.len());
            match self.below(7) {
                0 if !out.is_empty() => out[at] = self.byte(),
                1 if !out.is_empty() => out[at] ^= 1 << self.below(8),
                2 if !out.is_empty() => {
                    out.remove(at);
                }
                3 => out.insert(at, self.byte()),
                4 => out.truncate(at),
                5 => {
                    let end = at + self.below(out.len() - at + 1);
                    let part = out[at..end].to_vec();
                    out.splice(at..at, part);
                }
                _ => {
                    let from = self.below(other.len());
                    let part = other[from..].iter().take(self.below(64)).copied();
                    out.splice(at..at, part);
                }
            }
        }
        out
    }

    fn byte(&mut self) -> u8 {
        self.next_u64().to_be_bytes()[0]
    }
}
