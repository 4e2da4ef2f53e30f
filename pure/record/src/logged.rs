//! A record as it is read back, whole.

use rhumb_grid::position::{EndpointIndex, ModelIndex};
use rhumb_route::decide::World;
use rhumb_route::record::{Kept, Record};
use rhumb_route::row::{LocalLoad, Row};

use crate::layout::{decode_record, decode_row};
use crate::stored::{Damaged, Named};

/// The part of a row that a replay reads.
#[derive(Debug, Clone, PartialEq)]
pub struct Logged {
    /// The inputs.
    pub record: Record,
    /// The decision's fingerprint.
    pub fingerprint: u64,
    /// Names of what the record mentions.
    pub names: Vec<Named>,
}

impl Logged {
    /// Reads a record as it is stored; `row` finds the rows that it was made on, by run, view, and the candidate.
    ///
    /// # Errors
    /// It is of another version or damaged, or a row is.
    pub fn decode<E: From<Damaged>>(
        blob: &[u8],
        mut row: impl FnMut(u64, u64, &Kept) -> Result<Vec<u8>, E>,
    ) -> Result<Self, E> {
        let stored = decode_record(blob)?;
        let (mut rows, mut names) = (Vec::new(), Vec::new());
        for kept in &stored.kept {
            let (row, named) = decode_row(&row(stored.run, stored.view, kept)?)?;
            rows.push(row);
            names.push(named);
        }
        // In the order they were met: a view holds the endpoints of a model in theirs.
        rows.sort_by_key(|r| (r.model, r.endpoint));
        let record = Record::new(stored.view, &Rows(rows), stored.facts, stored.choice, &stored.kept);
        Ok(Self { record, fingerprint: stored.fingerprint, names })
    }
}

struct Rows(Vec<Row>);

impl World for Rows {
    fn rows(&self, model: ModelIndex) -> &[Row] {
        let start = self.0.partition_point(|r| r.model < model);
        &self.0[start..self.0.partition_point(|r| r.model <= model)]
    }

    fn local_load(&self, _: EndpointIndex) -> LocalLoad {
        LocalLoad::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records as they were first written in each layout, each with the row that it was made on: the record's length, the record, the row.
    const BEFORE: [(u8, &[u8]); 3] = [
        (3, include_bytes!("../fixtures/layout-3")),
        (4, include_bytes!("../fixtures/layout-4")),
        (5, include_bytes!("../fixtures/layout-5")),
    ];

    fn parts(bytes: &[u8]) -> (&[u8], &[u8]) {
        let (length, rest) = bytes.split_first_chunk::<4>().unwrap();
        rest.split_at(u32::from_le_bytes(*length) as usize)
    }

    #[test]
    fn records_of_every_layout_are_read_and_replay() {
        for (layout, bytes) in BEFORE {
            let (record, row) = parts(bytes);
            assert_eq!((record[0], row[0]), (layout, layout));
            let read = |record: &[u8]| Logged::decode(record, |_, _, _| Ok::<_, Damaged>(row.to_vec()));
            let logged = read(record).unwrap();
            let facts = &logged.record.facts;
            assert!(facts.prompt_tokens >= 1.0 && facts.longest_tokens >= 1.0 && facts.certain_tokens >= 1.0);
            let again = logged.record.replay();
            assert!(!again.targets.is_empty());
            // The formulas have changed since layout 3.
            assert!(layout == 3 || rhumb_route::record::fingerprint(&again) == logged.fingerprint);
            for damaged in [&record[..record.len() - 1], &[250, 0], &[]] {
                assert_eq!(read(damaged), Err(Damaged));
            }
        }
    }
}
