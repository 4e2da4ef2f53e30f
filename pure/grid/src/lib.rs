//! Nouns and units of the grid: what a configuration says, what policies are worth, names to positions, distances.
#![no_std]

extern crate alloc;

pub mod config;
pub mod dialects;
pub mod geo;
pub mod index;
pub mod position;
pub mod rates;
pub mod service;
pub mod steering;
pub mod tasks;
