//! The hash that the original's example server answers with.

/// Returns the hash of a text, of which the original's example server sends the low 32 bits.
///
/// The original uses C++'s `std::hash`, which each standard library defines as it likes. This is the function of
/// libstdc++ (GCC on 64-bit machines): `MurmurHash64A`, seed `0xc70f6907`. It is no protection against anybody.
///
/// ```
/// # use tidewire_proto::fbe::hash_of_text;
/// assert_eq!(hash_of_text("test"), 0x0a7a_19fb);
/// ```
pub fn hash_of_text(text: &str) -> u32 {
    // The low half is what goes over the wire.
    let [a, b, c, d, ..] = murmur64(text.as_bytes()).to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

fn murmur64(bytes: &[u8]) -> u64 {
    const MULTIPLIER: u64 = 0xc6a4_a793_5bd1_e995;
    const SEED: u64 = 0xc70f_6907;
    let shift_mix = |value: u64| value ^ (value >> 47);
    let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let mut hash = SEED ^ len.wrapping_mul(MULTIPLIER);
    let (chunks, rest) = bytes.as_chunks::<8>();
    for chunk in chunks {
        let data = u64::from_le_bytes(*chunk).wrapping_mul(MULTIPLIER);
        hash = (hash ^ shift_mix(data).wrapping_mul(MULTIPLIER)).wrapping_mul(MULTIPLIER);
    }
    if !rest.is_empty() {
        let data = rest
            .iter()
            .rev()
            .fold(0, |data, byte| data << 8 | u64::from(*byte));
        hash = (hash ^ data).wrapping_mul(MULTIPLIER);
    }
    shift_mix(shift_mix(hash).wrapping_mul(MULTIPLIER))
}
