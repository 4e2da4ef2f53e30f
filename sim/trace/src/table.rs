//! A table with a header line, its cells found by the name of their column.

use std::io::Read;

use crate::TraceError;
use crate::error::Fault;
use crate::file::{Source, broken};

/// A table being read.
pub(crate) struct Table {
    pub(crate) file: String,
    reader: csv::Reader<Box<dyn Read>>,
    columns: Vec<(&'static str, usize)>,
    record: csv::StringRecord,
}

/// The cells of one line.
pub(crate) struct Cells<'a> {
    columns: &'a [(&'static str, usize)],
    record: &'a csv::StringRecord,
    pub(crate) line: u64,
}

impl Table {
    /// Reads the header, which must have the columns `needed` and may have those in `known`. With `strict`, it may have
    /// no others: a misspelt one would be ignored in silence.
    pub(crate) fn new(
        source: Source,
        needed: &[&'static str],
        known: &[&'static str],
        strict: bool,
    ) -> Result<Self, TraceError> {
        let mut reader = csv::ReaderBuilder::new();
        reader.has_headers(false).flexible(true).trim(csv::Trim::All);
        let mut table = Self {
            file: source.name,
            reader: reader.from_reader(source.text),
            columns: Vec::new(),
            record: csv::StringRecord::new(),
        };
        table.advance()?;
        let line = table.line();
        let header: Vec<&str> = table.record.iter().map(|c| c.trim_start_matches('\u{feff}')).collect();
        for name in needed.iter().chain(known) {
            let mut places = header.iter().enumerate().filter(|(_, c)| *c == name).map(|(i, _)| i);
            match (places.next(), places.next()) {
                (Some(_), Some(_)) => {
                    return Err(Fault::new(name, "stands in the header twice", "name it once").at(&table.file, line));
                }
                (Some(i), None) => table.columns.push((name, i)),
                (None, _) if needed.contains(name) => {
                    let what = format!("is missing from the header {:?}", header.join(","));
                    let right = format!("begin with a line that names {}", needed.join(","));
                    return Err(Fault::new(name, what, right).at(&table.file, line));
                }
                (None, _) => {}
            }
        }
        let strange = |c: &&&str| !needed.contains(c) && !known.contains(c);
        if let Some(name) = header.iter().find(strange).filter(|_| strict) {
            let right = format!("remove it, or name one of {},{}", needed.join(","), known.join(","));
            return Err(Fault::new("header", format!("names {name:?}"), right).at(&table.file, line));
        }
        Ok(table)
    }

    fn advance(&mut self) -> Result<bool, TraceError> {
        let before = self.reader.position().line();
        self.reader.read_record(&mut self.record).map_err(|e| match e.kind() {
            csv::ErrorKind::Io(cause) => broken(&self.file, cause),
            kind => {
                let line = if let csv::ErrorKind::Utf8 { pos: Some(p), .. } = kind { p.line() } else { before };
                Fault::new("text", e.to_string(), "write UTF-8 text in comma-separated cells").at(&self.file, line)
            }
        })
    }

    fn line(&self) -> u64 {
        self.record.position().map_or(1, csv::Position::line)
    }

    /// The next line, None at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Cells<'_>>, TraceError> {
        let more = self.advance()?;
        let line = self.line();
        Ok(more.then_some(Cells { columns: &self.columns, record: &self.record, line }))
    }

    /// Says of a line what is wrong with it.
    pub(crate) fn fail(&self, line: u64, fault: Fault) -> TraceError {
        fault.at(&self.file, line)
    }

    /// Has `visit` read every line.
    pub(crate) fn each(mut self, mut visit: impl FnMut(&Cells<'_>) -> Result<(), Fault>) -> Result<String, TraceError> {
        loop {
            let (line, seen) = match self.next()? {
                None => return Ok(self.file),
                Some(cells) => (cells.line, visit(&cells)),
            };
            seen.map_err(|fault| self.fail(line, fault))?;
        }
    }
}

impl Cells<'_> {
    /// The text of a cell, empty where there is none.
    pub(crate) fn text(&self, name: &str) -> &str {
        let place = self.columns.iter().find(|(n, _)| *n == name);
        place.and_then(|(_, i)| self.record.get(*i)).unwrap_or_default()
    }

    /// A cell as a number of `range`.
    pub(crate) fn number<T>(&self, name: &str, range: std::ops::RangeInclusive<T>) -> Result<T, Fault>
    where
        T: std::str::FromStr + PartialOrd + std::fmt::Display,
    {
        let text = self.text(name);
        text.parse().ok().filter(|n| range.contains(n)).ok_or_else(|| Fault::found(name, text, between(&range)))
    }

    /// The same, None where the cell is empty.
    pub(crate) fn optional<T>(&self, name: &str, range: std::ops::RangeInclusive<T>) -> Result<Option<T>, Fault>
    where
        T: std::str::FromStr + PartialOrd + std::fmt::Display,
    {
        if self.text(name).is_empty() { Ok(None) } else { self.number(name, range).map(Some) }
    }
}

/// What would be right in place of a number outside `range`.
pub(crate) fn between<T: std::fmt::Display>(range: &std::ops::RangeInclusive<T>) -> String {
    let kind = if std::any::type_name::<T>().starts_with('u') { "whole number" } else { "number" };
    format!("give a {kind} from {} to {}", range.start(), range.end())
}
