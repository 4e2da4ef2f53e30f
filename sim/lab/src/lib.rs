//! Traces, scenarios, baselines and reports for the simulated grid.

mod demo;
