//! F41: bodies made to cost more than they weigh, or to be read differently by two readers.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;
use std::process::{Command, Stdio};

use rhumb_tests::MODEL;
use rhumb_tests::client::post;
use rhumb_tests::config::Config;
use rhumb_tests::mock::Mock;

const CHAT: &str = "/v1/chat/completions";
const MILLION: usize = 1_000_000;

/// A good request with one more member.
fn with(member: &str) -> Vec<u8> {
    format!("{{\"model\":\"{MODEL}\",\"messages\":[{{\"role\":\"user\",\"content\":\"hi\"}}],{member}}}").into_bytes()
}

fn content(text: &str) -> Vec<u8> {
    format!("{{\"model\":\"{MODEL}\",\"messages\":[{{\"role\":\"user\",\"content\":{text}}}]}}").into_bytes()
}

fn bombs() -> Vec<(&'static str, Vec<u8>)> {
    let deep = |open: &str, close: &str| format!("\"x\":{}1{}", open.repeat(100_000), close.repeat(100_000));
    let keys: Vec<String> = (0..MILLION).map(|i| format!("\"k{i}\":0")).collect();
    let members: Vec<String> = (0..70_000).map(|i| format!("\"m{i}\":0")).collect();
    let message = "{\"role\":\"user\",\"content\":\"x\"}";
    let messages = |n: usize| format!("[{}]", vec![message; n].join(","));
    vec![
        ("arrays 100,000 deep", with(&deep("[", "]"))),
        ("objects 100,000 deep", with(&deep("{\"y\":", "}"))),
        ("arrays 100,000 deep, not closed", with(&deep("[", ""))),
        ("arrays deep in a message", content(&deep("[", "]")[4..])),
        ("a million keys", with(&format!("\"x\":{{{}}}", keys.join(",")))),
        ("70,000 members", with(&members.join(","))),
        ("a key of a million bytes twice", with(&format!("\"{0}\":1,\"{0}\":1", "k".repeat(MILLION)))),
        ("a million digits", with(&format!("\"seed\":{}", "7".repeat(MILLION)))),
        ("a million digits after the point", with(&format!("\"temperature\":0.{}", "7".repeat(MILLION)))),
        ("an exponent of a million digits", with(&format!("\"seed\":1e{}", "7".repeat(MILLION)))),
        ("a million messages", format!("{{\"model\":\"{MODEL}\",\"messages\":{}}}", messages(MILLION)).into_bytes()),
        ("two million numbers", with(&format!("\"x\":[{}0]", "0,".repeat(2 * MILLION)))),
        ("two million empty objects", with(&format!("\"x\":[{}{{}}]", "{},".repeat(2 * MILLION)))),
    ]
}

/// Texts that readers disagree about, or that are no JSON.
fn differentials() -> Vec<(&'static str, Vec<u8>)> {
    let good = with("\"n\":1");
    let utf16: Vec<u8> = String::from_utf8(good.clone()).unwrap().encode_utf16().flat_map(u16::to_le_bytes).collect();
    let other = "\"messages\":[{\"role\":\"user\",\"content\":\"other\"}]";
    vec![
        ("the model twice", with("\"model\":\"other\"")),
        ("the model twice, once in escapes", with("\"mod\\u0065l\":\"other\"")),
        ("the messages twice", with(other)),
        ("the messages twice, once in escapes", with(&other.replace("ges", "\\u0067es"))),
        ("a key twice inside a message", content("\"a\",\"content\":\"b\"")),
        ("a key twice, deep", with("\"x\":[{\"y\":{\"z\":1,\"\\u007a\":2}}]")),
        (
            "a key twice among many",
            with(&format!("{},\"q7\":1", (0..50).map(|i| format!("\"q{i}\":0")).collect::<Vec<_>>().join(","))),
        ),
        ("a lone high surrogate", content("\"\\ud83d\"")),
        ("a lone low surrogate", content("\"\\ude00\"")),
        ("two high surrogates", content("\"\\ud83d\\ud83d\"")),
        ("surrogates in the wrong order", content("\"\\ude00\\ud83d\"")),
        ("a surrogate and an escape", content("\"\\ud83d\\n\"")),
        ("a lone surrogate as a key", with("\"\\ud83d\":1")),
        ("a NUL in a string", content("\"a\0b\"")),
        ("a NUL after the text", [&good[..], b"\0"].concat()),
        ("a NUL before the text", [b"\0", &good[..]].concat()),
        ("a control character in a string", content("\"a\tb\"")),
        ("a line feed in a string", content("\"a\nb\"")),
        (
            "not UTF-8",
            [b"{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":\"", &b"\xff\xfe"[..], b"\"}]}"]
                .concat(),
        ),
        ("UTF-8 too long", [b"{\"model\":\"tiny\",\"x\":\"", &b"\xc0\xaf"[..], b"\",\"messages\":[{}]}"].concat()),
        (
            "a surrogate in UTF-8",
            [b"{\"model\":\"tiny\",\"x\":\"", &b"\xed\xa0\x80"[..], b"\",\"messages\":[{}]}"].concat(),
        ),
        ("UTF-16", utf16),
        ("a byte order mark", [b"\xef\xbb\xbf", &good[..]].concat()),
        ("NaN", with("\"temperature\":NaN")),
        ("infinity", with("\"temperature\":-Infinity")),
        ("a leading zero", with("\"n\":01")),
        ("a plus", with("\"n\":+1")),
        ("a point without digits", with("\"temperature\":1.")),
        ("a point first", with("\"temperature\":.5")),
        ("hexadecimal", with("\"seed\":0x10")),
        ("a trailing comma", with("\"n\":1,")),
        ("a trailing comma in an array", with("\"stop\":[\"a\",]")),
        ("two commas", with("\"n\":1,,\"seed\":1")),
        ("a comment", with("/* no */\"n\":1")),
        ("single quotes", with("'n':1")),
        ("a key without quotes", with("n:1")),
        ("an unknown escape", content("\"\\x41\"")),
        ("half an escape", content("\"\\u12\"")),
        ("a vertical tab as space", with("\u{b}\"n\":1")),
        ("a no-break space as space", with("\u{a0}\"n\":1")),
        ("words after the text", [&good[..], b" true"].concat()),
        ("two texts", [&good[..], &good[..]].concat()),
        ("an array", [b"[", &good[..], b"]"].concat()),
        ("a string", b"\"model\"".to_vec()),
        ("nothing", Vec::new()),
        ("white space", b" \n ".to_vec()),
        ("half a text", good[..good.len() - 1].to_vec()),
        ("a bracket of the wrong kind", [&good[..good.len() - 1], b"]"].concat()),
        ("a model that is a number", b"{\"model\":1,\"messages\":[{}]}".to_vec()),
        ("no model", b"{\"messages\":[{}]}".to_vec()),
        ("no messages", b"{\"model\":\"tiny\"}".to_vec()),
        ("an empty conversation", b"{\"model\":\"tiny\",\"messages\":[]}".to_vec()),
        ("messages that are none", b"{\"model\":\"tiny\",\"messages\":[1]}".to_vec()),
        ("a stream that is a string", with("\"stream\":\"true\"")),
        ("a count below zero", with("\"max_tokens\":-1")),
        ("a count that is none", with("\"max_tokens\":1e3")),
        ("a count beyond 64 bits", with("\"max_tokens\":99999999999999999999")),
        ("no choices", with("\"n\":0")),
    ]
}

#[test]
fn f41_hostile_json_is_refused_and_goes_nowhere() {
    let a = Mock::answering("a", 2);
    let gateway = Config::over(&[&a]).start();
    let before = gateway.peak_memory();
    let mut client = gateway.client();
    for (what, body) in bombs().into_iter().chain(differentials()) {
        // All on one connection: a refused body leaves nothing behind that could be taken for a request.
        let answer = client.exchange(&post(CHAT, "", &body));
        assert_eq!(answer.status, 400, "{what}: {}", answer.text());
        assert!(answer.body.len() < 1_000, "{what}: the body is not echoed");
        answer.error(400, "invalid_request");
    }
    let grown = gateway.peak_memory() - before;
    assert!(grown < 128 << 20, "bodies of up to 29 MB and little more: {grown}");
    assert_eq!(client.exchange(&post(CHAT, "", &with("\"n\":1"))).status, 200, "the connection still serves");
    assert_eq!(a.requests(), 1, "and only that reached the engine");
    assert_eq!(gateway.stop().rows.len(), 1);
}

#[test]
fn f41_a_body_encoded_in_an_unknown_way_is_not_read() {
    let a = Mock::answering("a", 2);
    let gateway = Config::over(&[&a]).start();
    let ask = |encoding: &str| {
        let headers = format!("content-encoding: {encoding}\r\n");
        gateway.client().exchange(&post(CHAT, &headers, &with("\"n\":1")))
    };
    for encoding in ["br", "zstd", "gzip, identity", "x-unknown"] {
        ask(encoding).error(415, "unsupported_encoding");
    }
    // What is not compressed as it says.
    for encoding in ["gzip", "deflate", "GZIP"] {
        ask(encoding).error(400, "invalid_request");
    }
    assert_eq!(gateway.client().exchange(&post(CHAT, "content-encoding: identity\r\n", &with("\"n\":1"))).status, 200);
    assert_eq!(a.requests(), 1);
    gateway.stop();
}

/// Small and large steps of a generator that always makes the same numbers.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }
}

/// Bytes that mean something in JSON, and some that do not.
const SPICE: &[&str] = &[
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    " ",
    "\n",
    "\r",
    "\t",
    "0",
    "1",
    "-",
    "+",
    ".",
    "e",
    "E",
    "null",
    "true",
    "\\u0000",
    "\\ud800",
    "\\udc00",
    "\\n",
    "\\",
    "/",
    "\0",
    "\u{7f}",
    "é",
    "\u{2028}",
    "🧭",
    "\u{feff}",
    "NaN",
    "x",
    "\"model\":",
    "\"cache_salt\":1,",
    "\"messages\":",
    "\"stream_options\":{},",
    "//",
    "'",
    "\u{a0}",
    "1e999",
    "-0",
];

fn mutant(seed: &str, numbers: &mut Numbers) -> Vec<u8> {
    let mut text: Vec<char> = seed.chars().collect();
    for _ in 0..=numbers.below(3) {
        let at = numbers.below(text.len());
        let spice = SPICE[numbers.below(SPICE.len())].chars();
        match numbers.below(4) {
            0 => drop(text.remove(at)),
            1 => drop(text.splice(at..at, spice)),
            2 => drop(text.splice(at..=at, spice)),
            _ => text.truncate(text.len() - numbers.below(2)),
        }
    }
    text.into_iter().collect::<String>().into_bytes()
}

/// Reads each line (hexadecimal) as JSON in UTF-8 and prints the numbers of those that are none, or that name another
/// model than the mock's, or still carry a salt.
const JUDGE: &str = r#"
import json, sys
def pairs(members):
    assert len(dict(members)) == len(members), "a key twice"
    return dict(members)
for number, line in enumerate(sys.stdin):
    try:
        body = json.loads(bytes.fromhex(line.strip()).decode("utf-8"), object_pairs_hook=pairs)
        assert body["model"] == "tiny", body["model"]
        assert "cache_salt" not in body, "a salt"
        assert isinstance(body["messages"], list) and body["messages"], "messages"
    except Exception as why:
        print(number, repr(why))
"#;

/// What Python says of each text that is not as it should be; `None` when there is no Python.
fn judged(texts: &[Vec<u8>]) -> Option<String> {
    let mut python = Command::new("python3");
    python.args(["-c", JUDGE]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut python = python.spawn().ok()?;
    let lines: String = texts.iter().map(|t| t.iter().map(|b| format!("{b:02x}")).collect::<String>() + "\n").collect();
    let mut stdin = python.stdin.take().unwrap();
    let writing = std::thread::spawn(move || stdin.write_all(lines.as_bytes()).unwrap());
    let output = python.wait_with_output().unwrap();
    writing.join().unwrap();
    assert!(output.status.success());
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn f41_what_is_forwarded_reads_the_same_in_python() {
    if judged(&[]).is_none() {
        eprintln!("there is no `python3`: the differential is left out");
        return;
    }
    // An alias, a salt and usage to be asked for: all three edits are made.
    let seed = "{\"model\": \"small\", \"cache_salt\" : [1, {\"a\": \"\\u00e9\\\"\"}], \"stream\": true, \"seed\": -1.5e2, \
                \"stream_options\": {\"x\": null}, \"messages\": [{\"role\": \"user\", \"content\": \"Grüße \\ud83e\\udded\"}]}";
    let a = Mock::answering("a", 1);
    let gateway = Config::over(&[&a]).start();
    let mut client = gateway.client();
    let mut numbers = Numbers(7);
    let (mut refused, mut accepted) = (0, 0);
    assert_eq!(client.exchange(&post(CHAT, "", seed.as_bytes())).status, 200);
    for _ in 0..4_000 {
        let text = mutant(seed, &mut numbers);
        match client.exchange(&post(CHAT, "", &text)).status {
            200 => accepted += 1,
            400 | 404 => refused += 1,
            other => panic!("{other} for {}", String::from_utf8_lossy(&text)),
        }
    }
    assert!(accepted > 200 && refused > 200, "{accepted} accepted, {refused} refused: the mutants prove nothing");
    let forwarded: Vec<Vec<u8>> = a.seen().into_iter().map(|r| r.body).collect();
    assert_eq!(forwarded.len(), accepted + 1);
    let complaints = judged(&forwarded).unwrap();
    let show = |line: &str| {
        let number: usize = line.split(' ').next().unwrap().parse().unwrap();
        format!("{line}: {}\n", String::from_utf8_lossy(&forwarded[number]))
    };
    assert_eq!(complaints.lines().map(show).collect::<String>(), "");
    gateway.stop();
}
