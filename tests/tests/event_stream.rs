//! F16: an event stream is the same stream however it is written and however it is cut.

use rhumb_tests::config::Config;
use rhumb_tests::mock::Mock;
use rhumb_tests::script::{Script, Step, stream_in_pieces};
use rhumb_tests::{speech, sse};

/// A stream with everything that the standard allows, in LF.
fn corpus() -> String {
    let id = "{\"id\":\"1\",\"object\":\"chat.completion.chunk\"";
    let mut out = String::from(": a comment first\n\nretry: 1000\n\n");
    // No space after the colon; a field without a colon; fields that nobody knows.
    out += &format!(
        "data:{id},\"choices\":[{{\"index\":0,\"delta\":{{\"role\":\"assistant\"}}}}]}}\nnobody\nknows: this\n\n"
    );
    // Characters of two, three and four bytes, and escapes that look like line ends.
    out += &format!("id: 7\ndata: {id},\"choices\":[{{\"delta\":{{\"content\":\"Grüße, 世界 🧭 \\n\\r \"}}}}]}}\n\n");
    // JSON over several lines; a comment inside the event; a data field that begins with two spaces.
    out += &format!(
        "event: message\ndata: {id},\n: inside\ndata:   \"choices\":[{{\"delta\":\ndata:{{\"content\":\"x\"}}}}]}}\n\n"
    );
    // Line separators that are none in this format.
    out += &format!("data: {id},\"choices\":[{{\"delta\":{{\"content\":\"\u{2028}\u{85}\u{b}\"}}}}]}}\n\n");
    // Empty lines more than needed, and an event with an empty data field.
    out += "\n\n\ndata\n\ndata:\n\n";
    out +=
        &format!("data: {id},\"choices\":[{{\"delta\":{{}},\"finish_reason\":\"stop\"}}]}}\n\n: the last comment\n\n");
    out + "data: [DONE]\n\n"
}

/// The corpus with each way to end a line, and with a byte order mark.
fn writings() -> Vec<(&'static str, Vec<u8>)> {
    let lf = corpus();
    // Ends of lines in turn: what a concatenation of proxies may leave.
    let ends = ["\n", "\r\n", "\r"];
    let mixed: String = lf.split_inclusive('\n').enumerate().map(|(i, l)| l.replace('\n', ends[i % 3])).collect();
    vec![
        ("CRLF", lf.replace('\n', "\r\n").into_bytes()),
        ("CR", lf.replace('\n', "\r").into_bytes()),
        ("a byte order mark", format!("\u{feff}{lf}").into_bytes()),
        ("a byte order mark and CRLF", format!("\u{feff}{}", lf.replace('\n', "\r\n")).into_bytes()),
        ("all ends of lines", mixed.into_bytes()),
        ("LF", lf.into_bytes()),
    ]
}

/// What the client reads must be what a reader without a gateway in between reads.
fn is_the_same(what: &str, text: &[u8], script: Script, gateway_of: &mut impl FnMut(Script) -> Vec<u8>) {
    let got = gateway_of(script);
    assert_eq!(sse::events(&got), sse::events(text), "{what}");
}

#[test]
fn f16_a_stream_is_the_same_however_it_is_cut() {
    let a = Mock::answering("a", 1);
    let gateway = Config::over(&[&a]).start();
    let mut ask = speech::ask(true);
    ask["stream_options"] = serde_json::json!({"include_usage": true});
    let mut through = |script: Script| {
        a.set(script);
        let answer = gateway.chat(&ask);
        assert_eq!((answer.status, answer.whole), (200, true));
        answer.body
    };
    let reference = sse::events(corpus().as_bytes());
    assert_eq!(reference.len(), 8, "the role, three texts, two empty, the finish, the end");
    let mut requests = 0;
    for (how, text) in writings() {
        assert_eq!(sse::events(&text), reference, "the reference reader: {how}");
        for size in [1, 2, 3, 7, 64, text.len()] {
            is_the_same(&format!("{how} by {size}"), &text, stream_in_pieces(&text, size), &mut through);
            requests += 1;
        }
    }
    let rows = gateway.stop().rows;
    assert_eq!(rows.len(), requests);
    assert!(rows.iter().all(|r| r.outcome == "complete" && r.attempts == 1));
}

#[test]
fn f16_every_cut_in_two_is_the_same() {
    let a = Mock::answering("a", 1);
    let gateway = Config::over(&[&a]).start();
    let mut through = |script: Script| {
        a.set(script);
        gateway.chat(&speech::ask(true)).body
    };
    // The writing in which most cuts fall into the middle of something.
    let text = format!("\u{feff}{}", corpus().replace('\n', "\r\n")).into_bytes();
    for cut in 1..text.len() {
        let (head, tail) = text.split_at(cut);
        let script = vec![Step::Head, Step::Chunk(head.to_vec()), Step::Chunk(tail.to_vec()), Step::ZeroChunk];
        is_the_same(&format!("cut at {cut}"), &text, script, &mut through);
    }
    assert!(gateway.stop().rows.iter().all(|r| r.outcome == "complete"));
}

#[test]
fn f16_what_follows_the_end_or_is_not_ended_is_not_passed_on() {
    let a = Mock::answering("a", 1);
    let gateway = Config::over(&[&a]).start();
    let whole = speech::stream("a", 2, false);
    for more in ["data: {\"late\":1}\n\n", "data: [DONE]\n\n", "data: {\"half", ": ping\n\n"] {
        a.set(vec![Step::Head, Step::Chunk(format!("{whole}{more}").into_bytes()), Step::ZeroChunk]);
        let answer = gateway.chat(&speech::ask(true));
        assert_eq!((answer.whole, answer.text()), (true, whole.clone()), "{more}");
    }
    assert!(gateway.stop().rows.iter().all(|r| r.outcome == "complete"));
}

#[test]
fn f16_a_usage_frame_reaches_only_those_who_asked_for_it() {
    let a = Mock::answering("a", 2);
    let gateway = Config::over(&[&a]).start();
    assert_eq!(gateway.chat(&speech::ask(true)).text(), speech::stream("a", 2, false));
    let mut ask = speech::ask(true);
    ask["stream_options"] = serde_json::json!({"include_usage": true});
    assert_eq!(gateway.chat(&ask).text(), speech::stream("a", 2, true));
    let asked: Vec<bool> = a.seen().iter().map(|r| r.json()["stream_options"]["include_usage"] == true).collect();
    assert_eq!(asked, [true, true], "the log needs it in any case");
    let rows = gateway.stop().rows;
    assert!(rows.iter().all(|r| (r.estimated, r.completion_tokens) == (false, 2)));
}
