//! What can be wrong with a workload, said so that it can be put right.

/// Why a workload cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// The workload lies in a data directory and none is given.
    #[error(
        "no data directory is given to look for {wanted} in; set RHUMB_DATA_DIR or pass `--data DIR` (`rhumb sim data` says what is needed)"
    )]
    NoData {
        /// File looked for, below the data directory.
        wanted: String,
    },
    /// The data directory lacks the file.
    #[error("{path} is not there; set RHUMB_DATA_DIR or pass `--data DIR` with the directory that has {wanted}")]
    NotInData {
        /// File looked for.
        path: String,
        /// The same, below the data directory.
        wanted: String,
    },
    /// A file cannot be opened or read.
    #[error("{path} cannot be read: {what}; give the path of a file that can")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system says.
        what: String,
    },
    /// A zstandard archive is cut short or altered.
    #[error("{file} is not a whole zstandard archive: {what}; fetch or compress it anew")]
    Archive {
        /// The file.
        file: String,
        /// What the decoder says.
        what: String,
    },
    /// A cell or a field is not as it should be.
    #[error("{file} line {line}, {field}: {what}; {right}")]
    Cell {
        /// The file.
        file: String,
        /// Line, from 1.
        line: u64,
        /// Column or field, by name where it has one.
        field: String,
        /// What is there.
        what: String,
        /// What would be right.
        right: String,
    },
    /// There is too little of it.
    #[error("{file} has {rows} rows; give at least 2 that do not all come at once")]
    Short {
        /// The file.
        file: String,
        /// Rows read.
        rows: usize,
    },
    /// An option is out of its range.
    #[error("{name} is {what}; {right}")]
    Option {
        /// Field of [`Options`](crate::Options).
        name: &'static str,
        /// What is there.
        what: String,
        /// What would be right.
        right: String,
    },
    /// No workload has this name.
    #[error(
        "no workload is called {found:?}; give azure-conv, azure-code, mooncake, agentic, servegen-m-large, \
         servegen-m-small, servegen-mm-image, or the path of a file that ends in .csv, .jsonl, .csv.zst or .jsonl.zst"
    )]
    Kind {
        /// What was given.
        found: String,
    },
}

/// What is wrong with one field, before it is known where it stands.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) field: String,
    pub(crate) what: String,
    pub(crate) right: String,
}

impl Fault {
    pub(crate) fn new(field: &str, what: impl Into<String>, right: impl Into<String>) -> Self {
        Self { field: field.to_owned(), what: what.into(), right: right.into() }
    }

    /// A value that reads `found`, which is empty where there is none.
    pub(crate) fn found(field: &str, found: &str, right: impl Into<String>) -> Self {
        let what = if found.is_empty() { "is missing".to_owned() } else { format!("is {found:?}") };
        Self::new(field, what, right)
    }

    pub(crate) fn at(self, file: &str, line: u64) -> TraceError {
        TraceError::Cell { file: file.to_owned(), line, field: self.field, what: self.what, right: self.right }
    }
}
