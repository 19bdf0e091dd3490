//! JSON that has no name twice.
//!
//! Of an object with the same key twice most readers take the last value and say nothing; the standard leaves it open
//! (RFC 8259, section 4). Two programs may then read two vocabularies out of one file. Here such a file is refused, and one
//! that is nested deeper than 128 levels as well, which `serde_json` sees to. An object in memory takes a hundred times the
//! bytes of `{"":0}`; so a file with more of them than any has is refused too, before it takes that.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// The most objects of a file. The largest vocabularies are one object, and each added token is one.
const OBJECTS: usize = 100_000;

/// Reads a text of JSON.
///
/// # Errors
///
/// The line and column of what is no JSON, or of the name that is there twice, or where there are too many objects.
///
/// ```
/// use tokenizer::json::parse;
/// assert_eq!(parse(r#"{"a": [1, null]}"#)?["a"][0], 1);
/// let said = parse(r#"{"a": 1, "a": 2}"#).unwrap_err().to_string();
/// assert_eq!(said, "the name \"a\" is there twice at line 1 column 12");
/// # Ok::<(), serde_json::Error>(())
/// ```
pub fn parse(text: &str) -> serde_json::Result<Value> {
    let mut from = serde_json::Deserializer::from_str(text);
    let value = Any(&Cell::new(OBJECTS)).deserialize(&mut from)?;
    from.end().map(|()| value)
}

/// The error of a name that an object has twice.
pub fn twice<E: Error>(name: &str) -> E {
    let shown: String = name.chars().take(80).collect();
    E::custom(format_args!("the name {shown:?} is there twice"))
}

/// Takes any value as it comes, with so many objects at most.
#[derive(Clone, Copy)]
struct Any<'a>(&'a Cell<usize>);

impl<'de> DeserializeSeed<'de> for Any<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Any<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, x: bool) -> Result<Value, E> {
        Ok(x.into())
    }

    fn visit_u64<E>(self, x: u64) -> Result<Value, E> {
        Ok(x.into())
    }

    fn visit_i64<E>(self, x: i64) -> Result<Value, E> {
        Ok(x.into())
    }

    fn visit_f64<E>(self, x: f64) -> Result<Value, E> {
        Ok(x.into())
    }

    fn visit_str<E>(self, x: &str) -> Result<Value, E> {
        Ok(x.into())
    }

    fn visit_string<E>(self, x: String) -> Result<Value, E> {
        Ok(x.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut all = Vec::with_capacity(1); // a list of one would take the room of four
        while let Some(value) = from.next_element_seed(self)? {
            all.push(value);
        }
        Ok(all.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let Some(left) = self.0.get().checked_sub(1) else {
            return Err(A::Error::custom(format_args!("more than {OBJECTS} objects, which no checkpoint has")));
        };
        self.0.set(left);
        let mut all = Map::new();
        while let Some(name) = from.next_key::<String>()? {
            if all.contains_key(&name) {
                return Err(twice(&name));
            }
            all.insert(name, from.next_value_seed(self)?);
        }
        Ok(all.into())
    }
}
