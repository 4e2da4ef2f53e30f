//! What becomes of each kind of content between each dialect of clients and each of endpoints: asked of the built gateway, and written
//! to docs/reference/dialect-matrix.md. `RHUMB_BLESS=1 cargo test -p rhumb-tests --test dialect_matrix` writes it anew.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::path::Path;

use rhumb_tests::MODEL;
use rhumb_tests::client::{Answer, post};
use rhumb_tests::config::Config;
use rhumb_tests::gateway::Gateway;
use rhumb_tests::mock::Mock;
use rhumb_tests::script::Step;
use serde_json::{Value, json};

/// Clients' dialects and endpoints', each with its path.
const DIALECTS: [(&str, &str); 3] =
    [("chat", "/v1/chat/completions"), ("messages", "/v1/messages"), ("responses", "/v1/responses")];

/// Kinds of content, each with the members of a request that say it, in every dialect that can.
fn features() -> Vec<Value> {
    serde_json::from_str(include_str!("dialect_features.json")).unwrap()
}

/// What became of a request.
fn cell(mock: &Mock, before: usize, request: &Value, answer: &Answer, path: &str) -> String {
    if answer.status != 200 {
        assert_eq!(mock.requests(), before, "{}", answer.text());
        let error = &answer.json()["error"];
        let code = ["code", "type"].iter().find_map(|key| error[key].as_str()).unwrap().to_owned();
        return format!("refused: {} `{code}`", answer.status);
    }
    let seen = mock.seen().pop().unwrap();
    if seen.path == path {
        assert_eq!(&seen.json(), request, "what passes is not touched");
        return "passes".to_owned();
    }
    match answer.header("x-rhumb-dropped") {
        "" => "translated".to_owned(),
        dropped => {
            let names: Vec<String> = dropped.split(", ").map(|name| format!("`{name}`")).collect();
            format!("translated without {}", names.join(", "))
        }
    }
}

fn row(gateways: &[(Mock, Gateway)], request: &Value, path: &str) -> Vec<String> {
    let headers = if path == "/v1/messages" { "anthropic-version: 2023-06-01\r\n" } else { "" };
    let asked = |(mock, gateway): &(Mock, Gateway)| {
        let before = mock.requests();
        let answer = gateway.client().exchange(&post(path, headers, request.to_string().as_bytes()));
        cell(mock, before, request, &answer, path)
    };
    gateways.iter().map(asked).collect()
}

#[test]
fn the_page_says_what_becomes_of_each_kind_of_content() {
    let gateways: Vec<(Mock, Gateway)> = DIALECTS
        .iter()
        .map(|(dialect, _)| {
            let mock = Mock::start("a", vec![Step::Answer(3)]);
            let config = Config::over(&[&mock]).model("vision: true");
            let gateway = config.endpoint(0, |e| e.more = format!(", dialects: [{dialect}]")).start();
            (mock, gateway)
        })
        .collect();
    let mut page = String::from(
        "# What becomes of what, by dialect\n\nMade by `tests/tests/dialect_matrix.rs`, which asks the built gateway each of these and looks at \
         what the endpoint\ngot. `passes`: the endpoint gets the client's bytes. `translated without`: the client is told these names in \
         `x-rhumb-dropped`.\n`refused`: nothing is sent anywhere. An endpoint that speaks several dialects serves a client as the best of \
         its columns.\n",
    );
    for (client, (name, path)) in DIALECTS.iter().enumerate() {
        let _ = write!(
            page,
            "\n## Clients of {name}\n\n| what a client says | endpoint of chat | of messages | of responses |\n|---|---|---|---|\n"
        );
        for feature in features() {
            let (what, Some(members)) = (feature["what"].as_str().unwrap(), feature[*name].as_object()) else {
                continue;
            };
            let mut request = json!({"model": MODEL});
            let lengths = ["max_tokens", "max_tokens", "max_output_tokens"];
            request[lengths[client]] = json!(50);
            request.as_object_mut().unwrap().extend(members.clone());
            let _ = writeln!(page, "| {what} | {} |", row(&gateways, &request, path).join(" | "));
        }
    }
    let at = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/reference/dialect-matrix.md");
    if std::env::var_os("RHUMB_BLESS").is_some() {
        std::fs::write(&at, &page).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&at).unwrap_or_default(), page, "RHUMB_BLESS=1 writes it anew");
}
