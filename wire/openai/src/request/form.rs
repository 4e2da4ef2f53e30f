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
    file_name: Option<&'a str>,
    content: Range<usize>,
}

/// A file that a form brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// What it is for.
    pub purpose: String,
    /// Its name; empty where the form gives none.
    pub name: String,
    /// Where its content stands.
    pub content: Range<usize>,
}

/// Reads a form that brings a file.
///
/// # Errors
/// It is none, or lacks the file or what it is for.
pub fn upload(body: &[u8], boundary: &str) -> Result<Upload, Refusal> {
    let (mut purpose, mut file) = (None, None);
    for part in parts(body, boundary)? {
        match part.name {
            "purpose" => purpose = str::from_utf8(&body[part.content]).ok().map(str::to_owned),
            "file" if file.is_some() => return Err(Refusal::Field("file", "is given more than once: give it once")),
            "file" => file = Some((part.file_name.unwrap_or_default().to_owned(), part.content)),
            _ => {}
        }
    }
    let purpose = purpose.filter(|purpose| !purpose.is_empty());
    let purpose =
        purpose.ok_or(Refusal::Field("purpose", "is missing: say what the file is for, `batch` for example"))?;
    let (name, content) = file.ok_or(Refusal::Field("file", "is missing"))?;
    Ok(Upload { purpose, name, content })
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
        let mut is_escaped = false;
        let end = quoted.bytes().position(|b| {
            let ends = b == b'"' && !is_escaped;
            is_escaped = b == b'\\' && !is_escaped;
            ends
        })?;
        let (value, rest) = (&quoted[..end], &quoted[end + 1..]);
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

/// What a boundary is followed by.
enum After {
    /// A part, whose head begins here, at a line break.
    Part(usize),
    /// Nothing more of the form.
    End,
}

/// What stands at the end of a text that could be a boundary; `None` where it is none, but content that looks alike.
fn after(body: &[u8], at: usize) -> Option<After> {
    let rest = &body[at..];
    if rest.starts_with(b"--") {
        return Some(After::End);
    }
    let padding = rest.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
    rest[padding..].starts_with(b"\r\n").then_some(After::Part(at + padding))
}

/// The parts of a form, in their order.
fn parts<'a>(body: &'a [u8], boundary: &str) -> Result<Vec<Part<'a>>, Refusal> {
    let delimiter = ["\r\n--", boundary].concat();
    let find = memmem::Finder::new(delimiter.as_bytes());
    // The next boundary from here: where it begins, and what follows it.
    let next = |from: usize| {
        let found = find.find_iter(&body[from..]).map(|at| from + at);
        found.filter_map(|at| Some((at, after(body, at + delimiter.len())?))).next().ok_or(BROKEN)
    };
    // What stands before the first boundary means nothing; its line break may be missing.
    let first = body.starts_with(&delimiter.as_bytes()[2..]).then(|| after(body, delimiter.len() - 2)).flatten();
    let mut follows = match first {
        Some(follows) => follows,
        None => next(0)?.1,
    };
    let mut parts = Vec::new();
    while let After::Part(head_at) = follows {
        if parts.len() == PARTS_MAX {
            return Err(Refusal::Field("body", "holds too many parts"));
        }
        // The line break stays: a part without a head has an empty line at once.
        let head = &body[head_at..];
        let head_end = memmem::find(&head[..head.len().min(HEAD_BYTES_MAX)], b"\r\n\r\n").ok_or(BROKEN)?;
        let start = head_at + head_end + 4;
        let (name, file_name) = names(&head[..head_end]).ok_or(BROKEN)?;
        // The content may be empty, so that its end begins with the line break of its head.
        let (end, then) = next(start - 2)?;
        parts.push(Part { name, file_name, content: start..end.max(start) });
        follows = then;
    }
    Ok(parts)
}

/// The name of a field and that of its file, from the head of its part.
fn names(head: &[u8]) -> Option<(&str, Option<&str>)> {
    let head = str::from_utf8(head).ok()?;
    let is_disposition = |header: &str| header.trim().eq_ignore_ascii_case("content-disposition");
    let mut lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
    let (_, disposition) = lines.find(|(header, _)| is_disposition(header))?;
    let (mut name, mut file_name) = (None, None);
    let mut parameters = disposition.split_once(';')?.1;
    while !parameters.is_empty() {
        // What cannot be read behind the name is nobody's loss.
        let Some((key, rest)) = parameters.split_once('=') else { break };
        let Some((value, rest)) = value_of(rest) else { break };
        let key = key.trim();
        if key.eq_ignore_ascii_case("name") {
            name = name.or(Some(value));
        } else if key.eq_ignore_ascii_case("filename") {
            file_name = file_name.or(Some(value));
        }
        parameters = rest;
    }
    Some((name?, file_name))
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
    fn a_file_is_taken_out_of_its_form() {
        let body = form(&[("name=\"purpose\"", "batch"), ("name=\"file\"; filename=\"a.jsonl\"", "{}\n{}")]);
        let found = upload(body.as_bytes(), "B").unwrap();
        assert_eq!((found.purpose.as_str(), found.name.as_str(), &body[found.content]), ("batch", "a.jsonl", "{}\n{}"));
        for (parts, field) in [
            (vec![("name=\"purpose\"", "batch")], "file"),
            (vec![("name=\"file\"", "x")], "purpose"),
            (vec![("name=\"purpose\"", "batch"), ("name=\"file\"", "x"), ("name=\"file\"", "x")], "file"),
        ] {
            let error = upload(form(&parts).as_bytes(), "B").unwrap_err();
            assert!(matches!(error, Refusal::Field(named, _) if named == field), "{error:?}");
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
