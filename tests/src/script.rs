//! What a mock does with a request, step by step.

use crate::speech;

/// One step.
#[derive(Debug, Clone)]
pub enum Step {
    /// Answers well with so many tokens, streamed or plain as asked, usage stated when asked for.
    Answer(usize),
    /// Answers well with so many tokens that each carry the tag in the prompt (see [`crate::tag`]).
    Echo(usize),
    /// The head of an event stream.
    Head,
    /// The role delta.
    Role,
    /// So many tokens, each written by itself; they are numbered on from those before.
    Tokens(usize),
    /// So many tokens, each after so many milliseconds.
    Slowly(usize, u64),
    /// Tokens until the other side is gone.
    Trickle,
    /// Tokens as fast as the other side takes them, until it is gone; it is noted when it takes none.
    Flood,
    /// A piece of a chunked body.
    Chunk(Vec<u8>),
    /// The same piece of a chunked body until the other side is gone, or so many times.
    Chunks(Vec<u8>, usize),
    /// The same piece of a chunked body every millisecond or so until the other side is gone.
    Beat(Vec<u8>),
    /// The zero chunk that ends a chunked body.
    ZeroChunk,
    /// Bytes as they are, in one write.
    Raw(Vec<u8>),
    /// Bytes as they are, over and over until the other side is gone, or so many times.
    RawOften(Vec<u8>, usize),
    /// Waits until the test says go on (`Mock::release`).
    Gate,
    /// Says nothing until the other side is gone.
    Hang,
    /// Closes with RST.
    Reset,
    /// Closes with FIN.
    Fin,
}

/// Steps for one request. A script that ends without closing keeps the connection for the next request.
pub type Script = Vec<Step>;

/// Accepts and never answers.
pub fn silent() -> Script {
    vec![Step::Hang]
}

/// A plain answer with a status, headers (whole lines) and a body.
pub fn status(code: u16, headers: &str, body: &str) -> Script {
    let length = body.len();
    let head = format!("HTTP/1.1 {code} X\r\ncontent-type: text/html\r\ncontent-length: {length}\r\n{headers}\r\n");
    vec![Step::Raw([head.as_bytes(), body.as_bytes()].concat())]
}

/// An event stream that dies before anything was said.
pub fn die_before_content() -> Script {
    vec![Step::Head, Step::Role, Step::Reset]
}

/// An event stream that stops in the middle and says nothing more.
pub fn stall(tokens: usize) -> Script {
    vec![Step::Head, Step::Role, Step::Tokens(tokens), Step::Hang]
}

/// An event stream of so many tokens, each after so many milliseconds.
pub fn at_pace(tokens: usize, ms: u64) -> Script {
    let [finish, done] = [speech::finish("m"), speech::done()].map(|e| Step::Chunk(e.into_bytes()));
    vec![Step::Head, Step::Role, Step::Slowly(tokens, ms), finish, done, Step::ZeroChunk]
}

/// An event stream with this text, cut into chunks of `size` bytes, each written by itself.
pub fn stream_in_pieces(text: &[u8], size: usize) -> Script {
    let chunks = text.chunks(size).map(|c| Step::Chunk(c.to_vec()));
    [Step::Head].into_iter().chain(chunks).chain([Step::ZeroChunk]).collect()
}
