//! Makes ids. They are unguessable only as far as their length goes; none of them is a secret.

use rand::{Rng, RngExt};
use std::time::{SystemTime, UNIX_EPOCH};

const NANOID: &[u8] = b"_-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
const NANOID_LENGTH: usize = 21;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// KSUIDs count seconds from 2014-05-13T16:53:20Z.
const KSUID_EPOCH: u64 = 1_400_000_000;
const KSUID_LENGTH: usize = 27;

/// A way to make ids.
pub(super) enum Generator {
    Uuid,
    UuidV7,
    Ksuid,
    /// So many of these characters, of which there is at least one.
    Characters(Box<[u8]>, usize),
}

impl Generator {
    pub(super) fn nanoid() -> Self {
        Self::Characters(NANOID.into(), NANOID_LENGTH)
    }

    /// Calls `with` with a new id, visible ASCII.
    pub(super) fn make<R>(&self, with: impl FnOnce(&[u8]) -> R) -> R {
        let mut buffer = uuid::Uuid::encode_buffer();
        match self {
            Self::Uuid => {
                let id = uuid::Uuid::new_v4();
                with(id.hyphenated().encode_lower(&mut buffer).as_bytes())
            }
            Self::UuidV7 => {
                let id = uuid::Uuid::now_v7();
                with(id.hyphenated().encode_lower(&mut buffer).as_bytes())
            }
            Self::Ksuid => with(&ksuid(SystemTime::now(), &mut rand::rng())),
            Self::Characters(set, length) => {
                let mut rng = rand::rng();
                let mut pick = || {
                    let at = rng.random_range(0..set.len().max(1));
                    set.get(at).copied().unwrap_or(b'0')
                };
                let id: smallvec::SmallVec<[u8; 64]> = (0..*length).map(|_| pick()).collect();
                with(&id)
            }
        }
    }
}

/// Seconds and 128 random bits, in base 62.
fn ksuid(now: SystemTime, rng: &mut impl Rng) -> [u8; KSUID_LENGTH] {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    // The epoch is chosen so that 32 bits last until the year 2150.
    let seconds = u32::try_from(seconds.saturating_sub(KSUID_EPOCH)).unwrap_or(u32::MAX);
    base62([
        seconds,
        rng.next_u32(),
        rng.next_u32(),
        rng.next_u32(),
        rng.next_u32(),
    ])
}

/// A number of 160 bits, most significant word first, in 27 digits.
fn base62(mut words: [u32; 5]) -> [u8; KSUID_LENGTH] {
    let mut digits = [b'0'; KSUID_LENGTH];
    for digit in digits.iter_mut().rev() {
        let mut rest = 0u64;
        for word in &mut words {
            let value = (rest << 32) | u64::from(*word);
            #[expect(
                clippy::cast_possible_truncation,
                reason = "rest < 62, so value / 62 < 2^32"
            )]
            {
                *word = (value / 62) as u32;
            }
            rest = value % 62;
        }
        *digit = usize::try_from(rest)
            .ok()
            .and_then(|at| BASE62.get(at).copied())
            .unwrap_or(b'0');
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(generator: &Generator) -> String {
        generator.make(|id| String::from_utf8(id.to_vec()).unwrap())
    }

    #[test]
    fn each_kind_has_its_form() {
        let uuid: uuid::Uuid = one(&Generator::Uuid).parse().unwrap();
        assert_eq!(uuid.get_version_num(), 4);
        let uuid: uuid::Uuid = one(&Generator::UuidV7).parse().unwrap();
        assert_eq!(uuid.get_version_num(), 7);
        assert_eq!(one(&Generator::nanoid()).len(), 21);
        assert_eq!(one(&Generator::Ksuid).len(), 27);
        let mine = one(&Generator::Characters((*b"abcdef").into(), 40));
        assert!(mine.len() == 40 && mine.bytes().all(|b| b"abcdef".contains(&b)));
    }

    #[test]
    fn ids_differ() {
        for generator in [
            Generator::Uuid,
            Generator::UuidV7,
            Generator::Ksuid,
            Generator::nanoid(),
        ] {
            let ids: std::collections::HashSet<_> = (0..1000).map(|_| one(&generator)).collect();
            assert_eq!(ids.len(), 1000);
        }
    }

    /// The example of the KSUID specification.
    #[test]
    fn base62_of_the_specification_s_example() {
        let words = [
            0x0669_F7EF,
            0xB5A1_CD34,
            0xB5F9_9D11,
            0x54FB_6853,
            0x345C_9735,
        ];
        assert_eq!(&base62(words), b"0ujtsYcgvSTl8PAuAdqWYSMnLOv");
        assert_eq!(&base62([0; 5]), b"000000000000000000000000000");
        assert_eq!(&base62([u32::MAX; 5]), b"aWgEPTl1tmebfsQzFP4bxwgy80V");
    }
}
