//! What can be wrong with the data: always which file, where in it, and what would be right.

use std::path::PathBuf;

/// Why there is no fit or report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A folder has none of the files.
    #[error("{}: none of {expected} is here", .folder.display())]
    NoData {
        /// The folder.
        folder: PathBuf,
        /// The files looked for.
        expected: String,
    },
    /// A file that must be there cannot be read.
    #[error("{}: cannot be read: {why}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system or the decoder said.
        why: String,
    },
    /// A zstandard archive is cut short or damaged.
    #[error("{}: the archive cannot be unpacked after {unpacked} bytes ({why}); expected a complete zstandard file", .path.display())]
    Archive {
        /// The file.
        path: PathBuf,
        /// Bytes that came out before the fault.
        unpacked: usize,
        /// What the decoder said.
        why: String,
    },
    /// A column is missing.
    #[error("{}: line 1: column `{column}` is missing; expected the columns {expected}", .path.display())]
    Column {
        /// The file.
        path: PathBuf,
        /// The first column that is missing.
        column: &'static str,
        /// All columns that must be there.
        expected: String,
    },
    /// A row is broken.
    #[error("{}: line {line}: {why}; expected as many fields as the header has", .path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// Its line.
        line: u64,
        /// What is wrong.
        why: String,
    },
    /// A value is not what its column holds.
    #[error("{}: line {line}: field `{field}` is `{found}`; expected {expected}", .path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// Its line.
        line: u64,
        /// The column.
        field: &'static str,
        /// What is there.
        found: String,
        /// What would be right.
        expected: &'static str,
    },
}
