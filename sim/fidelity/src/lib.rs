//! How far the engine model is from public measurements, and the fit that brings it near.
//!
//! [`run_fit`] reads the measurements and makes the table of coefficients that `pure/engine` commits. [`run_report`]
//! judges the model on points that its fit did not see. Both are functions of the files they read: no clock, no chance,
//! the same table from the same data.

mod causes;
mod closed_loop;
mod cross;
mod error;
mod fit;
mod floor;
mod gemm;
mod markdown;
mod parameters;
mod power_rows;
mod replay;
mod report;
mod sample;
mod series;
mod silicon;
mod solve;
mod table;
mod tally;

pub use closed_loop::{ClosedLoop, closed_loop};
pub use error::Error;
pub use fit::{Fitted, run_fit};
pub use floor::{Floor, Spread};
pub use replay::Replay;
pub use report::{Excluded, Group, Options, Report, Target, run_report};
pub use tally::{Figures, Summary};
