//! The report as a page and as lines for a terminal.

use std::fmt::Write as _;

use crate::report::Report;
use crate::tally::{Figures, Summary};

/// A share as a percentage, or a dash.
pub(crate) fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), |share| format!("{:.1} %", 100.0 * share))
}

fn cell(figures: &Figures) -> String {
    if figures.points == 0 { "–".to_owned() } else { percent(figures.median_abs_error) }
}

impl Report {
    /// The page `docs/fidelity.md`.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut out = String::from(INTRODUCTION);
        self.write_targets(&mut out);
        self.write_summaries(&mut out);
        self.write_floor(&mut out);
        self.write_replay(&mut out);
        self.write_groups(&mut out);
        self.write_excluded(&mut out);
        out.push_str(FINDINGS);
        out.push_str("\n## Files\n\n| file | SHA-256 |\n|---|---|\n");
        for (name, sha256) in &self.files {
            let _ = writeln!(out, "| `{name}` | `{sha256}` |");
        }
        out
    }

    fn write_targets(&self, out: &mut String) {
        let _ = writeln!(out, "\n## Targets\n\nMedian absolute relative error; {}.\n", self.method);
        out.push_str("| | target | reached | |\n|---|---:|---:|---|\n");
        for target in &self.targets {
            let verdict = match (target.met, target.within_a_quarter) {
                (true, _) => "met",
                (false, true) => "missed by at most a quarter",
                (false, false) => "**missed**",
            };
            let _ = writeln!(
                out,
                "| {} | {} | {} | {verdict} |",
                target.name,
                percent(Some(target.target)),
                percent(target.reached)
            );
        }
    }

    fn write_summaries(&self, out: &mut String) {
        out.push_str("\n## Errors\n\nMedian / nine of ten, and the number of rows.\n\n");
        out.push_str("| held out | TTFT | TPOT | E2E | power |\n|---|---|---|---|---|\n");
        let seen = Summary { ttft: self.ttft, tpot: self.tpot, e2e: self.e2e, power: self.power };
        let lines = [
            ("a group: board and architecture each seen elsewhere", &seen),
            ("a board, or an architecture, altogether", &self.unseen),
            ("– of these, the board", &self.unseen_board),
            ("– of these, the architecture", &self.unseen_model),
        ];
        for (name, summary) in lines {
            let cells = [summary.ttft, summary.tpot, summary.e2e, summary.power]
                .map(|figures| format!("{} / {} ({})", cell(&figures), percent(figures.p90_abs_error), figures.points));
            let _ = writeln!(out, "| {name} | {} |", cells.join(" | "));
        }
    }

    fn write_replay(&self, out: &mut String) {
        if self.replay.is_empty() {
            return;
        }
        out.push_str(
            "\n## Replay of measured vLLM runs\n\n300 ShareGPT requests each, at their measured times, through \
             `rhumb_engine::Engine` with vLLM's limits (2,048 tokens a step, 128 sequences; RTX 4090 and the mixture: 256). A run is judged by a fit \
             that saw nothing of its model on its board. Means are measured → modelled; errors are the median over requests / nine of ten.\n\n",
        );
        out.push_str("| run | mean TTFT, ms | mean TPOT, ms | mean E2E, ms | TTFT | TPOT | E2E | basis |\n");
        out.push_str("|---|---|---|---|---|---|---|---|\n");
        for run in &self.replay {
            let mean = |[measured, modelled]: [f64; 2]| {
                format!("{measured:.1} → {modelled:.1} ({:+.0} %)", 100.0 * (modelled / measured - 1.0))
            };
            let error = |figures: &Figures| {
                format!("{} / {}", percent(figures.median_abs_error), percent(figures.p90_abs_error))
            };
            let _ = writeln!(
                out,
                "| {}, {} | {} | {} | {} | {} | {} | {} | {} |",
                run.gpu,
                run.model,
                mean(run.mean_ttft_ms),
                mean(run.mean_tpot_ms),
                mean(run.mean_e2e_ms),
                error(&run.ttft),
                error(&run.tpot),
                error(&run.e2e),
                run.basis
            );
        }
    }

    fn write_groups(&self, out: &mut String) {
        out.push_str(
            "\n## Every group, and the cause of its misses\n\nMedian absolute error. A cause is read off the group's \
             errors by the program; a group without one meets its targets.\n\n",
        );
        out.push_str("| model | system | seen | rows | TTFT | TPOT | E2E | power | cause of misses |\n");
        out.push_str("|---|---|---|---:|---:|---:|---:|---:|---|\n");
        for group in &self.by_group {
            let errors = &group.errors;
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
                group.model,
                group.system,
                if group.seen { "yes" } else { "no" },
                errors.tpot.points + errors.power.points,
                cell(&errors.ttft),
                cell(&errors.tpot),
                cell(&errors.e2e),
                cell(&errors.power),
                group.cause.as_deref().unwrap_or("")
            );
        }
    }

    fn write_excluded(&self, out: &mut String) {
        out.push_str("\n## Rows that were not judged\n\n");
        if self.excluded.is_empty() {
            out.push_str("None.\n");
            return;
        }
        out.push_str("| reason | rows | counted |\n|---|---:|---|\n");
        for excluded in &self.excluded {
            let counted = if excluded.counted_as_misses { "as misses" } else { "not at all" };
            let _ = writeln!(out, "| {} | {} | {counted} |", excluded.reason, excluded.points);
        }
    }

    /// The report in some lines.
    #[must_use]
    pub fn terminal(&self) -> String {
        let mut out = format!("Median absolute relative error; {}.\n\n", self.method);
        for target in &self.targets {
            let verdict = match (target.met, target.within_a_quarter) {
                (true, _) => "met",
                (false, true) => "missed by at most a quarter",
                (false, false) => "missed",
            };
            let (reached, limit) = (percent(target.reached), percent(Some(target.target)));
            let _ = writeln!(out, "  {:<20} {reached:>8}  target {limit:>7}  {verdict}", target.name);
        }
        out.push_str(&self.floor.lines());
        for run in &self.replay {
            let _ = writeln!(
                out,
                "  replay {}, {}: TTFT {}, TPOT {}, E2E {}",
                run.gpu,
                run.model,
                percent(run.ttft.median_abs_error),
                percent(run.tpot.median_abs_error),
                percent(run.e2e.median_abs_error)
            );
        }
        for excluded in &self.excluded {
            let counted = if excluded.counted_as_misses { "counted as misses" } else { "not counted" };
            let _ = writeln!(out, "  not judged: {} rows, {} ({counted})", excluded.points, excluded.reason);
        }
        out
    }
}

const INTRODUCTION: &str = include_str!("introduction.md");
const FINDINGS: &str = include_str!("findings.md");
