//! Series by the hour: electricity prices, carbon intensities.

use std::collections::BTreeMap;
use std::path::Path;

use crate::TraceError;
use crate::file::Source;
use crate::table::Table;

/// Reads columns of an hourly table of the data directory (`power/…` or `carbon/…`): each row is the next hour.
///
/// # Errors
/// The file is missing, cut short, lacks a column, or holds something other than a number.
pub fn hours(
    data_dir: Option<&Path>,
    file: &str,
    columns: &[&'static str],
) -> Result<BTreeMap<&'static str, Vec<f64>>, TraceError> {
    let needed = [&["hour_utc"], columns].concat();
    let mut out: BTreeMap<&'static str, Vec<f64>> = columns.iter().map(|c| (*c, Vec::new())).collect();
    Table::new(Source::in_data(data_dir, file)?, &needed, &[], false)?.each(|cells| {
        for (column, series) in &mut out {
            series.push(cells.number(column, -1e5..=1e5)?);
        }
        Ok(())
    })?;
    Ok(out)
}
