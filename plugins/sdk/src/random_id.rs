//! Ids of requests that no plugin gave one. Unique, but not secret: they come from no cryptographic generator.

use std::{
    cell::Cell,
    hash::{BuildHasher, RandomState},
};

/// 128 bits as 32 hexadecimal digits, as nginx writes its `$request_id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RandomId([u8; 32]);

/// Two counters from random starts. A thread never makes an id twice in 2^64, and two threads share one only when
/// both starts meet.
type State = [u64; 2];

/// Odd, so that a counter passes every number before it comes round; different, so that the two never go in step.
const STRIDES: State = [0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03];

thread_local! {
    static STATE: Cell<State> = Cell::new(seed());
}

/// Random by the keys that the standard library draws for its maps.
fn seed() -> State {
    [0u8, 1].map(|word| RandomState::new().hash_one(word))
}

impl RandomId {
    pub(crate) fn new() -> Self {
        // While a thread ends, its state may be gone.
        let state = STATE.try_with(|cell| {
            let next = step(cell.get());
            cell.set(next);
            next
        });
        Self::of(state.unwrap_or_else(|_| seed()))
    }

    fn of([high, low]: State) -> Self {
        let bits = u128::from(mix(high)) << 64 | u128::from(mix(low));
        let mut shift = 128u32;
        Self([(); 32].map(|()| {
            shift -= 4;
            digit((bits >> shift) as u8 & 15)
        }))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

fn step([high, low]: State) -> State {
    let [by_high, by_low] = STRIDES;
    [high.wrapping_add(by_high), low.wrapping_add(by_low)]
}

/// The finalizer of SplitMix64: one to one, and every bit of the input reaches every bit of the output.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn digit(value: u8) -> u8 {
    if value < 10 {
        b'0' + value
    } else {
        b'a' + value - 10
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn an_id_is_the_mixed_state_in_hexadecimal() {
        for state in [[0, 0], [1, 2], STRIDES, [u64::MAX, 7]] {
            let expected = format!("{:016x}{:016x}", mix(state[0]), mix(state[1]));
            assert_eq!(RandomId::of(state).as_bytes(), expected.as_bytes());
        }
    }

    #[test]
    fn the_mixer_is_that_of_splitmix64() {
        // The first outputs for the seed 1234567, as the reference implementation gives them.
        let first = 1_234_567u64.wrapping_add(STRIDES[0]);
        assert_eq!(mix(first), 6_457_827_717_110_365_317);
        assert_eq!(
            mix(first.wrapping_add(STRIDES[0])),
            3_203_168_211_198_807_973
        );
    }

    #[test]
    fn ids_of_all_threads_differ() {
        let made = || (0..1000).map(|_| RandomId::new().0).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(made)).collect();
        let ids = threads.into_iter().flat_map(|t| t.join().unwrap());
        assert_eq!(ids.collect::<HashSet<_>>().len(), 4000);
    }
}
