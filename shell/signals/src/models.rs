//! Which models an endpoint says that it serves, beside those that it is configured to serve.

/// What came of asking an endpoint for its models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listed {
    /// It lists models; of those that it should serve these are `missing`.
    Models {
        /// Not listed.
        missing: Vec<String>,
        /// Some of those that are.
        some: Vec<String>,
    },
    /// It refuses the key, with this status.
    Refused(u16),
    /// It has no list that can be read whole, so nothing is known.
    Unreadable,
}

/// Listed names that are told.
const SOME: usize = 5;

/// Compares an answer to `GET /v1/models` with the names that an endpoint should serve.
pub(crate) fn compare(status: u16, body: &[u8], served: &[String]) -> Listed {
    match status {
        200 => {}
        401 | 403 => return Listed::Refused(status),
        _ => return Listed::Unreadable,
    }
    let Some(ids) = rhumb_openai::models::listed(body) else { return Listed::Unreadable };
    // Gemini's OpenAI-compatible API puts `models/` before each name and takes it without.
    let is_listed = |name: &&String| ids.iter().any(|id| id == *name || id.strip_prefix("models/") == Some(name));
    let missing = served.iter().filter(|name| !is_listed(name)).cloned().collect();
    Listed::Models { missing, some: ids.iter().take(SOME).map(|id| printable(id)).collect() }
}

/// A name from outside, as a log may hold it.
fn printable(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    #[test]
    fn what_is_not_listed_is_missing() {
        let body = br#"{"object":"list","data":[{"id":"org/m"},{"id":"models/g"},{"object":"model"},{"id":7}]}"#;
        let of = |served: &[&str]| compare(200, body, &names(served));
        let some = names(&["org/m", "models/g"]);
        assert_eq!(of(&["org/m", "g", "models/g"]), Listed::Models { missing: Vec::new(), some: some.clone() });
        assert_eq!(of(&["m", "org/M", "org/m"]), Listed::Models { missing: names(&["m", "org/M"]), some });
    }

    #[test]
    fn what_cannot_be_read_says_nothing() {
        for body in
            ["", "{}", "[]", "not json", r#"{"data":[]}"#, r#"{"data":{}}"#, r#"{"data":[{"id":"x"}],"has_more":true}"#]
        {
            assert_eq!(compare(200, body.as_bytes(), &names(&["m"])), Listed::Unreadable, "{body}");
        }
        for status in [204, 301, 400, 404, 405, 429] {
            assert_eq!(compare(status, br#"{"data":[{"id":"x"}]}"#, &names(&["m"])), Listed::Unreadable, "{status}");
        }
        assert_eq!((compare(401, b"", &[]), compare(403, b"", &[])), (Listed::Refused(401), Listed::Refused(403)));
    }

    #[test]
    fn a_listed_name_is_fit_for_a_log() {
        let long = format!(r#"{{"data":[{{"id":"a\n\u001b[31m{}"}}]}}"#, "x".repeat(1_000));
        let Listed::Models { some, .. } = compare(200, long.as_bytes(), &[]) else { panic!("a list") };
        assert!(some[0].starts_with("a[31mxx") && some[0].len() == 100, "{some:?}");
    }
}
