//! One's own trace, in CSV or JSONL.

use std::path::Path;

use crate::TraceError;
use crate::error::Fault;
use crate::file::Source;
use crate::jsonl;
use crate::kind::Format;
use crate::options::us;
use crate::rows::{Builder, Given, Rows, SECONDS, TOKENS};
use crate::table::{Cells, Table};

const NEEDED: [&str; 3] = ["arrival_s", "input_tokens", "output_tokens"];
const KNOWN: [&str; 6] = ["session", "client", "think_s", "hash_ids", "blocks", "block_tokens"];

/// Opens and reads a file.
pub(crate) fn open(path: &Path) -> Result<Rows, TraceError> {
    read(Source::open(path)?)
}

/// Reads a file by the end of its name.
pub(crate) fn read(source: Source) -> Result<Rows, TraceError> {
    let mut rows = Builder::default();
    let file = match Format::of(&source.name) {
        Some(Format::Csv) => Table::new(source, &NEEDED, &KNOWN, true)?.each(|cells| one(cells, &mut rows))?,
        Some(Format::Jsonl) => jsonl::read(source, &mut rows)?,
        None => {
            let what = "its name tells no format; it should end in .csv, .jsonl, .csv.zst or .jsonl.zst".to_owned();
            return Err(TraceError::Unreadable { path: source.name, what });
        }
    };
    rows.finish(file)
}

fn one(cells: &Cells<'_>, rows: &mut Builder) -> Result<(), Fault> {
    rows.push(Given {
        at: ("arrival_s", us(cells.number("arrival_s", SECONDS)?)),
        input_tokens: cells.number("input_tokens", TOKENS)?,
        output_tokens: cells.number("output_tokens", TOKENS)?,
        client: cells.optional("client", 0..=u32::MAX - 1)?.unwrap_or(0),
        session: cells.text("session"),
        think_us: cells.optional("think_s", SECONDS)?.map(us),
        ids: ids(cells, if cells.text("hash_ids").is_empty() { "blocks" } else { "hash_ids" })?,
        block_tokens: cells.optional("block_tokens", 1..=1 << 20)?,
    })
}

fn ids(cells: &Cells<'_>, name: &str) -> Result<Vec<u64>, Fault> {
    let right = "give whole numbers with spaces between, one for each block of the prompt";
    cells.text(name).split_whitespace().map(|id| id.parse().map_err(|_| Fault::found(name, id, right))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, text: &str) -> Result<Rows, TraceError> {
        read(Source::new(name, std::io::Cursor::new(text.as_bytes().to_vec())))
    }

    const CSV: &str = "arrival_s,input_tokens,output_tokens,session,client,think_s,hash_ids,block_tokens\n\
                       0,128,5,a,3,,1 2,64\n\
                       1,64,6,,,,,\n\
                       2,200,7,a,3,1.5,1 2 4,64\n";

    #[test]
    fn both_formats_say_the_same() {
        let jsonl = r#"{"arrival_s":0,"input_tokens":128,"output_tokens":5,"session":"a","client":3,"hash_ids":[1,2],"block_tokens":64}

            {"timestamp":1000,"input_length":64,"output_length":6,"session":null}
            {"arrival_s":2,"input_tokens":200,"output_tokens":7,"session":"a","client":3,"think_s":1.5,"hash_ids":[1,2,4]}"#;
        let (csv, jsonl) = (of("a.csv", CSV).unwrap(), of("a.jsonl", jsonl).unwrap());
        assert_eq!(csv.list, jsonl.list);
        assert_eq!((csv.block_tokens, csv.clients, csv.sessions), (64, 4, 1));
        assert_eq!((csv.list[0].next, csv.list[2].think_us), (Some(2), Some(1_500_000)));
    }

    #[test]
    fn errors_say_what_would_be_right() {
        let error = |row: &str| of("a.csv", &format!("{CSV}{row}\n")).unwrap_err().to_string();
        assert_eq!(
            error("3,1,1,,,2,,"),
            "a.csv line 5, think_s: is given without a session; name the session whose call before this one is waited for"
        );
        assert_eq!(error("3,1,1,,-1,,,"), "a.csv line 5, client: is \"-1\"; give a whole number from 0 to 4294967294");
        assert_eq!(
            error("3,1,1,,,,1;2,"),
            "a.csv line 5, hash_ids: is \"1;2\"; give whole numbers with spaces between, one for each block of the prompt"
        );
        assert_eq!(
            error("3,1,1,,,,,32"),
            "a.csv line 5, block_tokens: is 32 after 64; give blocks of one length in all lines"
        );
        assert_eq!(
            of("a.csv", "arrival_s,input_tokens,output_tokens,sesion\n").unwrap_err().to_string(),
            "a.csv line 1, header: names \"sesion\"; remove it, or name one of \
             arrival_s,input_tokens,output_tokens,session,client,think_s,hash_ids,blocks,block_tokens"
        );
        assert!(of("a.txt", "").unwrap_err().to_string().contains("it should end in .csv, .jsonl"));
        assert!(
            of("a.jsonl", "{\"sesion\":1}")
                .unwrap_err()
                .to_string()
                .starts_with("a.jsonl line 1, sesion: is not a field")
        );
    }

    #[test]
    fn the_examples_of_the_reference_are_one_trace() {
        let page = include_str!("../../../docs/reference/traces.md");
        let example = |fence: &str| page.split_once(fence).unwrap().1.split_once("```").unwrap().0.to_owned();
        let csv = of("a.csv", &example("```csv\n")).unwrap();
        assert_eq!(csv.list, of("a.jsonl", &example("```json\n")).unwrap().list);
        assert_eq!((csv.list.len(), csv.list[0].next, csv.block_tokens), (3, Some(2), 64));
    }
}
