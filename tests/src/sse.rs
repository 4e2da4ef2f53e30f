//! A reference reader of event streams: the HTML standard's section 9.2.6, word by word, over the whole text at once.

/// One dispatched event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its `event` field, empty if none.
    pub kind: String,
    /// Its `data` lines, joined by LF.
    pub data: String,
}

/// The events of a stream. What follows the last empty line is discarded, as the standard wants; comments and events
/// without data dispatch nothing.
///
/// # Panics
/// The text is not UTF-8: a character was cut.
pub fn events(text: &[u8]) -> Vec<Event> {
    let text = std::str::from_utf8(text).expect("a stream is UTF-8");
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // A pair of CR and LF is one line end; then a lone CR is one too.
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let (mut events, mut kind, mut data) = (Vec::new(), String::new(), Vec::new());
    let whole_lines = text.rfind('\n').map_or("", |end| &text[..end]);
    for line in whole_lines.split('\n') {
        if line.is_empty() {
            if !data.is_empty() {
                events.push(Event { kind: std::mem::take(&mut kind), data: data.join("\n") });
            }
            data.clear();
            kind.clear();
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => data.push(value.to_owned()),
            "event" => value.clone_into(&mut kind),
            _ => {}
        }
    }
    events
}

/// The data of each event.
pub fn data(text: &[u8]) -> Vec<String> {
    events(text).into_iter().map(|e| e.data).collect()
}
