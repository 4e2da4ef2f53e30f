//! Sections: values whose type may get more fields.
//!
//! A section is the length of what follows, four bytes, and the fields of a struct one after the other as postcard writes them.
//! New fields are added at the end of the struct, with `#[serde(default)]`: a section that ends before them is one from before
//! they were added, and what follows the last known field is from later.

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, SeqAccess, Visitor, value::Error};
use serde::{Serialize, forward_to_deserialize_any};

/// Adds a section.
pub(crate) fn push(out: &mut Vec<u8>, value: &impl Serialize) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    // A vector takes whatever is written to it.
    *out = postcard::to_extend(value, std::mem::take(out)).unwrap_or_default();
    let length = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

/// Takes the first section off; `None` where there is none, or it is no `T`.
pub(crate) fn pop<T: DeserializeOwned>(bytes: &mut &[u8]) -> Option<T> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (section, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *bytes = rest;
    T::deserialize(Section(section)).ok()
}

struct Section<'a>(&'a [u8]);

impl<'de> Deserializer<'de> for Section<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> SeqAccess<'de> for Section<'de> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let mut field = postcard::Deserializer::from_bytes(self.0);
        let value = seed.deserialize(&mut field).map_err(serde::de::Error::custom)?;
        self.0 = field.finalize().map_err(serde::de::Error::custom)?;
        Ok(Some(value))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Before {
        name: String,
        list: Vec<u32>,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct After {
        name: String,
        list: Vec<u32>,
        #[serde(default)]
        added: Option<f64>,
        #[serde(default = "seven")]
        more: u8,
    }

    fn seven() -> u8 {
        7
    }

    #[test]
    fn an_added_field_keeps_both_ways_readable() {
        let (mut old, mut new) = (Vec::new(), Vec::new());
        push(&mut old, &Before { name: "a".into(), list: vec![1, 300] });
        push(&mut old, &1_u8);
        push(&mut new, &After { name: "a".into(), list: vec![1, 300], added: Some(0.5), more: 9 });
        push(&mut new, &2_u8);
        let mut bytes = &old[..];
        let after: After = pop(&mut bytes).unwrap();
        assert_eq!(after, After { name: "a".into(), list: vec![1, 300], added: None, more: 7 });
        let mut bytes = &new[..];
        let before: Before = pop(&mut bytes).unwrap();
        assert_eq!(before, Before { name: "a".into(), list: vec![1, 300] });
        assert_eq!(bytes, [1, 0, 0, 0, 2]);
    }

    #[test]
    fn what_is_damaged_is_none() {
        let mut bytes = Vec::new();
        push(&mut bytes, &Before { name: "a".into(), list: vec![1] });
        for end in 0..bytes.len() {
            assert_eq!(pop::<Before>(&mut &bytes[..end]), None);
        }
        bytes[4] = 200;
        assert_eq!(pop::<Before>(&mut &bytes[..]), None);
        assert_eq!(pop::<Before>(&mut &[0, 0, 0, 0][..]), None, "a field that had always been there is missing");
    }
}
