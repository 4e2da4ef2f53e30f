//! Names that are good on one side and not on the other.

use std::borrow::Cow;

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::Text;

/// Longest identifier of a call that every server takes.
const ID_MAX: usize = 40;

/// Longest name of a tool that every server takes.
const NAME_MAX: usize = 64;

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
}

/// The identifier of a call as every server takes it: at most 40 letters, digits, `_` and `-`. Another one is replaced by a hash of
/// it, the same in every request, so that a call and its result keep belonging together without anything being remembered.
pub fn call_id<'a>(id: &'a str) -> Text<'a> {
    if id.len() <= ID_MAX && is_plain(id) {
        return Cow::Borrowed(id);
    }
    Cow::Owned(format!("call_{:032x}", xxh3_128(id.as_bytes())))
}

/// Names of tools that had to be changed in a request, and how they are changed back in its answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Renamed(Vec<(String, String)>);

impl Renamed {
    /// The name as every server takes it: at most 64 letters, digits, `_` and `-`. It depends on the name alone.
    pub fn to<'a>(&mut self, name: &'a str) -> Text<'a> {
        if name.len() <= NAME_MAX && is_plain(name) {
            return Cow::Borrowed(name);
        }
        let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
        let short = format!("{}_{:08x}", &plain[..plain.len().min(NAME_MAX - 9)], xxh3_64(name.as_bytes()) as u32);
        if !self.0.iter().any(|(known, _)| *known == short) {
            self.0.push((short.clone(), name.to_owned()));
        }
        Cow::Owned(short)
    }

    /// The client's own name for a tool that is called.
    pub fn back<'a>(&'a self, name: &'a str) -> &'a str {
        self.0.iter().find(|(short, _)| short == name).map_or(name, |(_, own)| own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d20_the_id_of_a_call_is_kept_where_servers_take_it_and_hashed_alike_where_not() {
        assert_eq!(call_id("toolu_01A-b"), "toolu_01A-b");
        for odd in ["", "a b", "ü", &"x".repeat(41), "call.1|2"] {
            let id = call_id(odd);
            assert!(id.len() <= ID_MAX && is_plain(&id), "{id}");
            assert_eq!(id, call_id(odd));
            assert_ne!(id, call_id("another.one"));
        }
    }

    #[test]
    fn d21_a_long_name_of_a_tool_is_shortened_and_comes_back_as_it_was() {
        let mut renamed = Renamed::default();
        assert_eq!(renamed.to("read_file"), "read_file");
        let long = format!("mcp__{}", "x".repeat(80));
        for name in [long.as_str(), "server.tool", "naïve"] {
            let short = renamed.to(name).into_owned();
            assert!(short.len() <= NAME_MAX && is_plain(&short), "{short}");
            assert_eq!(renamed.to(name), short);
            assert_eq!(renamed.back(&short), name);
        }
        assert_eq!(renamed.back("read_file"), "read_file");
        let other = format!("{long}y");
        assert_ne!(renamed.to(&long).into_owned(), renamed.to(&other).into_owned());
    }
}
