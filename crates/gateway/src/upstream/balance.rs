//! Which of several usable members gets the next connection. Pure; the members' turns are the
//! only state.

use super::{hash, member::Member};

/// By turns, smooth: every member gains its weight, the one with the most credit is picked and
/// pays what all gained. Over a cycle (the sum of the weights) each is picked exactly as often as its
/// weight says, and picks of a heavy one are spread out.
pub(super) fn by_turns<'a>(candidates: Vec<&'a mut Member>) -> Option<&'a mut Member> {
    let mut gained = 0;
    let mut best: Option<&'a mut Member> = None;
    for member in candidates {
        let weight = i64::from(member.weight());
        member.turn += weight;
        gained += weight;
        if best.as_ref().is_none_or(|best| member.turn > best.turn) {
            best = Some(member);
        }
    }
    let best = best?;
    best.turn -= gained;
    Some(best)
}

/// The one with the fewest connections per weight; those that are equal by turns.
pub(super) fn least_connections(mut candidates: Vec<&mut Member>) -> Option<&mut Member> {
    let least = candidates
        .iter()
        .map(|member| Load::of(member))
        .min_by(Load::compare)?;
    candidates.retain(|member| Load::of(member).compare(&least).is_eq());
    by_turns(candidates)
}

/// The one with the highest score for the key; see [`hash`].
pub(super) fn by_key<'a>(candidates: Vec<&'a mut Member>, key: &[u8]) -> Option<&'a mut Member> {
    let key = hash::of(key);
    let score = |member: &Member| hash::score(key, member.place, member.weight());
    candidates
        .into_iter()
        .max_by(|a, b| score(a).total_cmp(&score(b)))
}

/// Connections per weight, compared without rounding.
#[derive(Clone, Copy)]
struct Load {
    active: u128,
    weight: u128,
}

impl Load {
    fn of(member: &Member) -> Self {
        Self {
            active: member.active as u128,
            weight: u128::from(member.weight()),
        }
    }

    fn compare(&self, other: &Self) -> std::cmp::Ordering {
        (self.active * other.weight).cmp(&(other.active * self.weight))
    }
}
