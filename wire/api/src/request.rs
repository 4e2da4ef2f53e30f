//! What routing needs of a request.

/// A request, as far as a decision, a limit or an account needs it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// The model asked for.
    pub model: String,
    /// An event stream is wanted.
    pub stream: bool,
    /// How large the prompt is, and what it holds besides text.
    pub prompt: Prompt,
    /// Bytes that the prompt takes in the body.
    pub prompt_bytes: usize,
    /// The longest answer that is wanted, tokens.
    pub max_tokens: Option<u64>,
    /// The longest answer asked for under any name, the least length included, and that name.
    pub longest_answer: Option<(&'static str, u64)>,
    /// Choices generated for each input, at least 1.
    pub n: u64,
    /// Whether it asks for more or less than the usual service.
    pub tier: Option<Tier>,
    /// Tools may be called, or the answer must have a format.
    pub tools: bool,
    /// Times in a row that its conversation ends with the same calls of tools.
    pub repeats: u64,
    /// Hash of the key by which a client wants requests to share a cache.
    pub cache_key_hash: Option<u64>,
    /// Hash of the conversation that it goes on with.
    pub conversation_hash: Option<u64>,
}

impl Request {
    /// Answers generated: so many choices for each prompt.
    #[must_use]
    pub fn sequences(&self) -> u64 {
        self.n.saturating_mul(self.prompt.inputs.max(1))
    }
}

/// The service that a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// Sooner than others.
    Priority,
    /// Whenever there is room.
    Flex,
}

/// The size of a prompt. A list of inputs is several prompts: each must fit a model by itself, and all are paid for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Prompt {
    /// Inputs; a conversation is one.
    pub inputs: u64,
    /// Tokens of text, all inputs together: a first estimate by script.
    pub text: u64,
    /// The same of the input with the most.
    pub longest_text: u64,
    /// Token ids, all inputs together: they are counted, not estimated.
    pub ids: u64,
    /// The same of the input with the most.
    pub longest_ids: u64,
    /// Images, recordings, videos and files.
    pub media: u64,
    /// Images, videos or files are among them.
    pub images: bool,
    /// Recordings are among them.
    pub audio: bool,
    /// The engine is asked to cut what is too long, so that no count says that it does not fit.
    pub truncated: bool,
}

/// An estimate of text is at most this many times too large, whatever the vocabulary: the longest entries of those in use
/// are runs of 128 spaces, which count 32 tokens here.
const TOO_LARGE_MAX: u64 = 32;

impl Prompt {
    /// Takes one more input: tokens of text, or token ids.
    pub fn add(&mut self, text: u64, ids: u64) {
        self.inputs += 1;
        self.text += text;
        self.longest_text = self.longest_text.max(text);
        self.ids += ids;
        self.longest_ids = self.longest_ids.max(ids);
    }

    /// Tokens of text that stand before the prompt: the tools of a conversation.
    pub fn preamble(&mut self, text: u64) {
        self.text += text;
        self.longest_text += text;
    }

    /// Tokens that the longest input has at least, whatever the engine's vocabulary. One that reads words and not bytes, as
    /// those of embedding models do, may take any text for a single token.
    #[must_use]
    pub fn certain_tokens(&self, reads_words: bool) -> u64 {
        if self.truncated {
            return 1;
        }
        let text = if reads_words { 0 } else { self.longest_text / TOO_LARGE_MAX };
        self.longest_ids.max(text).max(1)
    }
}
