//! `rhumb log`.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Subcommand;
use rhumb_store::{ReadStore as _, Reader, Status, StoreError, prunable, prune};

use rhumb_cli::exit::{self, Failure, Outcome};
use rhumb_cli::out;

/// Arguments of `rhumb log`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show what the log holds and how large it is
    Status {
        #[command(flatten)]
        folder: Folder,
    },
    /// Delete rows of old requests and give the space back to the file system; a gateway may be running
    Prune {
        #[command(flatten)]
        folder: Folder,
        /// Age from which on rows are deleted, as `7d`, `12h`, `30m` or `45s`
        #[arg(long, value_name = "AGE", default_value = "30d", value_parser = age)]
        older_than: Duration,
        /// Show how many rows would be deleted, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(clap::Args)]
struct Folder {
    /// Folder of the decision log (`gateway.data_dir`)
    #[arg(long, default_value = "rhumb-data")]
    data_dir: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// An age as people write it.
fn age(text: &str) -> Result<Duration, String> {
    let wrong = || "it is a whole number and a unit: `7d`, `12h`, `30m` or `45s`".to_owned();
    let (number, seconds) = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)]
        .into_iter()
        .find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)))
        .ok_or_else(wrong)?;
    let number: u32 = number.parse().map_err(|_| wrong())?;
    Ok(Duration::from_secs(u64::from(number) * seconds))
}

fn failure(why: StoreError) -> Failure {
    let code = if matches!(why, StoreError::Missing(_)) { exit::MISSING } else { exit::USAGE };
    Failure::new(code, why)
}

fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

pub(crate) fn run(args: &Args) -> Outcome {
    match &args.command {
        Command::Status { folder } => status(folder),
        Command::Prune { folder, older_than, dry_run: true } => {
            let rows = prunable(&folder.data_dir, *older_than, unix_ms()).map_err(failure)?;
            if folder.json {
                out::line(serde_json::json!({ "would_prune": rows }))?;
            } else {
                out::line(format_args!("{rows} rows would be deleted; nothing was changed"))?;
            }
            Ok(exit::DONE)
        }
        Command::Prune { folder, older_than, dry_run: false } => {
            let (pruned, [before, after]) = prune(&folder.data_dir, *older_than, unix_ms()).map_err(failure)?;
            if folder.json {
                let (requests, view_rows) = (pruned.requests, pruned.view_rows);
                let said = serde_json::json!({
                    "requests": requests, "view_rows": view_rows, "bytes_before": before, "bytes_after": after
                });
                out::line(said)?;
            } else {
                out::line(format_args!(
                    "{} rows of requests and {} of views are deleted",
                    pruned.requests, pruned.view_rows
                ))?;
                out::line(format_args!("the file had {} and has {}", mib(before), mib(after)))?;
            }
            Ok(exit::DONE)
        }
    }
}

fn status(folder: &Folder) -> Outcome {
    let status = Reader::open(&folder.data_dir).and_then(|log| log.status()).map_err(failure)?;
    if folder.json {
        out::line(serde_json::to_string(&status).map_err(|e| Failure::new(exit::USAGE, e))?)?;
    } else {
        out::print(human(&status, unix_ms()))?;
    }
    Ok(exit::DONE)
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

fn human(status: &Status, now_ms: u64) -> String {
    use std::fmt::Write as _;
    let ago = |at: Option<u64>| {
        at.map_or("-".to_owned(), |at| format!("{:.1} days ago", now_ms.saturating_sub(at) as f64 / 86_400_000.0))
    };
    let mut out = format!("rows      {}\n", status.outcomes.values().sum::<u64>());
    for (outcome, rows) in &status.outcomes {
        let _ = writeln!(out, "          {rows} {outcome}");
    }
    let _ = writeln!(out, "oldest    {}", ago(status.oldest_unix_ms));
    let _ = writeln!(out, "newest    {}", ago(status.newest_unix_ms));
    let (file, free, wal) = (mib(status.file_bytes), mib(status.free_bytes), mib(status.wal_bytes));
    let _ = writeln!(out, "file      {file}, of which {free} are free to be used again; write-ahead log {wal}");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_a_number_and_a_unit() {
        assert_eq!(age("7d"), Ok(Duration::from_secs(7 * 86_400)));
        assert_eq!((age("12h"), age("30m")), (Ok(Duration::from_secs(43_200)), Ok(Duration::from_secs(1_800))));
        assert_eq!(age("0s"), Ok(Duration::ZERO));
        for wrong in ["", "7", "d", "-1d", "1.5h", "7 d", "99999999999d"] {
            assert!(age(wrong).is_err(), "{wrong}");
        }
    }
}
