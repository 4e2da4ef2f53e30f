//! Nouns, units and checked configuration of the grid.

pub mod config;
