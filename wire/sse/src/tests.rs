use proptest::prelude::*;

use super::*;

/// A second, character-by-character reading of the standard, to hold the fast one against.
fn reference(text: &[u8]) -> Vec<Option<Vec<u8>>> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let (mut lines, mut line, mut i) = (Vec::new(), Vec::new(), 0);
    while i < text.len() {
        match text[i] {
            b'\r' => {
                if text.get(i + 1) == Some(&b'\n') {
                    i += 1;
                }
                lines.push(std::mem::take(&mut line));
            }
            b'\n' => lines.push(std::mem::take(&mut line)),
            b => line.push(b),
        }
        i += 1;
    }
    let (mut out, mut data): (Vec<Option<Vec<u8>>>, Option<Vec<u8>>) = (Vec::new(), None);
    for line in lines {
        if line.is_empty() {
            out.push(data.take());
            continue;
        }
        let colon = line.iter().position(|&b| b == b':').unwrap_or(line.len());
        if &line[..colon] == b"data" {
            let mut value = line.get(colon + 1..).unwrap_or_default();
            if value.first() == Some(&b' ') {
                value = &value[1..];
            }
            match &mut data {
                None => data = Some(value.to_vec()),
                Some(d) => {
                    d.push(b'\n');
                    d.extend_from_slice(value);
                }
            }
        }
    }
    out
}

fn split(text: &[u8], cuts: &[usize]) -> (Vec<Option<Vec<u8>>>, Vec<u8>) {
    let (mut s, mut got, mut raw, mut at) = (Splitter::default(), Vec::new(), Vec::new(), 0);
    for &cut in cuts.iter().chain([&text.len()]) {
        let run = s.push(Bytes::copy_from_slice(&text[at..cut])).unwrap();
        at = cut;
        for e in events(&run) {
            got.push(e.data.map(Cow::into_owned));
            raw.extend_from_slice(e.raw);
        }
    }
    raw.extend_from_slice(s.rest());
    (got, raw)
}

const CORPUS: &[&str] = &[
    "data: {\"a\":1}\n\ndata: [DONE]\n\n",
    "data: a\r\n\r\ndata: b\r\n\r\n",
    "data: a\r\rdata: b\r\r",
    "\u{feff}data: bom\n\n",
    ": comment\n\ndata:no space\ndata:  two\n\nevent: x\ndata\n\n",
    "data: multi\ndata: line\r\ndata: é😀\n\n\n\ndata: last, not ended\n",
    "id: 1\nretry: 5\ndatax: no\n\n: ping\n\n",
    "data: mixed\n\r\ndata: x\r\n\ndata: y\r\n\r\n",
    "\n\n\ndata: z\n\n",
];

#[test]
fn reads_the_corpus_like_the_reference() {
    for text in CORPUS {
        assert_eq!(split(text.as_bytes(), &[]).0, reference(text.as_bytes()), "{text:?}");
    }
}

#[test]
fn f16_every_split_position_gives_the_same_events() {
    for text in CORPUS {
        let text = text.as_bytes();
        for cut in 0..=text.len() {
            assert_eq!(split(text, &[cut]).0, reference(text), "{text:?} cut at {cut}");
        }
        let every: Vec<usize> = (0..text.len()).collect();
        assert_eq!(split(text, &every).0, reference(text), "{text:?} byte by byte");
    }
}

#[test]
fn bytes_pass_through_unchanged() {
    for text in CORPUS {
        let want = text.trim_start_matches('\u{feff}');
        assert_eq!(split(text.as_bytes(), &[]).1, want.as_bytes());
        let (_, raw) = split(text.as_bytes(), &[text.len() / 2]);
        // A CR and its LF may be parted by the cut: only that LF may be missing.
        assert_eq!(String::from_utf8_lossy(&raw).replace("\r\n", "\r"), want.replace("\r\n", "\r"));
    }
}

#[test]
fn a_run_that_is_cut_nowhere_is_not_copied() {
    let chunk = Bytes::from_static(b"data: a\n\ndata: b\n\n");
    let at = chunk.as_ptr();
    let mut s = Splitter::default();
    assert_eq!(s.push(chunk).unwrap().as_ptr(), at);
    assert_eq!(s.rest(), b"");
}

#[test]
fn f17_an_event_that_never_ends_is_an_error_and_holds_bounded_memory() {
    let mut s = Splitter::default();
    let piece = Bytes::from(vec![b'x'; EVENT_BYTES_MAX / 4]);
    for _ in 0..4 {
        assert_eq!(s.push(piece.clone()), Ok(Bytes::new()));
    }
    assert_eq!(s.push(Bytes::from_static(b"x")), Err(TooLong));
    let mut s = Splitter::default();
    let mut long = vec![b'x'; EVENT_BYTES_MAX * 2];
    long.extend_from_slice(b"\n\n");
    assert_eq!(s.push(long.into()).map(|b| b.len()), Ok(EVENT_BYTES_MAX * 2 + 2));
}

#[test]
fn knows_the_end_and_errors() {
    let one = |t: &'static str| events(t.as_bytes()).next().unwrap();
    assert!(one("event: error\ndata: {}\n\n").is_error && one("data: {}\r\nevent:error\r\n\r\n").is_error);
    assert!(one("error: {\"error\":\"x\"}\n\n").is_error);
    for fine in ["data: {\"error\":{}}\n\n", "event: errors\n\n", "errors: x\n\n", "event: x\n\n", ": error\n\n"] {
        assert!(!one(fine).is_error, "{fine}");
    }
}

#[test]
fn a4_an_event_of_megabytes_is_read_once_however_it_is_cut() {
    let mut s = Splitter::default();
    let piece = Bytes::from(vec![b'x'; 1 << 10]);
    assert_eq!(s.push(Bytes::from_static(b"data: ")), Ok(Bytes::new()));
    const PIECES: usize = 15_000;
    for _ in 0..PIECES {
        assert_eq!(s.push(piece.clone()), Ok(Bytes::new()));
    }
    assert_eq!(s.lines.seen, s.held(), "all of it has been looked at");
    assert_eq!(s.push(Bytes::from_static(b"\n\ndata: y\n\nda")).map(|b| b.len()), Ok(6 + (PIECES << 10) + 2 + 9));
    assert_eq!(s.rest(), b"da");
}

proptest! {
    #[test]
    fn f16_random_chunking_changes_nothing(
        lines in prop::collection::vec((prop_oneof![Just("data: "), Just("data:"), Just(":"), Just("event: "), Just("")], "[a-zé😀 ]{0,9}", 0..3usize), 0..20),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..9),
        bom: bool,
    ) {
        let mut text = String::from(if bom { "\u{feff}" } else { "" });
        for (field, value, ending) in lines {
            text.push_str(field);
            text.push_str(&value);
            text.push_str(["\n", "\r\n", "\r"][ending]);
        }
        let text = text.as_bytes();
        let mut cuts: Vec<usize> = cuts.iter().map(|c| c.index(text.len() + 1)).collect();
        cuts.sort_unstable();
        prop_assert_eq!(split(text, &cuts).0, reference(text));
    }
}
