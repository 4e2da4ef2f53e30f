//! Decision records: their ids, how requests end, and the layout they are stored in.
//!
//! A record is written in the present layout and read in that, in those before it, and in later ones as far as they only add
//! fields: `layout` says how.

mod before;
mod id;
mod layout;
mod logged;
mod outcome;
mod section;
mod stored;

pub use id::{format_id, parse_id};
pub use layout::{encode_record, encode_row};
pub use logged::Logged;
pub use outcome::Outcome;
pub use stored::{Damaged, Named, Stored};
