//! Interned text of one snapshot: each distinct name stands in memory once.
//!
//! Clients choose names, so a name is cut at [`NAME_BYTES_MAX`]; two names that differ only behind
//! the cut count as one.

use std::hash::BuildHasher;
use std::ops::Range;

use hashbrown::{DefaultHashBuilder, HashTable};

/// Longer names are cut here, at a character's border. Real clients stay below 40 bytes.
pub const NAME_BYTES_MAX: usize = 256;

/// An index into the [`Names`] that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameId(u32);

impl NameId {
    /// From 0 up to the number of names.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The names.
#[derive(Debug, Default)]
pub struct Names {
    texts: Texts,
    ids: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

/// The texts of names by their IDs; nothing can be found in it.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    text: String,
    ends: Vec<u32>,
}

impl Names {
    /// The ID of `name`, which is added if it is new.
    ///
    /// # Panics
    ///
    /// If all names together grow beyond 4 GiB; the decoders' bounds on rows forbid it.
    pub fn intern(&mut self, name: &str) -> NameId {
        let name = cut(name);
        let hash = self.hasher.hash_one(name.as_bytes());
        if let Some(id) = self.find_hashed(name.as_bytes(), hash) {
            return id;
        }
        let id = self.texts.push(name);
        let (texts, hasher) = (&self.texts, &self.hasher);
        self.ids.insert_unique(hash, id.0, |&id| {
            hasher.hash_one(texts.get(NameId(id)).as_bytes())
        });
        id
    }

    /// The ID of `name`, if it is known. What is known is Unicode: nobody need look whether this is.
    pub(crate) fn find(&self, name: &[u8]) -> Option<NameId> {
        self.find_hashed(name, self.hasher.hash_one(name))
    }

    fn find_hashed(&self, name: &[u8], hash: u64) -> Option<NameId> {
        let is_name = |&id: &u32| *self.texts.bytes(NameId(id)) == *name;
        self.ids.find(hash, is_name).copied().map(NameId)
    }

    /// The text of `id`.
    pub fn get(&self, id: NameId) -> &str {
        self.texts.get(id)
    }

    /// All names, in the order of their IDs.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|id| self.get(NameId(u32::try_from(id).unwrap_or(0))))
    }

    pub(crate) const fn texts(&self) -> &Texts {
        &self.texts
    }

    /// How many names.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets the names, keeps the memory.
    pub fn clear(&mut self) {
        self.texts.text.clear();
        self.texts.ends.clear();
        self.ids.clear();
    }
}

impl Texts {
    fn push(&mut self, name: &str) -> NameId {
        let id = u32::try_from(self.ends.len()).expect("row counts are bounded far below 2^32");
        self.text.push_str(name);
        self.ends.push(
            u32::try_from(self.text.len()).expect("rows times NAME_BYTES_MAX stay below 2^32"),
        );
        NameId(id)
    }

    pub(crate) fn get(&self, id: NameId) -> &str {
        &self.text[self.place(id)]
    }

    /// Without a look whether the place is between characters.
    fn bytes(&self, id: NameId) -> &[u8] {
        &self.text.as_bytes()[self.place(id)]
    }

    fn place(&self, id: NameId) -> Range<usize> {
        let index = id.index();
        let start = if index == 0 {
            0
        } else {
            self.ends[index - 1] as usize
        };
        start..self.ends[index] as usize
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }
}

impl Clone for Texts {
    fn clone(&self) -> Self {
        Self {
            text: self.text.clone(),
            ends: self.ends.clone(),
        }
    }

    /// Keeps the memory.
    fn clone_from(&mut self, other: &Self) {
        self.text.clone_from(&other.text);
        self.ends.clone_from(&other.ends);
    }
}

fn cut(name: &str) -> &str {
    &name[..name.floor_char_boundary(NAME_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_id_for_one_text() {
        let mut names = Names::default();
        let (a, b, empty) = (names.intern("a"), names.intern("b"), names.intern(""));
        assert_eq!(names.intern("a"), a);
        assert_eq!((names.find(b"b"), names.find(b"c")), (Some(b), None));
        assert_eq!(
            (names.get(a), names.get(b), names.get(empty)),
            ("a", "b", "")
        );
        assert_eq!(names.iter().collect::<Vec<_>>(), ["a", "b", ""]);
        names.clear();
        assert!(names.is_empty());
        assert_eq!(names.intern("b").index(), 0);
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        let mut names = Names::default();
        let id = names.intern(&"é".repeat(200_000));
        assert_eq!(names.get(id), "é".repeat(NAME_BYTES_MAX / 2));
        let odd = names.intern(&format!("x{}", "é".repeat(200)));
        assert_eq!(names.get(odd).len(), NAME_BYTES_MAX - 1);
    }
}
