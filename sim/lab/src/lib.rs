//! Scenarios for the simulated grid: which sites, whose traffic, what goes wrong, who competes, and what comes out.
//!
//! `file` and `scenario` read one, `build`, `places`, `wan`, `demo`, `faults` and `energy` make its worlds, `traffic` its
//! users, `lab` runs them, `measure`, `plots` and `report` say what came out; `many` is a grid to time decisions on.

mod bench_grid;
mod build;
mod check;
mod command;
mod comparison;
mod configured_grid;
mod data;
mod demo;
mod energy;
mod faults;
mod figure;
mod file;
mod html;
mod lab;
mod measure;
mod merged_arrivals;
mod min_gpu_search;
mod options;
mod parameters;
mod places;
mod plots;
mod problem;
mod report;
mod scenario;
mod terminal;
mod trace;
mod traffic;
mod tune;
mod wan;

pub use bench_grid::{Decider, ManyEndpoints, facts};
pub use comparison::{BENCHMARKS, Comparison, comparison};
pub use file::{Loaded, list, load};
pub use lab::{Lab, Progress};
pub use measure::{ClientFigures, Group, RouterReport, Times, UsdPerMtok};
pub use options::Options;
pub use plots::{Flow, Plots, SiteDot, Stretch};
pub use problem::LabError;
pub use report::{Line, Report};
pub use rhumb_world::Checks;
pub use scenario::{ClientsPlan, ParameterPlan, PolicyPlan, RouterName, Scenario, Slo, TenantPlan, schema};
pub use trace::{Tracer, replay_command};
pub use tune::{Part, Tuned, tune};
