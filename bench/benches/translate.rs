//! What a translation costs: a request in Anthropic's dialect to a chat, and a chat's stream to Anthropic's events, by the chunk.

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use rhumb_anthropic::{For, Reply, Stream, read};
use rhumb_openai::conversation;

fn main() {
    divan::main();
}

/// A chunk as vLLM writes it.
const CHUNK: &str = r#"data: {"id":"chatcmpl-0123456789abcdef","object":"chat.completion.chunk","created":1700000000,"model":"org/model-70b-instruct","choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}]}

"#;

#[divan::bench(args = [1, 64, 1_024])]
fn stream_of_chunks(bencher: Bencher<'_, '_>, chunks: usize) {
    let run = CHUNK.repeat(chunks);
    bencher.counter(ItemsCount::new(chunks)).bench_local(|| {
        let (mut stream, mut out) = (Stream::new(Reply::default()), Vec::with_capacity(run.len()));
        for event in rhumb_sse::events(black_box(run.as_bytes())) {
            let data = event.data.as_deref().unwrap_or_default();
            conversation::events(data, |said| stream.event(said, &mut out));
        }
        out.len()
    });
}

#[divan::bench(args = [400, 32_768, 1_048_576])]
fn request(bencher: Bencher<'_, '_>, prompt_bytes: usize) {
    let text = "word ".repeat(prompt_bytes / 5);
    let body = format!(
        r#"{{"model":"m","max_tokens":9,"system":"s","tools":[{{"name":"f","input_schema":{{"type":"object"}}}}],"messages":[{{"role":"user","content":[{{"type":"text","text":"{text}","cache_control":{{"type":"ephemeral"}}}}]}}]}}"#
    );
    bencher.counter(BytesCount::new(body.len())).bench_local(|| {
        let read = read(black_box(body.as_bytes()), For::Answer).expect("a valid request");
        conversation::write(&read.conversation).body.len()
    });
}
