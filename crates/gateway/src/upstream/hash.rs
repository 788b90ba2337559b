//! Hashes that place keys on upstreams: the same in every process, version and machine, so that
//! several gateways in front of the same upstreams agree.
//!
//! Rendezvous hashing: every pair of key and upstream has a score, and the highest wins. When an
//! upstream goes, only its own keys move, to each of the others by weight; when one comes, it
//! takes its share and no other key moves. There is no ring to keep, and picking costs one score per
//! upstream.

use std::net::IpAddr;

use crate::settings::HashKey;

/// Who asks for an upstream: what [`Balance::Hash`](crate::settings::Balance::Hash) looks at.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClientKey<'a> {
    /// The client's address, for [`HashKey::Ip`].
    pub ip: Option<IpAddr>,
    /// The header, query parameter or cookie that [`HashKey`] names, if the request has it.
    pub value: Option<&'a [u8]>,
}

/// The bytes that are hashed; `None`: the request has no key.
pub(super) fn key(key: &HashKey, client: &ClientKey<'_>) -> Option<Vec<u8>> {
    match key {
        HashKey::Ip => client.ip.map(|ip| match ip.to_canonical() {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        }),
        HashKey::Header(_) | HashKey::Query(_) | HashKey::Cookie(_) => {
            client.value.map(<[u8]>::to_vec)
        }
    }
}

/// Hash of a text of any length: FNV-1a, with its bits mixed.
pub(super) fn of(bytes: &[u8]) -> u64 {
    let fnv = bytes.iter().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3)
    });
    mix(fnv)
}

/// Score of a key at a place: exponentially distributed with rate 1 / `weight`, so that the highest of
/// several scores is each one's as often as its weight says. Never negative, never NaN.
pub(super) fn score(key: u64, place: u64, weight: u32) -> f64 {
    let bits = mix(key ^ place.rotate_left(32)) >> 11; // what a f64 holds exactly
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
    let uniform = (bits as f64 + 0.5) / (1_u64 << 53) as f64; // in (0, 1)
    f64::from(weight) / -uniform.ln()
}

/// Every bit of the result depends on every bit of `x` (the finalizer of splitmix64).
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of the places (with weights) each of 20 000 keys gets.
    fn placed(places: &[(&str, u32)]) -> Vec<String> {
        let keys = (0..20_000).map(|key| of(format!("client-{key}").as_bytes()));
        keys.map(|key| {
            let by_score = |(name, weight): &&(&str, u32)| score(key, of(name.as_bytes()), *weight);
            let best = places
                .iter()
                .max_by(|a, b| by_score(a).total_cmp(&by_score(b)));
            best.map(|(name, _)| (*name).to_owned()).unwrap_or_default()
        })
        .collect()
    }

    fn share(placed: &[String], name: &str) -> f64 {
        let count = placed.iter().filter(|place| *place == name).count();
        f64::from(u32::try_from(count).unwrap()) / 20_000.0
    }

    #[test]
    fn keys_are_shared_out_by_weight() {
        let placed = placed(&[("ws://a/", 1), ("ws://b/", 2), ("ws://c/", 5)]);
        for (name, expected) in [("ws://a/", 0.125), ("ws://b/", 0.25), ("ws://c/", 0.625)] {
            let share = share(&placed, name);
            assert!((share - expected).abs() < 0.015, "{name}: {share}");
        }
    }

    #[test]
    fn only_the_keys_of_the_upstream_that_goes_move_and_go_to_all_others() {
        let five = [
            ("ws://a/", 1),
            ("ws://b/", 1),
            ("ws://c/", 1),
            ("ws://d/", 1),
            ("ws://e/", 1),
        ];
        let before = placed(&five);
        let after = placed(&five[..4]);
        let mut moved = Vec::new();
        for (before, after) in before.iter().zip(&after) {
            if before == "ws://e/" {
                moved.push(after.clone());
            } else {
                assert_eq!(before, after, "a key moved without need");
            }
        }
        let fraction = f64::from(u32::try_from(moved.len()).unwrap()) / 20_000.0;
        assert!((fraction - 0.2).abs() < 0.015, "moved: {fraction}");
        for (name, _) in &five[..4] {
            let taken = moved.iter().filter(|place| place == name).count();
            let part = f64::from(u32::try_from(taken).unwrap())
                / f64::from(u32::try_from(moved.len()).unwrap());
            assert!((part - 0.25).abs() < 0.03, "{name} took {part}");
        }
    }

    #[test]
    fn the_hash_is_the_same_for_ever() {
        // A new version that placed keys elsewhere would break every client's session at once.
        assert_eq!(of(b""), mix(0xCBF2_9CE4_8422_2325));
        assert_eq!(of(b"client-1"), 0x38B3_FD24_3825_1CB2);
    }
}
