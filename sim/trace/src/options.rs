//! How a workload is shaped.

use crate::TraceError;

/// How a workload is shaped; the default leaves it as it is. In this order: copies are shifted, the stretch is cut, the
/// rest is thinned, then brought to a rate, then repeated, and cut off at the limit.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Options {
    /// Of all that is drawn.
    pub seed: u64,
    /// Calls at most, followers in closed loops included.
    pub limit: Option<u64>,
    /// Requests per second wanted over the stretch, all copies together, from 1e-6 to 1e6. A table is stretched or
    /// compressed in time; a client mix has each client's rate scaled and its burstiness kept; of agents' sessions it is
    /// the rate at which they start.
    pub rate: Option<f64>,
    /// Share kept, above 0 and at most 1: of sessions where there are any, else of each second's calls, so that bursts
    /// stay bursts.
    pub thin: Option<f64>,
    /// Where the stretch begins, in seconds of the trace's own time.
    pub from_s: f64,
    /// Where it ends; the end of the trace where None.
    pub until_s: Option<f64>,
    /// Whether it begins anew when it ends, with prefixes and sessions of its own.
    pub repeat: bool,
    /// Hours by which each copy is shifted around the trace's length, for sites in other time zones: `[0, 6, 13]`. Each
    /// copy has clients, sessions and prefixes of its own. Empty is one copy that is not shifted.
    pub copies: Vec<f64>,
}

/// Most copies taken.
const COPIES_MAX: usize = 1_000;

impl Options {
    /// The hours of each copy.
    pub(crate) fn shifts_h(&self) -> Vec<f64> {
        if self.copies.is_empty() { vec![0.0] } else { self.copies.clone() }
    }

    /// Looks at each option by itself.
    pub(crate) fn check(&self) -> Result<(), TraceError> {
        let fail = |name, what: String, right: &str| Err(TraceError::Option { name, what, right: right.to_owned() });
        if let Some(rate) = self.rate.filter(|r| !(1e-6..=1e6).contains(r)) {
            return fail("rate", rate.to_string(), "give requests per second from 0.000001 to 1000000");
        }
        if let Some(thin) = self.thin.filter(|t| !(1e-6..=1.0).contains(t)) {
            return fail("thin", thin.to_string(), "give the share to keep, from 0.000001 to 1");
        }
        if !(0.0..=1e9).contains(&self.from_s) {
            return fail("from_s", self.from_s.to_string(), "give seconds from 0 to 1000000000");
        }
        if let Some(until_s) = self.until_s.filter(|u| !(*u > self.from_s && *u <= 1e9)) {
            let right = format!("give seconds after from_s, which is {}, and up to 1000000000", self.from_s);
            return fail("until_s", until_s.to_string(), &right);
        }
        if self.copies.len() > COPIES_MAX {
            return fail("copies", format!("{} long", self.copies.len()), "give at most 1000 shifts");
        }
        if let Some(hours) = self.copies.iter().find(|h| !(0.0..=1e6).contains(*h)) {
            return fail("copies", hours.to_string(), "give each copy's shift in hours, from 0 to 1000000");
        }
        Ok(())
    }

    /// The stretch of a trace of this length, in µs: where it begins and ends.
    pub(crate) fn stretch_us(&self, length_us: u64) -> Result<(u64, u64), TraceError> {
        let from_us = us(self.from_s);
        if from_us >= length_us {
            let right = format!("the trace lasts {} s: give less", length_us / 1_000_000);
            return Err(TraceError::Option { name: "from_s", what: self.from_s.to_string(), right });
        }
        Ok((from_us, self.until_s.map_or(length_us, us).clamp(from_us + 1, length_us)))
    }
}

/// Seconds as whole microseconds.
pub(crate) fn us(seconds: f64) -> u64 {
    libm::round(seconds * 1e6) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_range_is_said() {
        let error = |o: Options| o.check().unwrap_err().to_string();
        let with = Options::default;
        let rate = "rate is -1; give requests per second from 0.000001 to 1000000";
        assert_eq!(error(Options { rate: Some(-1.0), ..with() }), rate);
        assert!(error(Options { rate: Some(f64::NAN), ..with() }).starts_with("rate is NaN; "));
        assert_eq!(
            error(Options { thin: Some(1.5), ..with() }),
            "thin is 1.5; give the share to keep, from 0.000001 to 1"
        );
        assert!(error(Options { from_s: -1.0, ..with() }).starts_with("from_s is -1; "));
        let until = error(Options { from_s: 5.0, until_s: Some(5.0), ..with() });
        assert_eq!(until, "until_s is 5; give seconds after from_s, which is 5, and up to 1000000000");
        assert!(error(Options { copies: vec![0.0, f64::INFINITY], ..with() }).starts_with("copies is inf; "));
        assert!(error(Options { copies: vec![0.0; 1001], ..with() }).starts_with("copies is 1001 long; "));
        assert!(with().check().is_ok());
        let late = Options { from_s: 60.0, ..with() }.stretch_us(60_000_000).unwrap_err().to_string();
        assert_eq!(late, "from_s is 60; the trace lasts 60 s: give less");
    }
}
