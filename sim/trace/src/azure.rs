//! Azure's traces of 2023 (Patel et al., Splitwise, ISCA 2024): arrivals and lengths of two services.

use crate::TraceError;
use crate::file::Source;
use crate::options::us;
use crate::rows::{Builder, Given, Rows, SECONDS, TOKENS};
use crate::table::Table;

/// Reads `arrival_s,input_tokens,output_tokens`.
pub(crate) fn read(source: Source) -> Result<Rows, TraceError> {
    let table = Table::new(source, &["arrival_s", "input_tokens", "output_tokens"], &[], false)?;
    let mut rows = Builder::default();
    let file = table.each(|cells| {
        rows.push(Given {
            at: ("arrival_s", us(cells.number("arrival_s", SECONDS)?)),
            input_tokens: cells.number("input_tokens", TOKENS)?,
            output_tokens: cells.number("output_tokens", TOKENS)?,
            ..Given::default()
        })
    })?;
    rows.finish(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "arrival_s,input_tokens,output_tokens\n";

    fn of(text: &str) -> Result<Rows, TraceError> {
        read(Source::new("a.csv", std::io::Cursor::new(text.as_bytes().to_vec())))
    }

    #[test]
    fn reads_rows() {
        let rows = of(&format!("\u{feff}{HEAD}0,10,20\n1.5, 30 ,40\n")).unwrap();
        assert_eq!((rows.list[1].at_us, rows.list[1].input_tokens, rows.list[1].output_tokens), (1_500_000, 30, 40));
        assert_eq!((rows.length_us, rows.block_tokens, rows.clients), (3_000_000, 0, 1));
    }

    #[test]
    fn errors_name_file_line_and_column() {
        let error = |text: &str| of(text).unwrap_err().to_string();
        let on = |rows: &str| error(&format!("{HEAD}{rows}"));
        let tokens = "give a whole number from 1 to 10000000";
        assert_eq!(on("0,1,1\n1,x,1\n"), format!("a.csv line 3, input_tokens: is \"x\"; {tokens}"));
        assert_eq!(on("0,1\n"), format!("a.csv line 2, output_tokens: is missing; {tokens}"));
        assert_eq!(on("0,-5,1\n"), format!("a.csv line 2, input_tokens: is \"-5\"; {tokens}"));
        assert_eq!(on("0,1,0\n"), format!("a.csv line 2, output_tokens: is \"0\"; {tokens}"));
        assert_eq!(on("0,99999999,1\n"), format!("a.csv line 2, input_tokens: is \"99999999\"; {tokens}"));
        let time = "give a number from 0 to 1000000000";
        assert_eq!(on("-1,1,1\n"), format!("a.csv line 2, arrival_s: is \"-1\"; {time}"));
        assert_eq!(on("NaN,1,1\n"), format!("a.csv line 2, arrival_s: is \"NaN\"; {time}"));
        let back = "a.csv line 3, arrival_s: goes back, from 2 s to 1 s; sort the lines by time";
        assert_eq!(on("2,1,1\n1,1,1\n"), back);
        let column = "a.csv line 1, output_tokens: is missing from the header \"arrival_s,input_tokens\"; begin with a \
                      line that names arrival_s,input_tokens,output_tokens";
        assert_eq!(error("arrival_s,input_tokens\n"), column);
        assert!(
            error("arrival_s,arrival_s,input_tokens,output_tokens\n").contains("arrival_s: stands in the header twice")
        );
        assert_eq!(on("0,1,1\n"), "a.csv has 1 rows; give at least 2 that do not all come at once");
        assert!(on("1,1,1\n1,1,1\n").contains("has 2 rows"));
    }

    #[test]
    fn text_that_is_not_utf8_is_named_by_line() {
        let mut bytes = HEAD.as_bytes().to_vec();
        bytes.extend(b"0,1,1\n\xff,1,1\n");
        let error = read(Source::new("a.csv", std::io::Cursor::new(bytes))).unwrap_err().to_string();
        assert!(error.starts_with("a.csv line 3, text: "), "{error}");
        assert!(error.ends_with("; write UTF-8 text in comma-separated cells"), "{error}");
    }
}
