//! Reading the data files: CSV, plain or in a zstandard archive, with every fault named by file, line and field.

use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::Error;

/// A file of rows with a header.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) path: PathBuf,
    /// SHA-256 of the file as it lies on disk.
    pub(crate) sha256: String,
    header: Vec<String>,
    rows: Vec<(u64, csv::StringRecord)>,
}

/// One row, with where it is from.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    table: &'a Table,
    pub(crate) line: u64,
    record: &'a csv::StringRecord,
}

/// The file `name` of a data folder: under `sub` or directly in it, plain or packed. `None` when it is not there.
pub(crate) fn locate(folder: &Path, sub: &str, name: &str) -> Option<PathBuf> {
    let packed = format!("{name}.zst");
    [folder.join(sub).join(name), folder.join(sub).join(&packed), folder.join(name), folder.join(packed)]
        .into_iter()
        .find(|path| path.is_file())
}

impl Table {
    /// Reads and checks a file.
    pub(crate) fn read(path: &Path, columns: &[&'static str]) -> Result<Self, Error> {
        let raw = std::fs::read(path).map_err(|error| Error::Read { path: path.to_owned(), why: error.to_string() })?;
        let sha256 = Sha256::digest(&raw).iter().map(|byte| format!("{byte:02x}")).collect();
        let text = if path.extension().is_some_and(|extension| extension == "zst") { unpack(path, &raw)? } else { raw };
        let mut reader = csv::ReaderBuilder::new().from_reader(text.as_slice());
        let broken = |error: &csv::Error| Error::Row {
            path: path.to_owned(),
            line: error.position().map_or(1, csv::Position::line),
            why: error.to_string(),
        };
        let header: Vec<String> = match reader.headers() {
            Ok(record) => record.iter().map(str::to_owned).collect(),
            Err(error) => return Err(broken(&error)),
        };
        if let Some(column) = columns.iter().find(|column| !header.iter().any(|name| name == *column)) {
            let expected = columns.join(", ");
            return Err(Error::Column { path: path.to_owned(), column, expected });
        }
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.map_err(|error| broken(&error))?;
            let line = record.position().map_or(0, csv::Position::line);
            rows.push((line, record));
        }
        Ok(Self { path: path.to_owned(), sha256, header, rows })
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|(line, record)| Row { table: self, line: *line, record })
    }
}

fn unpack(path: &Path, packed: &[u8]) -> Result<Vec<u8>, Error> {
    let mut text = Vec::new();
    let fault = |unpacked: usize, why: String| Error::Archive { path: path.to_owned(), unpacked, why };
    let mut rest = packed;
    let decoder = ruzstd::decoding::StreamingDecoder::new(&mut rest);
    let mut decoder = decoder.map_err(|error| fault(0, error.to_string()))?;
    match decoder.read_to_end(&mut text) {
        Ok(_) => Ok(text),
        Err(error) => Err(fault(text.len(), error.to_string())),
    }
}

impl<'a> Row<'a> {
    /// The text of a field; empty where the source states nothing, or has no such column.
    pub(crate) fn text(&self, field: &'static str) -> &'a str {
        let at = self.table.header.iter().position(|name| name == field);
        at.and_then(|at| self.record.get(at)).unwrap_or("").trim()
    }

    pub(crate) fn fault(&self, field: &'static str, expected: &'static str) -> Error {
        let found = self.text(field).to_owned();
        Error::Field { path: self.table.path.clone(), line: self.line, field, found, expected }
    }

    /// A number that is not negative, or nothing.
    pub(crate) fn optional(&self, field: &'static str) -> Result<Option<f64>, Error> {
        let text = self.text(field);
        if text.is_empty() {
            return Ok(None);
        }
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() && value >= 0.0 => Ok(Some(value)),
            _ => Err(self.fault(field, "a number that is not negative, or nothing")),
        }
    }

    /// A number above zero.
    pub(crate) fn positive(&self, field: &'static str) -> Result<f64, Error> {
        match self.text(field).parse::<f64>() {
            Ok(value) if value.is_finite() && value > 0.0 => Ok(value),
            _ => Err(self.fault(field, "a number above zero")),
        }
    }

    /// A number that is not negative.
    pub(crate) fn number(&self, field: &'static str) -> Result<f64, Error> {
        self.optional(field)?.ok_or_else(|| self.fault(field, "a number that is not negative"))
    }
}
