//! Working on batches: their lines are asked a few at a time, and what comes of each is kept at once, so that a gateway that died
//! goes on where it stopped.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rhumb_openai::batch::{self, BrokenLine, LINES_MAX, WINDOW_S, answered, line, unanswered};
use rhumb_process::clock;
use rhumb_store::responses::{Batch, Line, StoredFile, Unavailable};
use serde_json::{Value, json};
use tokio::task::{self, JoinSet};

use crate::{Kept, lock};

/// Batches that are worked on at once, and lines of each that are in progress.
const BATCHES_AT_ONCE: usize = 4;
const LINES_AT_ONCE: usize = 32;

/// How often is looked whether there is a batch, where nobody says so.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// How often a line is asked that fails; one for which there is no room is asked for as long as its batch may take.
const TRIES_MAX: u32 = 5;

/// The pauses between.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// A line that is to be asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Whose it is, and the name of the key.
    pub tenant: String,
    /// Name of the key.
    pub key: String,
    /// The path.
    pub endpoint: String,
    /// The body.
    pub body: Bytes,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Answered {
    /// The HTTP status.
    pub status: u16,
    /// The id of the request.
    pub request_id: String,
    /// The body: JSON.
    pub body: String,
}

impl Answered {
    /// There was no room for it.
    fn is_turned_away(&self) -> bool {
        matches!(self.status, 429 | 503)
    }

    /// It may come to something else later.
    fn may_be_retried(&self) -> bool {
        self.is_turned_away() || matches!(self.status, 408 | 500 | 502 | 504)
    }
}

fn now_s() -> u64 {
    clock::unix_ms() / 1_000
}

impl Kept {
    /// Works on batches for as long as the gateway runs; `ask` has a line answered.
    pub async fn work<F, A>(self: Arc<Self>, ask: F)
    where
        F: Fn(Asked) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Answered> + Send + 'static,
    {
        let (mut working, mut ids): (_, Vec<(task::Id, String)>) = (JoinSet::new(), Vec::new());
        loop {
            let unfinished = self.store.unfinished_batches().await.unwrap_or_default();
            for batch in unfinished {
                if working.len() < BATCHES_AT_ONCE && ids.iter().all(|(_, id)| *id != batch.id) {
                    let (kept, ask, id) = (Arc::clone(&self), ask.clone(), batch.id.clone());
                    let task = working.spawn(async move {
                        let id = batch.id.clone();
                        if let Err(why) = kept.run_batch(batch, ask).await {
                            tracing::error!("batch `{id}`: {why}");
                            tokio::time::sleep(LOOK_EVERY).await;
                        }
                        lock(&kept.cancelled).remove(&id);
                    });
                    ids.push((task.id(), id));
                }
            }
            tokio::select! {
                Some(done) = working.join_next_with_id() => {
                    let task = done.map_or_else(|panicked| panicked.id(), |(task, ())| task);
                    ids.retain(|(id, _)| *id != task);
                }
                () = self.batches.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    async fn run_batch<F, A>(self: &Arc<Self>, batch: Batch, ask: F) -> Result<(), Unavailable>
    where
        F: Fn(Asked) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Answered> + Send + 'static,
    {
        let content = self.store.file_content(&batch.tenant, &batch.input_file).await?;
        let text = match content.map(String::from_utf8) {
            Some(Ok(text)) => text,
            Some(Err(_)) => return self.refuse(batch, "The file must be UTF-8: a JSON object on each line.").await,
            None => return self.refuse(batch, "The file of requests is not kept any more.").await,
        };
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        if lines.is_empty() || lines.len() > LINES_MAX {
            let what = format!("The file must hold between 1 and {LINES_MAX} lines: it holds {}.", lines.len());
            return self.refuse(batch, &what).await;
        }
        self.store.begin_batch(&batch.id, lines.len() as u64).await?;
        let done: BTreeSet<u64> = self.store.lines_done(&batch.id).await?.into_iter().collect();
        let expires_s = batch.created_s + WINDOW_S;
        let (mut custom_ids, mut in_progress) = (BTreeSet::new(), JoinSet::new());
        let mut cancelled = batch.status == "cancelling";
        for (n, text) in (0_u64..).zip(lines) {
            let read = line(text, &batch.endpoint);
            let is_new = read.as_ref().is_ok_and(|line| custom_ids.insert(line.custom_id.clone()));
            if done.contains(&n) {
                continue;
            }
            cancelled |= lock(&self.cancelled).contains(&batch.id);
            let id = request_id(&batch, n);
            let why_not = match () {
                () if cancelled => Some(("batch_cancelled", "The batch was cancelled before this line was asked.")),
                () if now_s() >= expires_s => Some(("batch_expired", "The batch expired before this line was asked.")),
                () => None,
            };
            let failed = unasked(&read, is_new, why_not);
            if let Some((custom_id, code, message)) = failed {
                let text = unanswered(&id, custom_id.as_deref(), code, &message);
                self.store.add_line(&batch.id, Line { n, is_answer: false, text }).await?;
                continue;
            }
            let Ok(line) = read else { continue };
            while in_progress.len() >= LINES_AT_ONCE {
                kept_line(in_progress.join_next().await)?;
            }
            let asked = Asked {
                tenant: batch.tenant.clone(),
                key: batch.key.clone(),
                endpoint: batch.endpoint.clone(),
                body: Bytes::copy_from_slice(line.body.as_bytes()),
            };
            let (kept, ask, batch_id, custom_id) = (Arc::clone(self), ask.clone(), batch.id.clone(), line.custom_id);
            in_progress.spawn(async move {
                let answer = kept.ask_line(&batch_id, asked, ask, expires_s).await;
                let text = answered(&id, &custom_id, answer.status, &answer.request_id, &answer.body);
                let is_answer = (200..300).contains(&answer.status);
                kept.store.add_line(&batch_id, Line { n, is_answer, text }).await
            });
        }
        while let Some(done) = in_progress.join_next().await {
            kept_line(Some(done))?;
        }
        self.close_gaps(&batch, &text).await?;
        self.finish(batch).await
    }

    /// No line is left without anything, whatever became of it.
    async fn close_gaps(&self, batch: &Batch, text: &str) -> Result<(), Unavailable> {
        let done: BTreeSet<u64> = self.store.lines_done(&batch.id).await?.into_iter().collect();
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        for (n, text) in (0_u64..).zip(lines).filter(|(n, _)| !done.contains(n)) {
            let custom_id = line(text, &batch.endpoint).ok().map(|line| line.custom_id);
            let text = unanswered(
                &request_id(batch, n),
                custom_id.as_deref(),
                "server_error",
                "The gateway failed at this line.",
            );
            self.store.add_line(&batch.id, Line { n, is_answer: false, text }).await?;
        }
        Ok(())
    }

    /// Asks a line until something has come of it that stays.
    async fn ask_line<F, A>(&self, batch: &str, asked: Asked, ask: F, expires_s: u64) -> Answered
    where
        F: Fn(Asked) -> A,
        A: Future<Output = Answered>,
    {
        let (mut tries, mut pause) = (0, PAUSE);
        loop {
            let answer = ask(asked.clone()).await;
            tries += u32::from(!answer.is_turned_away());
            let is_over = tries >= TRIES_MAX || now_s() >= expires_s || lock(&self.cancelled).contains(batch);
            if is_over || !answer.may_be_retried() {
                return answer;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// The file of a batch cannot be used.
    async fn refuse(&self, mut batch: Batch, why: &str) -> Result<(), Unavailable> {
        batch.errors =
            json!([{"code": "invalid_file", "message": why, "param": "input_file_id", "line": null}]).to_string();
        ended(&mut batch, "failed");
        self.store.end_batch(batch, Vec::new()).await
    }

    /// Every line has come to something: that stands in files from now on.
    async fn finish(&self, batch: Batch) -> Result<(), Unavailable> {
        // Its counts and its state are what the store says.
        let Some(mut batch) = self.store.find_batch(&batch.tenant, &batch.id).await? else { return Ok(()) };
        let mut files = Vec::new();
        for (is_answer, kind) in [(true, "output"), (false, "error")] {
            let text = self.store.lines_text(&batch.id, is_answer).await?;
            if text.is_empty() {
                continue;
            }
            let file = StoredFile {
                id: format!("file-{}-{kind}", batch.id),
                tenant: batch.tenant.clone(),
                created_s: now_s(),
                purpose: "batch_output".into(),
                name: format!("{}_{kind}.jsonl", batch.id),
                bytes: text.len() as u64,
            };
            *(if is_answer { &mut batch.output_file } else { &mut batch.error_file }) = Some(file.id.clone());
            files.push((file, text));
        }
        let status = match batch.status.as_str() {
            "cancelling" => "cancelled",
            _ if now_s() >= batch.created_s + WINDOW_S => "expired",
            _ => "completed",
        };
        ended(&mut batch, status);
        self.store.end_batch(batch, files).await
    }
}

/// What a line's client knows it by, the code, and the words.
type Unasked = (Option<String>, &'static str, String);

/// Why a line is not asked, where it is not: it is no request, its `custom_id` is not new, or something else keeps it from that.
fn unasked(
    read: &Result<batch::Line<'_>, BrokenLine>,
    is_new: bool,
    why_not: Option<(&'static str, &str)>,
) -> Option<Unasked> {
    match (read, why_not) {
        (Err(broken), _) => Some((broken.custom_id.clone(), "invalid_request", broken.message.clone())),
        (Ok(line), _) if !is_new => {
            let text = "`custom_id` stands on an earlier line as well.".to_owned();
            Some((Some(line.custom_id.clone()), "duplicate_custom_id", text))
        }
        (Ok(line), Some((code, text))) => Some((Some(line.custom_id.clone()), code, text.to_owned())),
        (Ok(_), None) => None,
    }
}

/// The identifier of what came of a line.
fn request_id(batch: &Batch, n: u64) -> String {
    format!("batch_req_{}_{n}", batch.id.trim_start_matches("batch_"))
}

/// A batch has ended so.
fn ended(batch: &mut Batch, status: &str) {
    let mut times: Value = serde_json::from_str(&batch.times).unwrap_or_default();
    if status == "completed" {
        times["finalizing_at"] = now_s().into();
    }
    times[format!("{status}_at")] = now_s().into();
    (batch.status, batch.times) = (status.to_owned(), times.to_string());
}

/// A line that was asked is kept.
fn kept_line(done: Option<Result<Result<(), Unavailable>, tokio::task::JoinError>>) -> Result<(), Unavailable> {
    match done {
        // What became of one that panicked is said at the end.
        None | Some(Err(_)) => Ok(()),
        Some(Ok(kept)) => kept,
    }
}
