//! The floor as a section of the page and as lines for a terminal.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{ALL, Floor, Spread};
use crate::markdown::percent;
use crate::report::{Report, SEEN_TARGETS};

/// Pairs from which a spread is said to be one.
const ENOUGH_PAIRS: u64 = 30;

const ABOUT: &str = "
## How much of the error is noise

The first two kinds of line are computed from the rows alone. *Measured again*: rows that state the same in every column
but give other times, two by two. Rows equal to two decimals are copies of one run, under whatever names of one
architecture. *Another release*: the same but for the release; where a release was measured again its mean counts. Rows
that state no release are in neither. A pair is as far apart as the longer time over the shorter, less one; a prediction
between the two would miss each by less. *Predicted*: the held-out error of the groups seen. *Offsets known*: that error
if the median offset of each cell (group, backend and release) were known. It is read off the very rows judged, which
flatters cells of few rows; what it leaves is how the times of a cell vary among themselves. Figures are what half of
the pairs, or rows, do not exceed.

";

impl Floor {
    fn kinds(&self) -> [(&'static str, &BTreeMap<&'static str, Spread>); 4] {
        [
            ("measured again", &self.measured_twice),
            ("another release", &self.other_release),
            ("predicted", &self.predicted),
            ("predicted, offsets known", &self.offsets_known),
        ]
    }

    /// Some lines for a terminal: all backends together.
    pub(crate) fn lines(&self) -> String {
        let mut out = String::new();
        for (kind, spreads) in self.kinds() {
            let Some(Spread { ttft, tpot, .. }) = spreads.get(ALL) else { continue };
            let (first, further) = (percent(ttft.median_abs_error), percent(tpot.median_abs_error));
            let _ = writeln!(out, "  {kind}: TTFT {first}, TPOT {further} ({} pairs or rows)", ttft.points);
        }
        out
    }

    fn table(&self) -> String {
        let mut out =
            String::from("| | backend | groups | pairs or rows | TTFT | TPOT |\n|---|---|---:|---:|---:|---:|\n");
        for (kind, spreads) in self.kinds() {
            for (backend, spread) in spreads {
                let (ttft, tpot) = (percent(spread.ttft.median_abs_error), percent(spread.tpot.median_abs_error));
                let _ = writeln!(
                    out,
                    "| {kind} | {backend} | {} | {} | {ttft} | {tpot} |",
                    spread.groups, spread.ttft.points
                );
            }
        }
        out
    }

    /// What follows from the figures, and nothing where they say nothing.
    pub(super) fn conclusion(&self) -> String {
        [self.noise(), self.releases(), self.offsets()].into_iter().flatten().collect::<Vec<_>>().join("\n")
    }

    /// Whether noise explains the error of first tokens, for each backend measured often enough to tell.
    fn noise(&self) -> Option<String> {
        let backends = self.measured_twice.iter().filter(|(backend, _)| **backend != ALL);
        let (told, few): (Vec<_>, Vec<_>) = backends.partition(|(_, again)| again.ttft.points >= ENOUGH_PAIRS);
        let mut sentences: Vec<String> =
            told.iter().filter_map(|(backend, again)| self.share(backend, again)).collect();
        if !few.is_empty() {
            let few: Vec<&str> = few.iter().map(|(backend, _)| **backend).collect();
            sentences.push(format!("Too few settings were measured again to tell for {}.", few.join(" and ")));
        }
        (!sentences.is_empty()).then(|| sentences.join("\n"))
    }

    fn share(&self, backend: &str, again: &Spread) -> Option<String> {
        let noise = again.ttft.median_abs_error?;
        let error = self.predicted.get(backend)?.ttft.median_abs_error?;
        let verdict =
            if noise < error / 2.0 { "most of the TTFT miss is not noise" } else { "the TTFT miss may be noise" };
        let (noise, error) = (percent(Some(noise)), percent(Some(error)));
        Some(format!(
            "Under {backend} {verdict}: measured again, a first token comes within {noise}; predictions are off by \
             {error}."
        ))
    }

    fn releases(&self) -> Option<String> {
        let moved = self.other_release.get(ALL)?;
        let [ttft_target, tpot_target, ..] = SEEN_TARGETS;
        let (ttft, tpot) = (moved.ttft.median_abs_error?, moved.tpot.median_abs_error?);
        Some(format!(
            "Over all backends another release moves a first token by {} ({} the target of {}) and a further one by \
             {} ({} the target of {}): a group never measured under a release does not tell which way.",
            percent(Some(ttft)),
            against(ttft, ttft_target),
            percent(Some(ttft_target)),
            percent(Some(tpot)),
            against(tpot, tpot_target),
            percent(Some(tpot_target)),
        ))
    }

    fn offsets(&self) -> Option<String> {
        let known = self.offsets_known.get(ALL)?;
        let [ttft_target, tpot_target, ..] = SEEN_TARGETS;
        let (ttft, tpot) = (known.ttft.median_abs_error?, known.tpot.median_abs_error?);
        Some(format!(
            "Even with the offset of each cell known TTFT would be off by {} ({} its target) and TPOT by {} ({} its \
             target).",
            percent(Some(ttft)),
            against(ttft, ttft_target),
            percent(Some(tpot)),
            against(tpot, tpot_target),
        ))
    }
}

fn against(share: f64, target: f64) -> &'static str {
    if share > target { "above" } else { "within" }
}

impl Report {
    pub(crate) fn write_floor(&self, out: &mut String) {
        out.push_str(ABOUT);
        out.push_str(&self.floor.table());
        let conclusion = self.floor.conclusion();
        if !conclusion.is_empty() {
            let _ = writeln!(out, "\n{conclusion}");
        }
    }
}
