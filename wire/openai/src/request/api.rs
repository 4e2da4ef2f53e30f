//! The APIs of endpoints that are passed on, and what a model must do to serve each.

use rhumb_grid::config::Dialect;
use rhumb_grid::tasks::Tasks;

/// Which API a body belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// `POST /v1/chat/completions`.
    Chat,
    /// `POST /v1/messages`, Anthropic's, at endpoints that speak it.
    Messages,
    /// `POST /v1/responses`, at endpoints that speak it.
    Responses,
    /// `POST /v1/completions`.
    Completions,
    /// `POST /v1/embeddings`.
    Embeddings,
    /// `POST /v1/rerank`, the shape of Jina, Cohere and vLLM.
    Rerank,
    /// `POST /v1/score`, as vLLM and SGLang have it.
    Score,
    /// `POST /classify`, as vLLM has it.
    Classify,
    /// `POST /v1/moderations`.
    Moderations,
    /// `POST /v1/audio/speech`.
    Speech,
    /// `POST /v1/audio/transcriptions`.
    Transcriptions,
    /// `POST /v1/audio/translations`.
    Translations,
    /// `POST /v1/images/generations`.
    Images,
    /// `POST /v1/images/edits`.
    ImageEdits,
    /// `GET /v1/realtime`, which opens a WebSocket.
    Realtime,
    /// `POST /tokenize`, as engines have it.
    Tokenize,
    /// `POST /detokenize`, as engines have it.
    Detokenize,
}

/// The path at endpoints, and the members that hold what the model reads.
type Shape = (&'static str, &'static [&'static str]);

impl Api {
    /// By the path that a client asks for; some have several. What may be translated, and what is no request but a session, has no path
    /// here.
    pub fn of(path: &str) -> Option<Self> {
        Some(match path {
            "/v1/chat/completions" => Self::Chat,
            "/v1/completions" => Self::Completions,
            "/v1/embeddings" => Self::Embeddings,
            "/v1/rerank" | "/v2/rerank" | "/rerank" => Self::Rerank,
            "/v1/score" | "/score" => Self::Score,
            "/v1/classify" | "/classify" => Self::Classify,
            "/v1/moderations" => Self::Moderations,
            "/v1/audio/speech" => Self::Speech,
            "/v1/audio/transcriptions" => Self::Transcriptions,
            "/v1/audio/translations" => Self::Translations,
            "/v1/images/generations" => Self::Images,
            "/v1/images/edits" => Self::ImageEdits,
            "/v1/tokenize" | "/tokenize" => Self::Tokenize,
            "/v1/detokenize" | "/detokenize" => Self::Detokenize,
            _ => return None,
        })
    }

    fn shape(self) -> Shape {
        match self {
            Self::Chat => ("/v1/chat/completions", &["messages"]),
            Self::Messages => ("/v1/messages", &["messages"]),
            Self::Responses => ("/v1/responses", &["input"]),
            Self::Completions => ("/v1/completions", &["prompt"]),
            Self::Embeddings => ("/v1/embeddings", &["input"]),
            Self::Rerank => ("/v1/rerank", &["documents", "query"]),
            Self::Score => {
                ("/v1/score", &["text_1", "text_2", "queries", "documents", "data_1", "data_2", "query", "items"])
            }
            Self::Classify => ("/classify", &["input", "messages"]),
            Self::Moderations => ("/v1/moderations", &["input"]),
            Self::Speech => ("/v1/audio/speech", &["input"]),
            Self::Transcriptions => ("/v1/audio/transcriptions", &["file"]),
            Self::Translations => ("/v1/audio/translations", &["file"]),
            Self::Images => ("/v1/images/generations", &["prompt"]),
            Self::ImageEdits => ("/v1/images/edits", &["image", "image[]"]),
            Self::Realtime => ("/v1/realtime", &["model"]),
            Self::Tokenize => ("/tokenize", &["prompt", "messages"]),
            Self::Detokenize => ("/detokenize", &["tokens"]),
        }
    }

    /// The path at endpoints.
    pub fn path(self) -> &'static str {
        self.shape().0
    }

    /// The members that hold what the model reads; of several one is enough.
    pub fn prompt_fields(self) -> &'static [&'static str] {
        self.shape().1
    }

    /// What a model must do to serve it.
    pub fn tasks(self) -> Tasks {
        match self {
            Self::Chat | Self::Messages | Self::Responses | Self::Completions | Self::Tokenize | Self::Detokenize => {
                Tasks::default()
            }
            Self::Embeddings => Tasks::EMBEDDING,
            Self::Rerank | Self::Score => Tasks::RERANK,
            Self::Classify | Self::Moderations => Tasks::CLASSIFY,
            Self::Speech => Tasks::SPEECH,
            Self::Transcriptions | Self::Translations => Tasks::TRANSCRIPTION,
            Self::Images | Self::ImageEdits => Tasks::IMAGES,
            Self::Realtime => Tasks::REALTIME,
        }
    }

    /// Text is generated, token by token.
    pub fn generates(self) -> bool {
        matches!(self, Self::Chat | Self::Messages | Self::Responses | Self::Completions)
    }

    /// The dialect that an endpoint has to speak to serve it.
    pub fn dialect(self) -> Dialect {
        match self {
            Self::Messages => Dialect::Messages,
            Self::Responses => Dialect::Responses,
            _ => Dialect::Chat,
        }
    }

    /// The member that sets the longest answer.
    pub fn length_field(self) -> &'static str {
        if self == Self::Responses { "max_output_tokens" } else { "max_tokens" }
    }

    /// Its body is a form and no JSON.
    pub fn is_form(self) -> bool {
        matches!(self, Self::Transcriptions | Self::Translations | Self::ImageEdits)
    }
}
