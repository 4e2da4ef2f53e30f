use proptest::prelude::*;

use super::*;

fn check(text: &str) -> Result<(), JsonError> {
    let mut w = Walker::new(text.as_bytes(), Limits::default())?;
    w.value()?;
    w.end()
}

fn refused(text: &str, what: &str, at: usize) {
    assert_eq!(check(text).map_err(|e| (e.what, e.at)), Err((what, at)), "{text}");
}

#[test]
fn accepts_what_json_is() {
    for ok in [
        "null",
        "true",
        "false",
        "0",
        "-0",
        "-0.5e+10",
        "1E-2",
        "1.7e308",
        "0e999",
        "1e-999",
        "10",
        "\"\"",
        "[]",
        "{}",
        " [ ] ",
        "{ }",
        "[1,2,[3,{}],\"x\"]",
        "{\"a\":{\"b\":[{\"c\":null}]},\"b\":1}",
        "\"\\u00e9\\ud83d\\ude00\\n\\/\\b\\f\\r\\t\\\\\\\"\"",
        "\t\n\r 1 \t",
        "[{\"a\":1},{\"a\":2}]",
        "\"é€😀\"",
        "[[],[]]",
        "{\"a\":[]}",
        "[{}]",
    ] {
        assert_eq!(check(ok), Ok(()), "{ok}");
    }
}

#[test]
fn names_the_first_wrong_byte() {
    refused("", "the text ends inside a value", 0);
    refused("[1,", "the text ends inside a value", 3);
    refused("[1", "the text ends inside a value", 2);
    refused("{\"a\"", "`:` was expected", 4);
    refused("{\"a\":1", "the text ends inside a value", 6);
    refused("{a:1}", "a key in quotes was expected", 1);
    refused("{\"a\":1,}", "a key in quotes was expected", 7);
    refused("[1,]", "a value was expected", 3);
    refused("[1}", "`,` or `]` was expected", 2);
    refused("{\"a\":1]", "`,` or `}` was expected", 6);
    refused("[1e309]", "a number is too large", 1);
    refused("-2E999", "a number is too large", 0);
    refused("1 2", "nothing may follow the value", 2);
    refused("tru", "a value was expected", 0);
    refused("\"abc", "a string does not end", 4);
    refused("\"a\u{1}c\"", "a control character stands unescaped in a string", 2);
    refused("\"\\x\"", "an escape is not one of JSON's", 1);
    refused("\"\\u12g4\"", "`\\u` wants four hexadecimal digits", 3);
    refused("\"\\u12\"", "`\\u` wants four hexadecimal digits", 3);
    refused("\"\\ud800\"", "a surrogate stands alone", 1);
    refused("\"\\ud800\\u0041\"", "a surrogate stands alone", 1);
    refused("\"\\ud800abcdef\"", "a surrogate stands alone", 1);
    refused("\"\\udc00\"", "a surrogate stands alone", 1);
    refused("01", "nothing may follow the value", 1);
    refused("-", "a digit was expected", 1);
    refused("1.", "a digit was expected", 2);
    refused("1e", "a digit was expected", 2);
    refused("1e+", "a digit was expected", 3);
    refused("NaN", "a value was expected", 0);
    assert_eq!(
        Walker::new(b"\"\xff\"", Limits::default()).map(|_| ()).map_err(|e| (e.what, e.at)),
        Err(("the text is not UTF-8", 1))
    );
}

#[test]
fn a_repeated_key_is_refused_however_it_is_written() {
    refused("{\"a\":1,\"a\":2}", "a key stands twice in one object", 7);
    refused("{\"a\":1,\"\\u0061\":2}", "a key stands twice in one object", 7);
    refused("[{\"x\":{\"a\":1,\"b\":2,\"a\":3}}]", "a key stands twice in one object", 19);
    let many = |last: &str| {
        let keys: Vec<String> = (0..40).map(|i| format!("\"k{i}\":1")).chain([format!("\"{last}\":1")]).collect();
        check(&format!("{{{}}}", keys.join(",")))
    };
    assert_eq!(many("k40"), Ok(()));
    assert_eq!(many("k3").map_err(|e| e.what), Err("a key stands twice in one object"));
    assert_eq!(many("k39").map_err(|e| e.what), Err("a key stands twice in one object"));
}

#[test]
fn limits_hold_at_the_limit_and_not_beyond() {
    let limits = Limits { depth: 3, keys: 4, elements: 5, number_bytes: 6 };
    let check = |text: &str| {
        let mut w = Walker::new(text.as_bytes(), limits)?;
        w.value().map(|_| ())
    };
    assert_eq!(check("[[[1]]]"), Ok(()));
    assert_eq!(check("[[[[1]]]]").map_err(|e| e.what), Err("the nesting is too deep"));
    assert_eq!(check("{\"a\":1,\"b\":2,\"c\":3,\"d\":4}"), Ok(()));
    assert_eq!(check("{\"a\":1,\"b\":2,\"c\":3,\"d\":{\"e\":1}}").map_err(|e| e.what), Err("there are too many keys"));
    assert_eq!(check("[1,2,3,4,5]"), Ok(()));
    assert_eq!(check("[1,2,3,4,5,6]").map_err(|e| e.what), Err("there are too many array elements"));
    assert_eq!(check("123456"), Ok(()));
    assert_eq!(check("1234567").map_err(|e| e.what), Err("a number is too long"));
    assert_eq!(check("[0.1234567]").map_err(|e| e.what), Err("a number is too long"));
}

#[test]
fn members_and_elements_walk_like_value() {
    let text = br#" {"a":[1,{"b":2}],"c\u0064":"x"} "#;
    let mut w = Walker::new(text, Limits::default()).unwrap();
    let mut names = Vec::new();
    let span = w
        .members::<JsonError>(|w, key, name| {
            names.push((name.to_owned(), key));
            if name == "a" {
                let span = w.elements::<JsonError>(|w, i| {
                    let (kind, _) = w.value()?;
                    assert_eq!(kind, if i == 0 { Kind::Number } else { Kind::Object });
                    Ok(())
                })?;
                assert_eq!(&text[span], br#"[1,{"b":2}]"#);
            } else {
                assert_eq!(w.value()?, (Kind::String { escaped: false }, 28..31));
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(span, 1..32);
    assert_eq!(w.end(), Ok(()));
    assert_eq!(names, vec![("a".to_owned(), 2..5), ("cd".to_owned(), 18..27)]);
    for (bad, what) in [
        ("[]", "an object was expected"),
        ("{\"a\":1 \"b\":2}", "`,` or `}` was expected"),
        ("{\"a\":1,\"a\":1}", "a key stands twice in one object"),
        ("{", "a key in quotes was expected"),
    ] {
        let mut w = Walker::new(bad.as_bytes(), Limits::default()).unwrap();
        let got = w.members::<JsonError>(|w, _, _| w.value().map(|_| ()));
        assert_eq!(got.map_err(|e| e.what), Err(what), "{bad}");
    }
    for (bad, what) in
        [("{}", "an array was expected"), ("[1 2]", "`,` or `]` was expected"), ("[,", "a value was expected")]
    {
        let mut w = Walker::new(bad.as_bytes(), Limits::default()).unwrap();
        let got = w.elements::<JsonError>(|w, _| w.value().map(|_| ()));
        assert_eq!(got.map_err(|e| e.what), Err(what), "{bad}");
    }
    for empty in ["{}", "{ }"] {
        let mut w = Walker::new(empty.as_bytes(), Limits::default()).unwrap();
        assert_eq!(w.members::<JsonError>(|_, _, _| unreachable!()), Ok(0..empty.len()));
    }
    let mut w = Walker::new(b"[ ]", Limits::default()).unwrap();
    assert_eq!(w.elements::<JsonError>(|_, _| unreachable!()), Ok(0..3));
}

#[test]
fn nested_walks_share_one_depth_limit() {
    let limits = Limits { depth: 2, ..Limits::default() };
    let mut w = Walker::new(b"{\"a\":[[1]]}", limits).unwrap();
    let got = w.members::<JsonError>(|w, _, _| w.value().map(|_| ()));
    assert_eq!(got.map_err(|e| e.what), Err("the nesting is too deep"));
}

fn tally(text: &str) -> Tally {
    let mut w = Walker::new(text.as_bytes(), Limits::default()).unwrap();
    w.value().unwrap();
    w.tally
}

#[test]
fn text_counts_by_its_script_and_the_same_however_it_is_escaped() {
    for text in [
        "plain words",
        "a\"b\\c\n",
        "Žluťoučký",
        "Ελλάδα",
        "слово",
        "שלום",
        "हिन्दी",
        "数据中心",
        "データ",
        "한국어",
        "😀",
    ] {
        let escaped: String = text.encode_utf16().map(|u| format!("\\u{u:04x}")).collect();
        let units: u64 = text
            .chars()
            .map(|c| match u32::from(c) {
                0..0x400 => 5,
                0x400..0x3000 => 10,
                0x3000..0x1_0000 => 14,
                _ => 20,
            })
            .sum();
        assert_eq!(tally(&serde_json::to_string(text).unwrap()).text, units, "{text}");
        assert_eq!(tally(&format!("\"{escaped}\"")).text, units, "{text}");
    }
    // Long runs are added up in chunks.
    assert_eq!(tally(&format!("\"{}\"", "数".repeat(10_000))).text, 140_000);
}

#[test]
fn keys_and_numbers_are_told_from_text() {
    let compact = tally(r#"{"key":["text",1,2.5],"k\u0065y2":null}"#);
    assert_eq!(compact, Tally { text: 4 * 5, keys: 7 * 5 + 2 * UNITS, numbers: 2 });
    let spaced = "{ \"key\" :\n\t[ \"text\" , 1 , 2.5 ] ,\r\n \"k\\u0065y2\" : null }";
    assert_eq!(tally(spaced), compact, "white space outside of strings counts nothing");
}

#[test]
fn unescape_gives_the_text() {
    assert_eq!(unescape(b"plain"), "plain");
    assert_eq!(unescape(b"a\\n\\u00e9"), "a\né");
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        (-1e9f64..1e9).prop_map(|f| serde_json::json!(f)),
        ".{0,12}".prop_map(Into::into),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::btree_map(".{0,6}", inner, 0..24)
                .prop_map(|m| serde_json::Value::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_serde_writes_is_accepted(v in json(), pretty: bool) {
        let text = if pretty { serde_json::to_string_pretty(&v) } else { serde_json::to_string(&v) }.unwrap();
        prop_assert_eq!(check(&text), Ok(()));
    }

    #[test]
    fn what_is_accepted_serde_reads_too(v in json(), cut in any::<prop::sample::Index>(), byte: u8) {
        let mut text = serde_json::to_vec(&v).unwrap();
        let i = cut.index(text.len());
        text[i] = byte;
        if let Ok(s) = std::str::from_utf8(&text)
            && check(s).is_ok() {
                prop_assert!(serde_json::from_str::<serde_json::Value>(s).is_ok(), "{s}");
            }
    }
}
