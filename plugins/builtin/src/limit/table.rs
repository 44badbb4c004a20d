//! A table of counters by key: exact under concurrency, bounded in memory, never swept at one go.

use indexmap::{Equivalent, IndexMap};
use parking_lot::Mutex;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};

/// Parts of a table that are locked one by one. A lock is held for one look-up, one addition and at most a dozen
/// comparisons, never across anything that waits.
const SHARDS: usize = 16;

/// Keys that a shard holds: 262,144 in a table. With a flood of new keys beyond that, old ones make room, the least
/// used of a few neighbours first, so that a key near its limit outlives keys that were seen once.
const KEYS_IN_SHARD: usize = 16_384;

/// A key longer than this many bytes is kept as a digest.
const LONGEST_KEY: usize = 128;

/// Entries that are looked at to find one that may go.
const NEIGHBOURS: usize = 8;

/// What a table counts for one key. A new key starts with the default.
pub(crate) trait Entry: Default {
    /// Whether it says no more than an absent entry would. `now` is in microseconds.
    fn is_spent(&self, now: u64) -> bool;

    /// How much is lost when it is dropped before it is spent; `None` when it must not be.
    fn weight(&self) -> Option<u64>;
}

/// Counters by key.
///
/// The bound: 262,144 keys, each at most 128 bytes long, plus the entries that must not be dropped; some 25 MB with
/// short keys. Entries that are spent are removed a few at a time as requests come.
pub(crate) struct Table<E> {
    shards: [Mutex<Shard<E>>; SHARDS],
    hash: RandomState,
    digest: RandomState,
    keys_in_shard: usize,
}

struct Shard<E> {
    entries: IndexMap<Key, E, BuildHasherDefault<Ready>>,
    /// Where sweeping goes on.
    hand: usize,
}

impl<E: Entry> Default for Table<E> {
    fn default() -> Self {
        Self::with_keys(KEYS_IN_SHARD)
    }
}

impl<E: Entry> Table<E> {
    fn with_keys(keys_in_shard: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| {
                Mutex::new(Shard {
                    entries: IndexMap::default(),
                    hand: 0,
                })
            }),
            hash: RandomState::new(),
            digest: RandomState::new(),
            keys_in_shard,
        }
    }

    /// Lets `act` look at and change the entry of `key`, alone.
    pub(crate) fn with<R>(&self, key: &[u8], now: u64, act: impl FnOnce(&mut E) -> R) -> R {
        let hash = self.hash.hash_one(key);
        let digest;
        let bytes = match key.len() {
            0..=LONGEST_KEY => key,
            _ => {
                digest = self.digest_of(key, hash);
                &digest
            }
        };
        // Not the highest and the lowest bits: the map finds its own way by those.
        let shard = match self.shards.get((hash >> 32) as usize % SHARDS) {
            Some(shard) => shard,
            None => unreachable!("a remainder is smaller than its divisor"),
        };
        shard
            .lock()
            .with(&Probe { hash, bytes }, now, self.keys_in_shard, act)
    }

    /// Two keyed hashes and the length stand for a key that is too long to keep.
    fn digest_of(&self, key: &[u8], hash: u64) -> [u8; 24] {
        let mut digest = [0; 24];
        let parts = [hash, self.digest.hash_one(key), key.len() as u64];
        for (to, part) in digest.chunks_exact_mut(8).zip(parts) {
            to.copy_from_slice(&part.to_le_bytes());
        }
        digest
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.shards.iter().map(|s| s.lock().entries.len()).sum()
    }
}

impl<E: Entry> Shard<E> {
    fn with<R>(
        &mut self,
        probe: &Probe<'_>,
        now: u64,
        most: usize,
        act: impl FnOnce(&mut E) -> R,
    ) -> R {
        self.sweep(1, now);
        if let Some(entry) = self.entries.get_mut(probe) {
            return act(entry);
        }
        self.sweep(3, now);
        if self.entries.len() >= most {
            self.make_room();
        }
        let key = Key {
            hash: probe.hash,
            bytes: probe.bytes.into(),
        };
        act(self.entries.entry(key).or_default())
    }

    fn sweep(&mut self, steps: usize, now: u64) {
        for _ in 0..steps {
            match self.entries.get_index(self.hand) {
                Some((_, entry)) if entry.is_spent(now) => {
                    self.entries.swap_remove_index(self.hand);
                }
                Some(_) => self.hand += 1,
                None => self.hand = 0,
            }
        }
        let (held, room) = (self.entries.len(), self.entries.capacity());
        if room > 1024 && held < room / 8 {
            self.entries.shrink_to(held * 2);
        }
    }

    /// Drops the lightest of the next few entries.
    fn make_room(&mut self) {
        // At the end of the entries there may be none to choose from: once more from the beginning.
        for _ in 0..2 {
            let lightest = (self.hand..self.hand + NEIGHBOURS)
                .filter_map(|i| Some((self.entries.get_index(i)?.1.weight()?, i)))
                .min();
            match lightest {
                Some((_, index)) => {
                    self.entries.swap_remove_index(index);
                    return;
                }
                None => self.hand = 0,
            }
        }
    }
}

/// A key with its hash, which is computed once.
struct Key {
    hash: u64,
    bytes: Box<[u8]>,
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.bytes == other.bytes
    }
}

impl Eq for Key {}

/// A key that is looked for.
struct Probe<'a> {
    hash: u64,
    bytes: &'a [u8],
}

impl Hash for Probe<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Equivalent<Key> for Probe<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.hash == key.hash && *self.bytes == *key.bytes
    }
}

/// Passes on a hash that is ready.
#[derive(Default)]
struct Ready(u64);

impl Hasher for Ready {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Until {
        end: u64,
        used: u64,
    }

    impl Entry for Until {
        fn is_spent(&self, now: u64) -> bool {
            now >= self.end
        }
        fn weight(&self) -> Option<u64> {
            Some(self.used)
        }
    }

    fn count(table: &Table<Until>, key: &[u8], now: u64) -> u64 {
        table.with(key, now, |e| {
            e.end = 1000;
            e.used += 1;
            e.used
        })
    }

    #[test]
    fn keys_are_told_apart_also_long_ones() {
        let table = Table::default();
        let (mut long, mut other) = (vec![b'x'; 5000], vec![b'x'; 5000]);
        other[4999] = b'y';
        assert_eq!(count(&table, &long, 0), 1);
        assert_eq!(count(&table, &other, 0), 1);
        assert_eq!(count(&table, &long, 0), 2);
        long.truncate(4999);
        assert_eq!(count(&table, &long, 0), 1);
        assert_eq!(count(&table, b"", 0), 1);
        assert_eq!(count(&table, b"", 0), 2);
    }

    #[test]
    fn a_flood_of_keys_stays_within_the_bound_and_spares_the_busy() {
        let table = Table::with_keys(64);
        for _ in 0..1_000_000 / 1000 {
            count(&table, b"busy", 0);
        }
        for i in 0..20_000u32 {
            count(&table, &i.to_be_bytes(), 0);
            assert!(table.len() <= 64 * SHARDS);
        }
        assert_eq!(count(&table, b"busy", 0), 1001);
    }

    #[test]
    fn spent_entries_go_as_requests_come() {
        let table = Table::default();
        for i in 0..10_000u32 {
            count(&table, &i.to_be_bytes(), 0);
        }
        assert_eq!(table.len(), 10_000);
        for i in 0..10_000u32 {
            // Entries of another time are counted for a while and then forgotten.
            table.with(&(i + 20_000).to_be_bytes(), 2000, |e| e.end = 2001);
        }
        for i in 0..200u32 {
            table.with(&i.to_le_bytes(), 3000, |e| e.end = 4000);
        }
        assert!(table.len() < 10_000, "{}", table.len());
        for _ in 0..40_000u32 {
            for i in 0..4u32 {
                table.with(&i.to_le_bytes(), 3000, |_| ());
            }
        }
        assert!(table.len() < 10_000, "{}", table.len());
    }
}
