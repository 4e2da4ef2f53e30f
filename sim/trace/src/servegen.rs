//! ServeGen's client mixes (Xiang et al., 2025): how often and how unevenly each client of a production service called in
//! each ten minutes of two weeks, and how long its prompts and answers were.

use std::collections::BTreeMap;

use crate::TraceError;
use crate::error::Fault;
use crate::file::Source;
use crate::lengths::{Lengths, Prompt, Quantiles};
use crate::table::{Cells, Table};

/// Length of a window.
pub(crate) const WINDOW_S: u32 = 600;

/// What a client did in one window.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) at_s: u32,
    pub(crate) rate_rps: f64,
    /// Coefficient of variation of the gaps between calls.
    pub(crate) cv: f64,
    /// Whether the gaps are Weibull rather than Gamma.
    pub(crate) weibull: bool,
}

/// Whose lengths a client's calls have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Those at this place.
    One(usize),
    /// Of all clients of the model, by their weight: what the client itself had is not known.
    Pool,
}

/// One client.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) number: u32,
    /// In order of time.
    pub(crate) windows: Vec<Window>,
    pub(crate) lengths: Whose,
}

/// A service's clients.
#[derive(Debug)]
pub(crate) struct Mix {
    pub(crate) clients: Vec<Client>,
    pub(crate) lengths: Vec<Lengths>,
    /// End of the last window.
    pub(crate) length_s: u32,
}

/// Reads the clients of `model`.
pub(crate) fn read(rates: Source, lengths: Source, model: &str) -> Result<Mix, TraceError> {
    let rates_file = rates.name.clone();
    let mut clients = read_rates(rates)?;
    let length_s = clients.iter().filter_map(|c| c.windows.last()).map(|w| w.at_s + WINDOW_S).max().unwrap_or(0);
    if length_s == 0 {
        return Err(TraceError::Short { file: rates_file, rows: 0 });
    }
    let numbers: Vec<u32> = clients.iter().map(|c| c.number).collect();
    let by_client = read_lengths(lengths, model, &rates_file, &numbers)?;
    for client in &mut clients {
        let place = by_client.keys().position(|number| *number == client.number);
        client.lengths = place.map_or(Whose::Pool, Whose::One);
    }
    Ok(Mix { clients, lengths: by_client.into_values().collect(), length_s })
}

fn read_rates(source: Source) -> Result<Vec<Client>, TraceError> {
    let mut clients: Vec<Client> = Vec::new();
    Table::new(source, &["client", "window_s", "rate_rps", "cv", "pattern"], &[], false)?.each(|cells| {
        let number = cells.number("client", 0..=1_000_000)?;
        let window = window(cells)?;
        let last = clients.last_mut();
        if let Some(before) = last.as_ref().filter(|c| c.number > number) {
            let what = format!("is {number} after {}", before.number);
            return Err(Fault::new("client", what, "sort the lines by client and window_s"));
        }
        let Some(client) = last.filter(|c| c.number == number) else {
            clients.push(Client { number, windows: vec![window], lengths: Whose::Pool });
            return Ok(());
        };
        if let Some(before) = client.windows.last().filter(|w| w.at_s >= window.at_s) {
            let what = format!("goes back, from {} to {}", before.at_s, window.at_s);
            return Err(Fault::new("window_s", what, "sort the lines by client and window_s"));
        }
        client.windows.push(window);
        Ok(())
    })?;
    Ok(clients)
}

fn window(cells: &Cells<'_>) -> Result<Window, Fault> {
    let at_s: u32 = cells.number("window_s", 0..=1_000_000_000)?;
    if !at_s.is_multiple_of(WINDOW_S) {
        return Err(Fault::found("window_s", cells.text("window_s"), "give a multiple of 600"));
    }
    let weibull = match cells.text("pattern") {
        "W" => true,
        "G" => false,
        other => return Err(Fault::found("pattern", other, "give G for Gamma or W for Weibull")),
    };
    Ok(Window { at_s, rate_rps: cells.number("rate_rps", 1e-6..=1e5)?, cv: cells.number("cv", 0.001..=1e4)?, weibull })
}

/// What a line of the lengths' file describes, beside the counts that go with it.
const MEDIA: [(&str, &str); 3] =
    [("image_count", "image_tokens"), ("audio_count", "audio_tokens"), ("video_count", "video_tokens")];
const FIELDS: [&str; 10] = [
    "input_tokens",
    "text_tokens",
    "output_tokens",
    "reason_ratio",
    "image_count",
    "image_tokens",
    "audio_count",
    "audio_tokens",
    "video_count",
    "video_tokens",
];

fn read_lengths(
    source: Source,
    model: &str,
    rates_file: &str,
    numbers: &[u32],
) -> Result<BTreeMap<u32, Lengths>, TraceError> {
    let mut fields: BTreeMap<(u32, &str), (Quantiles, f64)> = BTreeMap::new();
    let needed = ["model", "client", "field", "windows", "mean", "p5", "p25", "p50", "p75", "p90", "p95", "p99"];
    let file = Table::new(source, &needed, &[], false)?.each(|cells| {
        if cells.text("model") != model {
            return Ok(());
        }
        let number = cells.number("client", 0..=1_000_000)?;
        if numbers.binary_search(&number).is_err() {
            let what = format!("is {number}, which {rates_file} does not have");
            return Err(Fault::new("client", what, "remove the line, or add the client there"));
        }
        let found = cells.text("field");
        let Some(field) = FIELDS.iter().find(|f| **f == found) else {
            return Err(Fault::found("field", found, format!("give one of {}", FIELDS.join(", "))));
        };
        let weight = cells.number("windows", 1..=u32::MAX)?;
        if fields.insert((number, field), (quantiles(cells)?, f64::from(weight))).is_some() {
            return Err(Fault::new("field", format!("is {field} again"), "give each field of a client one line"));
        }
        Ok(())
    })?;
    let mut out = BTreeMap::new();
    for &number in numbers {
        let of = |field: &str| fields.get(&(number, field)).map(|(q, _)| *q);
        let text = of("input_tokens").or_else(|| of("text_tokens"));
        if let (Some(text), Some((output, weight))) = (text, fields.get(&(number, "output_tokens"))) {
            let media = MEDIA.iter().filter_map(|(count, tokens)| Some((of(count)?, of(tokens)?))).collect();
            let prompt = Prompt { text: Some(text), media };
            out.insert(number, Lengths { prompt, output: *output, weight: *weight });
        }
    }
    if out.is_empty() {
        let what = format!("has no client of {model} with the lengths of its prompts and answers");
        let right = "give lines with the fields input_tokens (or text_tokens) and output_tokens";
        return Err(Fault::new("model", what, right).at(&file, 1));
    }
    Ok(out)
}

fn quantiles(cells: &Cells<'_>) -> Result<Quantiles, Fault> {
    let mut points = [0.0; 7];
    let mut before = 0.0;
    for (point, name) in points.iter_mut().zip(["p5", "p25", "p50", "p75", "p90", "p95", "p99"]) {
        *point = cells.number(name, 0.0..=1e7)?;
        if *point < before {
            return Err(Fault::found(name, cells.text(name), format!("give at least {before}, the one before it")));
        }
        before = *point;
    }
    Ok(Quantiles::new(cells.number("mean", 0.0..=1e7)?, points))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const RATES: &str = "client,window_s,rate_rps,cv,pattern\n0,0,2,1.5,W\n0,600,1,1,G\n3,0,0.5,8,W\n";
    pub(crate) const LENGTHS: &str = "model,client,field,windows,mean,p5,p25,p50,p75,p90,p95,p99\n\
                                      m,0,input_tokens,2,30,10,20,30,40,50,60,70\n\
                                      m,0,output_tokens,2,3,1,2,3,4,5,6,7\n\
                                      other,9,output_tokens,2,3,1,2,3,4,5,6,7\n";

    pub(crate) fn of(rates: &str, lengths: &str) -> Result<Mix, TraceError> {
        let source = |name: &str, text: &str| Source::new(name, std::io::Cursor::new(text.as_bytes().to_vec()));
        read(source("r.csv", rates), source("l.csv", lengths), "m")
    }

    #[test]
    fn a_client_without_lengths_has_those_of_all() {
        let mix = of(RATES, LENGTHS).unwrap();
        assert_eq!(
            mix.clients.iter().map(|c| (c.number, c.lengths)).collect::<Vec<_>>(),
            [(0, Whose::One(0)), (3, Whose::Pool)]
        );
        assert_eq!((mix.length_s, mix.clients[0].windows.len()), (1200, 2));
    }

    #[test]
    fn errors_name_line_and_column() {
        let rates = |row: &str| of(&format!("{RATES}{row}\n"), LENGTHS).unwrap_err().to_string();
        assert_eq!(rates("2,0,1,1,G"), "r.csv line 5, client: is 2 after 3; sort the lines by client and window_s");
        assert_eq!(
            rates("3,0,1,1,G"),
            "r.csv line 5, window_s: goes back, from 0 to 0; sort the lines by client and window_s"
        );
        assert_eq!(rates("3,700,1,1,G"), "r.csv line 5, window_s: is \"700\"; give a multiple of 600");
        assert_eq!(rates("3,600,1,1,X"), "r.csv line 5, pattern: is \"X\"; give G for Gamma or W for Weibull");
        assert_eq!(rates("3,600,-1,1,G"), "r.csv line 5, rate_rps: is \"-1\"; give a number from 0.000001 to 100000");
        let lengths = |row: &str| of(RATES, &format!("{LENGTHS}{row}\n")).unwrap_err().to_string();
        assert_eq!(
            lengths("m,7,input_tokens,2,30,1,2,3,4,5,6,7"),
            "l.csv line 5, client: is 7, which r.csv does not have; remove the line, or add the client there"
        );
        assert_eq!(
            lengths("m,3,input_tokens,2,30,1,2,3,4,5,6,5"),
            "l.csv line 5, p99: is \"5\"; give at least 6, the one before it"
        );
        assert!(
            lengths("m,3,in,2,30,1,2,3,4,5,6,5")
                .starts_with("l.csv line 5, field: is \"in\"; give one of input_tokens, ")
        );
        assert!(
            of(RATES, &LENGTHS[..LENGTHS.find("m,0").unwrap()])
                .unwrap_err()
                .to_string()
                .starts_with("l.csv line 1, model: has no client of m")
        );
        assert_eq!(
            of("client,window_s,rate_rps,cv,pattern\n", LENGTHS).unwrap_err().to_string(),
            "r.csv has 0 rows; give at least 2 that do not all come at once"
        );
    }
}
