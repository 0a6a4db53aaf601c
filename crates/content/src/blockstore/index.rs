//! Where each block stands. It is kept in memory, in little more than its own 28 bytes.
//!
//! A hash map of a million places takes up to twice their size, and three times while it grows. Keys are
//! hashes, so their first two bytes spread them evenly over lists that stay short enough to be kept in order.

use super::{Key, Place};

/// One for each value of a key's first two bytes.
const LISTS: usize = 1 << 16;

/// The places of blocks by their keys.
#[derive(Debug)]
pub(super) struct Index {
    lists: Vec<Vec<(Key, Place)>>,
    len: usize,
}

impl Index {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, key: &Key) -> Option<Place> {
        let list = &self.lists[list(key)];
        let at = find(list, key).ok()?;
        Some(list[at].1)
    }

    pub(super) fn has(&self, key: &Key) -> bool {
        self.get(key).is_some()
    }

    /// The newest place of a key is the one that counts.
    pub(super) fn insert(&mut self, key: Key, place: Place) {
        let list = &mut self.lists[list(&key)];
        match find(list, &key) {
            Ok(at) => list[at].1 = place,
            Err(at) => {
                if list.len() == list.capacity() {
                    list.reserve_exact(2 + list.len() / 8);
                }
                list.insert(at, (key, place));
                self.len += 1;
            }
        }
    }

    pub(super) fn remove(&mut self, key: &Key) {
        let list = &mut self.lists[list(key)];
        if let Ok(at) = find(list, key) {
            list.remove(at);
            self.len -= 1;
        }
    }
}

/// An index that is being filled with all that packs hold, oldest first: its lists are put in order once, at the end. One
/// by one, millions of places take seconds.
#[derive(Debug)]
pub(super) struct Filling {
    lists: Vec<Vec<(Key, Place)>>,
}

impl Filling {
    pub(super) fn new() -> Self {
        Self {
            lists: vec![Vec::new(); LISTS],
        }
    }

    pub(super) fn add(&mut self, key: Key, place: Place) {
        let list = &mut self.lists[list(&key)];
        if list.len() == list.capacity() {
            list.reserve_exact(8 + list.len() / 4);
        }
        list.push((key, place));
    }

    /// The newest place of a key is the one that counts.
    pub(super) fn finish(self) -> Index {
        let mut lists = self.lists;
        for list in &mut lists {
            list.sort_by_key(|(key, _)| u128::from_be_bytes(*key));
            list.dedup_by(|newer, kept| {
                let is_same = newer.0 == kept.0;
                if is_same {
                    kept.1 = newer.1;
                }
                is_same
            });
            list.shrink_to_fit();
        }
        let len = lists.iter().map(Vec::len).sum();
        Index { lists, len }
    }
}

fn list(key: &Key) -> usize {
    usize::from(u16::from_be_bytes([key[0], key[1]]))
}

fn find(list: &[(Key, Place)], key: &Key) -> Result<usize, usize> {
    list.binary_search_by(|(known, _)| known.cmp(key))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    /// Few keys, most of them in one list, so that they meet again.
    fn key() -> impl Strategy<Value = Key> {
        (0..3_u8, 0..40_u8).prop_map(|(first, last)| {
            let mut key = Key::default();
            (key[1], key[15]) = (first / 2, last);
            key
        })
    }

    proptest! {
        #[test]
        fn it_says_what_a_map_says(
            filled in prop::collection::vec(key(), 0..100),
            steps in prop::collection::vec((key(), any::<Option<u32>>()), 0..300),
        ) {
            let (mut filling, mut map) = (Filling::new(), HashMap::new());
            for (offset, key) in filled.iter().enumerate() {
                let place = Place { pack: 0, offset: u32::try_from(offset).expect("few"), len: 7 };
                filling.add(*key, place);
                map.insert(*key, place);
            }
            let mut index = filling.finish();
            for (key, step) in steps {
                if let Some(offset) = step {
                    let place = Place { pack: 1, offset, len: 7 };
                    index.insert(key, place);
                    map.insert(key, place);
                } else {
                    index.remove(&key);
                    map.remove(&key);
                }
                prop_assert_eq!(index.get(&key), map.get(&key).copied());
                prop_assert_eq!(index.has(&key), map.contains_key(&key));
                prop_assert_eq!(index.len(), map.len());
            }
            for (key, place) in map {
                prop_assert_eq!(index.get(&key), Some(place));
            }
        }
    }
}
