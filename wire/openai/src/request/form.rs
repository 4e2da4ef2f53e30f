//! The scan of a body that is a form: `multipart/form-data` (RFC 7578 and RFC 2046, section 5.1).

use std::ops::Range;

use memchr::memmem;

use super::{Api, Refusal, Scan};
use rhumb_api::Request;
use rhumb_json::UNITS;

/// Most parts of one form.
const PARTS_MAX: usize = 256;

/// Longest head of a part, in bytes.
const HEAD_BYTES_MAX: usize = 8 << 10;

/// Longest boundary (RFC 2046, section 5.1.1).
const BOUNDARY_BYTES_MAX: usize = 70;

/// A part by where its content stands.
struct Part<'a> {
    name: &'a str,
    content: Range<usize>,
}

const BROKEN: Refusal = Refusal::Field(
    "body",
    "is no form: it must be `multipart/form-data`, each part between lines of the boundary that `content-type` names",
);

/// The boundary that a `content-type` names; `None` where it is that of no form.
pub fn boundary(content_type: &str) -> Option<&str> {
    let (kind, mut parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    while !parameters.is_empty() {
        let (name, rest) = parameters.split_once('=')?;
        let (value, rest) = value_of(rest)?;
        if name.trim().eq_ignore_ascii_case("boundary") {
            let is_sound = (1..=BOUNDARY_BYTES_MAX).contains(&value.len())
                && value.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
            return Some(value).filter(|_| is_sound);
        }
        parameters = rest;
    }
    None
}

/// The value of a parameter, and what follows it.
fn value_of(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    if let Some(quoted) = text.strip_prefix('"') {
        let (value, rest) = quoted.split_once('"')?;
        return Some((value, rest.trim_start().strip_prefix(';').unwrap_or("")));
    }
    let (value, rest) = text.split_once(';').unwrap_or((text, ""));
    Some((value.trim(), rest))
}

/// Scans a form once: the model is one of its fields.
///
/// # Errors
/// It is none, or lacks what the API requires.
pub fn scan_form(api: Api, body: &[u8], boundary: &str) -> Result<Scan, Refusal> {
    let mut s = Scan { request: Request { n: 1, ..Request::default() }, is_form: true, ..Scan::default() };
    let mut text = 0;
    for part in parts(body, boundary)? {
        let content = &body[part.content.clone()];
        match part.name {
            "model" if !s.model_span.is_empty() => {
                return Err(Refusal::Field("model", "is given more than once: give it once"));
            }
            "model" => {
                let what = "must be the name of a model";
                let name = str::from_utf8(content).map_err(|_| Refusal::Field("model", what))?;
                if name.is_empty() || name.chars().any(char::is_control) {
                    return Err(Refusal::Field("model", what));
                }
                s.request.model = name.to_owned();
                s.model_span = part.content;
            }
            "n" => {
                let number = str::from_utf8(content).ok().and_then(|n| n.parse().ok()).filter(|n| *n > 0);
                s.request.n = number.ok_or(Refusal::Field("n", "must be a whole number, 1 or more"))?;
            }
            name if api.prompt_fields().contains(&name) => {
                s.request.prompt.media += 1;
                s.request.prompt_bytes += content.len();
                s.prompt_span = part.content;
            }
            "prompt" => text += content.len() as u64,
            _ => {}
        }
    }
    if s.model_span.is_empty() {
        return Err(Refusal::Field("model", "is missing: name a model, as listed by GET /v1/models"));
    }
    if s.prompt_span.is_empty() {
        return Err(Refusal::Field(api.prompt_fields()[0], "is missing, or empty"));
    }
    // A byte of plain text, as the scan of JSON counts it: four to a token.
    s.request.prompt.add((text * UNITS / 4).div_ceil(UNITS), 0);
    Ok(s)
}

/// The parts of a form, in their order.
fn parts<'a>(body: &'a [u8], boundary: &str) -> Result<Vec<Part<'a>>, Refusal> {
    let delimiter = ["\r\n--", boundary].concat();
    let find = memmem::Finder::new(delimiter.as_bytes());
    // What stands before the first boundary means nothing; its line break may be missing.
    let mut at = if body.starts_with(&delimiter.as_bytes()[2..]) {
        delimiter.len() - 2
    } else {
        find.find(body).ok_or(BROKEN)? + delimiter.len()
    };
    let mut parts = Vec::new();
    loop {
        let line = &body[at..];
        if line.starts_with(b"--") {
            return Ok(parts);
        }
        let padding = line.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
        if !line[padding..].starts_with(b"\r\n") {
            return Err(BROKEN);
        }
        if parts.len() == PARTS_MAX {
            return Err(Refusal::Field("body", "holds too many parts"));
        }
        // The line break stays: a part without a head has an empty line at once.
        let head_at = at + padding;
        let head = &body[head_at..];
        let head_end = memmem::find(&head[..head.len().min(HEAD_BYTES_MAX)], b"\r\n\r\n").ok_or(BROKEN)?;
        let start = head_at + head_end + 4;
        // The content may be empty, so that its end begins with the line break of its head.
        let end = start - 2 + find.find(&body[start - 2..]).ok_or(BROKEN)?;
        let name = name(&head[..head_end]).ok_or(BROKEN)?;
        parts.push(Part { name, content: start..end.max(start) });
        at = end + delimiter.len();
    }
}

/// The name of a field, from the head of its part.
fn name(head: &[u8]) -> Option<&str> {
    let head = str::from_utf8(head).ok()?;
    let (_, disposition) = head
        .split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .find(|(header, _)| header.trim().eq_ignore_ascii_case("content-disposition"))?;
    let mut parameters = disposition.split_once(';')?.1;
    while !parameters.is_empty() {
        let (key, rest) = parameters.split_once('=')?;
        let (value, rest) = value_of(rest)?;
        if key.trim().eq_ignore_ascii_case("name") {
            return Some(value);
        }
        parameters = rest;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(parts: &[(&str, &str)]) -> String {
        let parts: String = parts
            .iter()
            .map(|(head, content)| format!("--B\r\ncontent-disposition: form-data; {head}\r\n\r\n{content}\r\n"))
            .collect();
        format!("{parts}--B--\r\n")
    }

    fn scanned(body: &str) -> Result<Scan, Refusal> {
        scan_form(Api::Transcriptions, body.as_bytes(), "B")
    }

    #[test]
    fn the_boundary_is_a_parameter() {
        for (content_type, expected) in [
            ("multipart/form-data; boundary=B", Some("B")),
            ("Multipart/Form-Data;charset=utf-8; Boundary=\"a b;c\" ; x=y", Some("a b;c")),
            ("multipart/form-data", None),
            ("multipart/form-data; boundary=", None),
            ("multipart/mixed; boundary=B", None),
            ("application/json", None),
            ("multipart/form-data; boundary=\"B", None),
        ] {
            assert_eq!(boundary(content_type), expected, "{content_type}");
        }
        assert_eq!(boundary(&format!("multipart/form-data; boundary={}", "x".repeat(71))), None);
    }

    #[test]
    fn the_model_is_found_wherever_it_stands() {
        let file = ("name=\"file\"; filename=\"model=\\\"x.wav\"", "RIFF\r\n--Bogus\r\nmodel");
        for parts in [[("name=\"model\"", "whisper"), file], [file, ("filename=x; name=model", "whisper")]] {
            let body = form(&parts);
            let s = scanned(&body).unwrap();
            assert_eq!((s.request.model.as_str(), &body[s.model_span]), ("whisper", "whisper"));
            assert_eq!((s.request.prompt_bytes, s.request.prompt.media, s.is_form), (file.1.len(), 1, true));
        }
    }

    #[test]
    fn what_is_no_such_form_is_refused_by_name() {
        let (model, file) = (("name=\"model\"", "m"), ("name=\"file\"; filename=\"a\"", "x"));
        let field = |body: &str| match scanned(body) {
            Err(Refusal::Field(field, _)) => field,
            other => panic!("{body}: {other:?}"),
        };
        assert_eq!(field(&form(&[file])), "model");
        assert_eq!(field(&form(&[model, model, file])), "model");
        assert_eq!(field(&form(&[("name=\"model\"", ""), file])), "model");
        assert_eq!(field(&form(&[model])), "file");
        assert_eq!(field(&form(&[model, ("name=\"file\"", "")])), "file");
        assert_eq!(field(&form(&[model, file, ("name=\"n\"", "0")])), "n");
        let whole = form(&[model, file]);
        for end in 0..whole.len() - 4 {
            assert!(scanned(&whole[..end]).is_err(), "cut at {end}");
        }
        for body in ["", "{}", "--B", "--B--", "--Bx\r\n\r\n\r\n--B--", "--B\r\n\r\nx\r\n--B--"] {
            assert!(scanned(body).is_err(), "{body}");
        }
        let many = form(&vec![("name=\"x\"", ""); PARTS_MAX + 1]);
        assert_eq!(field(&many), "body");
    }
}
