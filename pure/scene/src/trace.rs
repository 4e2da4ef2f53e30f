//! A request trace: when requests came and how long they were.

use std::io::Read;

/// One request of a trace.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TraceRow {
    /// Seconds since the start of the trace.
    pub arrival_s: f64,
    /// Length of the prompt.
    pub input_tokens: u32,
    /// Length of the answer.
    pub output_tokens: u32,
}

/// What is wrong with a trace.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// A cell or a line is not as it should be.
    #[error("trace line {line}, column {column}: {what}; {right}")]
    Cell {
        /// Line, from 1.
        line: u64,
        /// Column, from 1, counted in cells.
        column: usize,
        /// What is there.
        what: String,
        /// What would be right.
        right: &'static str,
    },
    /// There is too little of it.
    #[error("the trace has {rows} rows: give at least 2 that do not all come at once")]
    Short {
        /// Rows read.
        rows: usize,
    },
}

const COLUMNS: [&str; 3] = ["arrival_s", "input_tokens", "output_tokens"];

/// Longest prompt or answer taken: what the engines of the demo have room for.
const TOKENS_MAX: u32 = 7_900;

/// Reads a trace: a header line, then `arrival_s,input_tokens,output_tokens`, in order of arrival.
///
/// # Errors
/// The first line that is wrong, by line and column.
pub fn read(text: impl Read) -> Result<Vec<TraceRow>, TraceError> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).trim(csv::Trim::All).from_reader(text);
    let mut rows: Vec<TraceRow> = Vec::new();
    let mut record = csv::StringRecord::new();
    let mut header = true;
    loop {
        let line = reader.position().line();
        let more = reader.read_record(&mut record).map_err(|e| TraceError::Cell {
            line,
            column: 1,
            what: e.to_string(),
            right: "write UTF-8 text in comma-separated cells",
        })?;
        if !more {
            break;
        }
        let line = record.position().map_or(line, csv::Position::line);
        if std::mem::take(&mut header) {
            check_header(&record, line)?;
            continue;
        }
        let row = row(&record, line)?;
        if rows.last().is_some_and(|before| before.arrival_s > row.arrival_s) {
            let what = format!("{} is before the line above", row.arrival_s);
            return Err(TraceError::Cell { line, column: 1, what, right: "sort the trace by arrival_s" });
        }
        rows.push(row);
    }
    match (rows.first(), rows.last()) {
        (Some(first), Some(last)) if last.arrival_s > first.arrival_s => Ok(rows),
        _ => Err(TraceError::Short { rows: rows.len() }),
    }
}

fn check_header(record: &csv::StringRecord, line: u64) -> Result<(), TraceError> {
    for (column, wanted) in COLUMNS.iter().enumerate() {
        let found = record.get(column).unwrap_or_default();
        if found.trim_start_matches('\u{feff}') != *wanted {
            let what = format!("the header says {found:?} instead of {wanted:?}");
            let right = "begin with the line arrival_s,input_tokens,output_tokens";
            return Err(TraceError::Cell { line, column: column + 1, what, right });
        }
    }
    Ok(())
}

fn row(record: &csv::StringRecord, line: u64) -> Result<TraceRow, TraceError> {
    let cell = |column: usize, right| {
        let text = record.get(column).unwrap_or_default();
        let what = match text {
            "" => format!("{} is missing", COLUMNS[column]),
            text => format!("{} is {text:?}", COLUMNS[column]),
        };
        (text, TraceError::Cell { line, column: column + 1, what, right })
    };
    let tokens = |column| {
        let (text, error) = cell(column, "give a whole number of tokens from 1 to 7900");
        text.parse().ok().filter(|n| (1..=TOKENS_MAX).contains(n)).ok_or(error)
    };
    let (text, error) = cell(0, "give seconds as a number that is not negative");
    let arrival_s = text.parse().ok().filter(|s: &f64| s.is_finite() && *s >= 0.0).ok_or(error)?;
    Ok(TraceRow { arrival_s, input_tokens: tokens(1)?, output_tokens: tokens(2)? })
}

/// Mean prompt and answer, in tokens.
pub fn mean_tokens(rows: &[TraceRow]) -> (f64, f64) {
    let n = rows.len().max(1) as f64;
    let (input, output) =
        rows.iter().fold((0.0, 0.0), |(i, o), r| (i + f64::from(r.input_tokens), o + f64::from(r.output_tokens)));
    (input / n, output / n)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        read(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn reads_rows_and_their_means() {
        let rows = read(&b"arrival_s,input_tokens,output_tokens\n0,10,20\n1.5, 30 ,40\n"[..]).unwrap();
        assert_eq!(rows[1], TraceRow { arrival_s: 1.5, input_tokens: 30, output_tokens: 40 });
        assert_eq!(mean_tokens(&rows), (20.0, 30.0));
    }

    #[test]
    fn errors_name_line_and_column() {
        let head = "arrival_s,input_tokens,output_tokens\n";
        let on = |rows: &str| error(&format!("{head}{rows}"));
        assert!(on("0,1,1\n1,x,1\n").starts_with("trace line 3, column 2: input_tokens is \"x\"; give a whole number"));
        assert!(on("0,1\n").starts_with("trace line 2, column 3: output_tokens is missing"));
        assert!(on("-1,1,1\n").starts_with("trace line 2, column 1: arrival_s is \"-1\""));
        assert!(on("2,1,1\n1,1,1\n").starts_with("trace line 3, column 1: 1 is before the line above"));
        assert!(on("0,1,0\n").contains("column 3"));
        assert!(on("0,1,9000\n").contains("column 3"));
        assert!(error("time,in,out\n").contains("begin with the line arrival_s,input_tokens,output_tokens"));
        assert!(on("0,1,1\n").contains("1 rows"));
        assert!(on("1,1,1\n1,1,1\n").contains("2 rows"));
        assert!(error("").contains("0 rows"));
    }
}
