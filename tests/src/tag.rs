//! Tags that a request's prompt carries and an echoing engine puts in every piece of its answer, so that a piece which
//! comes to somebody else is seen.

const BEGIN: &str = "tag(";
const END: char = ')';

/// A tag that no other request of the test has.
pub fn new(client: usize, number: usize) -> String {
    format!("{BEGIN}{client}.{number}{END}")
}

/// The first tag in a text.
pub fn in_text(text: &str) -> Option<&str> {
    let rest = &text[text.find(BEGIN)?..];
    Some(&rest[..=rest.find(END)?])
}

/// How often the tag stands in a text, in which no other may. A tag that has not come whole may be anybody's.
///
/// # Errors
/// The tag that is another request's.
pub fn count(text: &str, own: &str) -> Result<usize, String> {
    let (mut rest, mut count) = (text, 0);
    while let Some(begin) = rest.find(BEGIN) {
        let Some(end) = rest[begin..].find(END) else { break };
        let tag = &rest[begin..=begin + end];
        if tag != own {
            return Err(tag.to_owned());
        }
        (rest, count) = (&rest[begin + end + 1..], count + 1);
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_of_another_is_seen() {
        let (a, b) = (new(1, 7), new(11, 7));
        assert_eq!(count(&format!("x {a} y {a} tag(1."), &a), Ok(2));
        assert_eq!(count(&format!("{a}{b}"), &a), Err(b.clone()));
        assert_eq!(in_text(&format!("\"content\":\"{b} and {a}\"")), Some(b.as_str()));
        assert_eq!(in_text("tag(1.2"), None);
    }
}
