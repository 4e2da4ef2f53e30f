//! From the events of a response that is made in the background to what is kept and told of it.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use rhumb_api::ApiError;
use rhumb_responses::kept::{Noted, cancelled, failed, failed_event, note};
use rhumb_sse::{Splitter, events};

use crate::keep::Keep;
use crate::run::Run;

/// A response that is being made. Dropped, it ends for those who follow it, whatever became of it.
pub struct Making {
    run: Arc<Run>,
    keep: Keep,
    /// It has become what it is, and nothing else.
    has_ended: AtomicBool,
}

/// How often is tried to keep what a response has become, and the pause between: nobody has it otherwise.
const TRIES_MAX: u32 = 8;
const PAUSE: Duration = Duration::from_millis(250);

impl Making {
    /// Of what is followed by `run`, and kept so.
    pub fn new(run: Arc<Run>, keep: Keep) -> Self {
        Self { run, keep, has_ended: AtomicBool::new(false) }
    }

    /// How it is kept.
    pub fn keep(&self) -> &Keep {
        &self.keep
    }

    /// Takes its events to the end of the stream: what ends the response is not the last that its endpoint has to say.
    pub async fn follow(&self, mut next: impl FnMut(&mut Context<'_>) -> Poll<Option<Bytes>>) {
        let mut splitter = Splitter::default();
        while let Some(piece) = poll_fn(&mut next).await {
            let Ok(whole) = splitter.push(piece) else { break };
            for event in events(&whole) {
                let Some(data) = &event.data else { continue };
                let raw = Bytes::copy_from_slice(event.raw);
                match note(data) {
                    Some(Noted::Ended(object)) => {
                        self.end(object, Some(raw)).await;
                        continue;
                    }
                    Some(Noted::Item(item)) => self.run.item(serde_json::from_str(item).unwrap_or_default()),
                    None => {}
                }
                self.run.tell(raw);
            }
        }
        if !self.has_ended.load(Ordering::Relaxed) {
            self.fail(&ApiError::stream_broken()).await;
        }
    }

    /// It has failed before anything of it was made; false where it was never accepted, so that nobody knows of it.
    pub async fn fail(&self, error: &ApiError) -> bool {
        let Some(queued) = self.run.queued() else { return false };
        let object = failed(queued, error);
        self.end(&object, Some(failed_event(&object).into())).await;
        true
    }

    /// Its client has called it off. What has ended stays as it is.
    pub async fn call_off(&self) {
        let object = cancelled(self.run.queued().unwrap_or_default(), self.run.items());
        self.end(&object, None).await;
    }

    /// Until its client calls it off before it has ended.
    pub async fn called_off(&self) {
        self.run.called_off().await;
        if self.has_ended.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }

    /// The response has become what it is: it is kept, and then it is told so. What it becomes later is nothing.
    async fn end(&self, object: &str, event: Option<Bytes>) {
        if self.has_ended.swap(true, Ordering::Relaxed) {
            return;
        }
        let mut events = self.run.events();
        events.extend(event.iter().flatten());
        let mut pause = PAUSE;
        for _ in 0..TRIES_MAX {
            let Err(why) = self.keep.put(object, Some(events.clone())).await else { break };
            tracing::error!("response `{}`: {why}", self.keep.id());
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        if let Some(event) = event {
            self.run.tell(event);
        }
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        self.run.end();
    }
}
