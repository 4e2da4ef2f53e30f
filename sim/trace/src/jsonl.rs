//! A trace of one JSON object per line.

use std::io::{BufRead, BufReader, Read};

use serde_json::{Map, Value};

use crate::TraceError;
use crate::error::Fault;
use crate::file::{Source, broken};
use crate::options::us;
use crate::rows::{Builder, Given, SECONDS, TOKENS};
use crate::table::between;

/// Longest line taken: a million block ids.
const LINE_BYTES_MAX: u64 = 16 << 20;

/// Names of the fields; each in its own words and in Mooncake's.
const FIELDS: [&str; 12] = [
    "arrival_s",
    "timestamp",
    "input_tokens",
    "input_length",
    "output_tokens",
    "output_length",
    "session",
    "client",
    "think_s",
    "hash_ids",
    "blocks",
    "block_tokens",
];

/// Reads every line into `rows`; returns the file's name.
pub(crate) fn read(source: Source, rows: &mut Builder) -> Result<String, TraceError> {
    let file = source.name;
    let mut text = BufReader::new(source.text);
    let mut bytes = Vec::new();
    for line in 1.. {
        bytes.clear();
        let n = text.by_ref().take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut bytes).map_err(|e| broken(&file, &e))?;
        if n == 0 {
            break;
        }
        if bytes.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        one(&bytes, rows).map_err(|fault| fault.at(&file, line))?;
    }
    Ok(file)
}

fn one(bytes: &[u8], rows: &mut Builder) -> Result<(), Fault> {
    if bytes.len() as u64 > LINE_BYTES_MAX {
        return Err(Fault::new("text", "is longer than 16 MiB", "write one JSON object on each line"));
    }
    let object: Map<String, Value> = serde_json::from_slice(bytes.trim_ascii_end()).map_err(|e| {
        // The line is said already, and is always the first of the text that the parser sees.
        let text = e.to_string();
        let what = text.split(" at line ").next().unwrap_or(&text);
        Fault::new(&format!("column {}", e.column()), what, "write one JSON object on each line")
    })?;
    if let Some(name) = object.keys().find(|k| !FIELDS.contains(&k.as_str())) {
        return Err(Fault::new(name, "is not a field of a trace", format!("remove it, or name one of {FIELDS:?}")));
    }
    let fields = Fields(&object);
    let (session, client) = (fields.session()?, fields.whole(&["client"], 0..=u32::MAX - 1, Some(0))?);
    rows.push(Given {
        at: fields.at()?,
        input_tokens: fields.whole(&["input_tokens", "input_length"], TOKENS, None)?,
        output_tokens: fields.whole(&["output_tokens", "output_length"], TOKENS, None)?,
        client,
        session: &session,
        think_us: fields.seconds("think_s")?.map(us),
        ids: fields.ids()?,
        block_tokens: match fields.whole(&["block_tokens"], 1..=1 << 20, Some(0))? {
            0 => None,
            tokens => Some(tokens),
        },
    })
}

struct Fields<'a>(&'a Map<String, Value>);

impl Fields<'_> {
    /// The first of these fields that is there, and not null.
    fn get<'n>(&self, names: &[&'n str]) -> Option<(&'n str, &Value)> {
        names.iter().find_map(|name| Some((*name, self.0.get(*name).filter(|v| !v.is_null())?)))
    }

    fn whole(&self, names: &[&str], range: std::ops::RangeInclusive<u32>, default: Option<u32>) -> Result<u32, Fault> {
        match (self.get(names), default) {
            (Some((name, value)), _) => value
                .as_u64()
                .and_then(|n| u32::try_from(n).ok())
                .filter(|n| range.contains(n))
                .ok_or_else(|| strange(name, value, between(&range))),
            (None, Some(default)) => Ok(default),
            (None, None) => Err(Fault::found(&names.join(" or "), "", between(&range))),
        }
    }

    fn seconds(&self, name: &str) -> Result<Option<f64>, Fault> {
        let Some((_, value)) = self.get(&[name]) else { return Ok(None) };
        let good = value.as_f64().filter(|s| SECONDS.contains(s));
        good.map(Some).ok_or_else(|| strange(name, value, between(&SECONDS)))
    }

    fn at(&self) -> Result<(&'static str, u64), Fault> {
        if let Some(at_s) = self.seconds("arrival_s")? {
            return Ok(("arrival_s", us(at_s)));
        }
        let Some((_, value)) = self.get(&["timestamp"]) else {
            return Err(Fault::found("arrival_s or timestamp", "", between(&SECONDS)));
        };
        let good = value.as_f64().filter(|ms| (0.0..=1e12).contains(ms));
        let right = "give milliseconds since the start, from 0 to 1000000000000";
        Ok(("timestamp", us(good.ok_or_else(|| strange("timestamp", value, right))? / 1e3)))
    }

    fn session(&self) -> Result<String, Fault> {
        match self.get(&["session"]) {
            None => Ok(String::new()),
            Some((_, Value::String(text))) => Ok(text.clone()),
            Some((_, Value::Number(number))) => Ok(number.to_string()),
            Some((name, value)) => Err(strange(name, value, "give a text or a number")),
        }
    }

    fn ids(&self) -> Result<Vec<u64>, Fault> {
        let Some((name, value)) = self.get(&["hash_ids", "blocks"]) else { return Ok(Vec::new()) };
        let right = "give a list of whole numbers, one for each block of the prompt";
        let list = value.as_array().ok_or_else(|| strange(name, value, right))?;
        list.iter().map(|id| id.as_u64().ok_or_else(|| strange(name, id, right))).collect()
    }
}

/// A field that reads `value`, told briefly.
fn strange(name: &str, value: &Value, right: impl Into<String>) -> Fault {
    let text: String = value.to_string().chars().take(40).collect();
    Fault::new(name, format!("is {text}"), right)
}
