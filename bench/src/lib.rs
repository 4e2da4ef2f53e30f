//! Benchmarks of the decision: `benches/decide.rs`. Every router beside it: `rhumb-lab decisions`.
