//! Questions whose answers are known.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rhumb_openai::question;
use rhumb_upstream::{Conn, Error, Request};

use crate::poll::{Sink, Target, ticker};

/// A question, as one endpoint is asked it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The model, as the grid names it.
    pub model: String,
    /// The model, as the endpoint does.
    pub served_as: String,
    /// What is asked.
    pub prompt: String,
    /// What the answer must hold, upper and lower case alike.
    pub contains: String,
    /// Longest answer, in tokens.
    pub max_tokens: u32,
}

/// What an endpoint made of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// The answer holds what it must.
    Rightly,
    /// It does not.
    Wrongly,
    /// There was none, though the endpoint is not merely busy.
    Not,
}

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Longest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;

impl Question {
    fn body(&self) -> Bytes {
        question::body(&self.served_as, &self.prompt, self.max_tokens).into()
    }

    fn holds(&self, answer: &[u8]) -> bool {
        question::text(answer).to_lowercase().contains(&self.contains.to_lowercase())
    }
}

pub(crate) async fn canary_loop(target: Arc<Target>, questions: Vec<Question>, every: Duration, sink: Arc<impl Sink>) {
    let mut ticks = ticker(every);
    loop {
        ticks.tick().await;
        for question in &questions {
            let answered = match tokio::time::timeout(TIMEOUT, ask(&target, question)).await {
                Ok(Ok(answered)) => answered,
                // That is this gateway's want, not the endpoint's.
                Ok(Err(Error::Exhausted)) => None,
                Ok(Err(_)) | Err(_) => Some(Answered::Not),
            };
            if let Some(answered) = answered {
                sink.canary(&question.model, answered);
            }
        }
    }
}

/// Nothing is known of an endpoint that is too busy to answer, or calls the question wrong.
async fn ask(target: &Target, question: &Question) -> Result<Option<Answered>, Error> {
    let headers = [target.headers.as_str(), "content-type: application/json\r\n"].concat();
    let request = Request { method: "POST", path: question::PATH, headers: &headers, body: &[question.body()] };
    let conn = Conn::connect(&target.origin, TIMEOUT).await?;
    let mut response = conn.send(&target.origin, request).await?;
    match response.head.status {
        200 => {}
        400..=499 | 503 => return Ok(None),
        _ => return Ok(Some(Answered::Not)),
    }
    let answer = response.collect(ANSWER_BYTES_MAX).await?;
    Ok(Some(if question.holds(&answer) { Answered::Rightly } else { Answered::Wrongly }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn an_answer_is_right_when_it_holds_what_it_must() {
        let text = |s: &str| s.to_owned();
        let question = Question {
            model: text("m"),
            served_as: text("org/m"),
            prompt: text("capital of \"France\"?"),
            contains: text("Paris"),
            max_tokens: 4,
        };
        let asked: Value = serde_json::from_slice(&question.body()).unwrap_or_default();
        assert_eq!((&asked["model"], &asked["max_tokens"]), (&json!("org/m"), &json!(4)));
        let answer = |text: &str| json!({"choices": [{"message": {"content": text}}]}).to_string().into_bytes();
        assert!(question.holds(&answer("It is PARIS.")) && !question.holds(&answer("London")));
        assert!(!question.holds(b"") && !question.holds(b"{\"choices\":[]}"));
    }
}
