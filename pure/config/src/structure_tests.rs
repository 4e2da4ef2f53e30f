//! The structural check against the schema of `rhumb.yaml`.

use rhumb_document::patterns::PATTERNS;
use rhumb_document::structure::check;
use rhumb_document::yaml::parse;
use serde_json::Value as Json;

use crate::schema::json_schema;

/// Problems of a text as `line:column what / right`, one a line.
fn problems(text: &str) -> String {
    let schema = json_schema();
    let mut tree = parse(text).expect("valid YAML");
    let outcome = check(&mut tree, &schema, "");
    let mut lines = String::new();
    for problem in outcome.problems {
        lines.push_str(&format!("{}:{} {} / {}\n", problem.line, problem.column, problem.what, problem.right));
    }
    lines
}

fn expect(text: &str, expected: &str) {
    let found = problems(text);
    assert!(found.contains(expected), "{text}\n--- found\n{found}");
}

#[test]
fn unknown_keys_take_the_nearest_name() {
    expect("sites:\n  - lattitude: 50.1\n", "2:5 unknown key `lattitude` / `latitude`, degrees north, -90 to 90");
    let found = problems("sites:\n  - lattitude: 500\n");
    assert!(!found.contains("missing key `latitude`"), "{found}");
    assert!(found.contains("500 is out of range"), "{found}");
    expect("colour: red\n", "unknown key `colour` / one of `endpoints`, `gateway`");
}

#[test]
fn repeated_keys() {
    expect("gateway:\n  workers: 1\n  workers: 2\n", "3:3 key `workers` is already on line 2");
}

#[test]
fn missing_keys() {
    expect("sites: []\n", "1:1 missing key `models` / add `models:`, models as clients name them");
    expect("models:\n  - quality: 0.5\n", "2:5 missing key `name` in `models[0]` / add `name:`, unique name");
}

#[test]
fn wrong_types() {
    for (text, expected) in [
        ("gateway: 5", "`gateway` holds the number 5 / keys with values, of these: `admin_hosts`"),
        ("gateway:\n  listen: 8080", "`listen` holds the number 8080 / text; `listen: 127.0.0.1:8080`"),
        ("gateway:\n  workers: two", "`workers` holds the text `two` / a whole number, 0 to 1024"),
        ("gateway:\n  workers: '2'", "without quotes: `2`"),
        ("gateway:\n  workers: 1.5", "`workers` holds the number 1.5 / a whole number"),
        ("gateway:\n  request_timeout_ms: 30s", "digits alone: the unit is in the name of the key"),
        ("gateway:\n  router: nearst", "`router` has no choice `nearst` / `nearest`"),
        ("gateway:\n  router: fast", "/ one of `rhumb`, `round-robin`, `nearest`, `least-request`"),
        ("models:\n  - name: a\n    vision: yes", "`vision` holds the text `yes` / `true` or `false`; `vision: true`"),
        ("models:\n  name: a", "1:1 `models` holds keys with values / a list; each item begins with `- `"),
        ("tenants:\n  - name: a\n    models: auto", "/ a list; `models: [auto]`"),
        ("sites:", "1:1 `sites` holds no value / a list: places with GPUs"),
        ("just words", "the file holds the text `just words`"),
    ] {
        let found = problems(text);
        assert!(found.contains(expected) || found.contains(expected.trim_start_matches("1:1 ")), "{text}\n{found}");
    }
}

#[test]
fn ranges_counts_and_patterns() {
    expect("gateway:\n  workers: 5000", "2:12 5000 is out of range / `workers`, worker threads; 0 means one");
    expect("gateway:\n  carbon_usd_per_tonne: .nan", "NaN is out of range");
    expect("gateway:\n  carbon_usd_per_tonne: .inf", "inf is out of range");
    expect("sites: []", "`sites` is empty / at least one item");
    expect("sites:\n  - country: de", "`de` is no country code / two capital letters (ISO 3166-1 alpha-2): `DE`");
    expect("tenants:\n  - keys:\n    - sha256: abc", "not a SHA-256");
}

#[test]
fn secrets_are_not_repeated() {
    for text in ["keys: hunter2", "keys: [hunter2]", "keys: [{key: 31337}]", "keys: [{sha256: hunter2}]", "keys: 31337"]
    {
        let found = problems(&format!("tenants:\n- name: a\n  {text}\n"));
        assert!(!found.contains("hunter2") && !found.contains("31337"), "{found}");
    }
}

#[test]
fn what_can_be_understood_is_put_right() {
    let schema = json_schema();
    let mut tree =
        parse("gateway: { worker: many, router: x }\nsites: []\nmodels: []\nendpoints: []\n").expect("valid");
    let outcome = check(&mut tree, &schema, "");
    assert!(outcome.whole, "{:?}", outcome.problems);
    let config: rhumb_grid::config::Config = serde_json::from_value(tree.to_json()).expect("put right");
    assert_eq!(config.gateway.workers, 0);
}

/// Keywords that the walker or its words understand; anything else in the schema would be silently ignored.
#[test]
fn the_schema_uses_nothing_else() {
    fn walk(schema: &Json, inside_names: bool) {
        const KNOWN: [&str; 19] = [
            "$schema",
            "$defs",
            "$ref",
            "title",
            "description",
            "type",
            "properties",
            "additionalProperties",
            "required",
            "items",
            "minItems",
            "minimum",
            "maximum",
            "pattern",
            "default",
            "format",
            "anyOf",
            "oneOf",
            "const",
        ];
        match schema {
            Json::Object(entries) => {
                let closed = entries.get("additionalProperties") == Some(&Json::Bool(false));
                assert!(inside_names || closed || !entries.contains_key("properties"), "an object takes unknown keys");
                for (name, value) in entries {
                    assert!(inside_names || KNOWN.contains(&name.as_str()), "keyword {name}");
                    if name == "pattern" && !inside_names {
                        assert!(PATTERNS.contains(&value.as_str().expect("text")), "{value}");
                    }
                    if name != "default" || inside_names {
                        walk(value, !inside_names && matches!(name.as_str(), "properties" | "$defs"));
                    }
                }
            }
            Json::Array(items) => items.iter().for_each(|item| walk(item, false)),
            _ => {}
        }
    }
    walk(&json_schema(), false);
}
