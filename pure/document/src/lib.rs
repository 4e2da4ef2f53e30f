//! YAML documents of which every value knows its place in the text: read against the JSON Schema of a type, with every
//! problem placed, in words that say what would be right, and without the secrets that the text may hold.
//!
//! The way of a text: `yaml` (a tree with places), `secrets` (`${NAME}`), `structure` (against the schema), then the type.

pub mod distance;
mod document;
pub mod find;
mod mask;
pub mod path;
pub mod patterns;
mod problem;
mod render;
mod scalar;
pub mod secrets;
mod shape;
pub mod shown;
pub mod span;
pub mod structure;
mod syntax;
pub mod tree;
mod variable;
pub mod wrong_type;
pub mod yaml;

pub use document::{Places, read};
pub use find::without_secret;
pub use problem::{COLLECTED_MAX, Problem, Severity};
pub use render::{listed, render};
