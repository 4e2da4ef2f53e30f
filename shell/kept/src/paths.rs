//! The paths of what is kept: responses, conversations and their items.

use std::future::poll_fn;
use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use percent_encoding::percent_decode_str;
use rhumb_api::ApiError;
use rhumb_process::clock;
use rhumb_responses::kept;
use rhumb_responses::kept::Page;
use rhumb_sse::events;
use rhumb_store::responses::{Conversation, Forgotten, KeptResponse};
use serde_json::Value;

use crate::following::Following;
use crate::run::Run;
use crate::{Kept, unavailable};

const RESPONSES: &str = "/v1/responses/";
const CONVERSATIONS: &str = "/v1/conversations";
const FILES: &str = "/v1/files";
const BATCHES: &str = "/v1/batches";

/// The path is one of these.
pub fn are_at(path: &str) -> bool {
    let is_below = |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    path.starts_with(RESPONSES) || [CONVERSATIONS, FILES, BATCHES].into_iter().any(is_below)
}

/// Why there is nothing where nothing is kept.
pub fn nothing(path: &str) -> ApiError {
    if path.starts_with(FILES) || path.starts_with(BATCHES) {
        let text = "Files and batches are kept where `gateway.kept_max_age_days` is set, which it is not here.";
        return ApiError::not_found(text);
    }
    ApiError::previous_not_found(if path.starts_with(RESPONSES) { "response_id" } else { "conversation_id" })
}

/// What is found.
pub enum Found {
    /// JSON.
    Object(String),
    /// Events, all of which have been made.
    Events(Bytes),
    /// Events that are being made.
    Following(Box<Following>),
    /// The content of a file.
    Content(Bytes),
}

/// A request for what is kept.
pub struct Question<'a> {
    /// Whose it is.
    pub tenant: &'a str,
    /// Name of the key that it is asked with.
    pub key: &'a str,
    /// The boundary of its body, where that is a form.
    pub boundary: Option<&'a str>,
    /// `GET`, `POST` or `DELETE`.
    pub method: &'a Method,
    /// The path, without the query.
    pub path: &'a str,
    /// The query, as it came.
    pub query: &'a str,
    /// The body.
    pub body: &'a [u8],
    /// A number of its own, for what it makes.
    pub number: &'a str,
    /// Most bytes that one thing may have.
    pub bytes_max: u64,
}

impl Kept {
    /// Answers a request.
    ///
    /// # Errors
    /// There is no such thing of this tenant's, or the request cannot be read.
    pub async fn answer(&self, question: &Question<'_>) -> Result<Found, ApiError> {
        if let Some(rest) = question.path.strip_prefix(RESPONSES) {
            let (id, what) = rest.split_once('/').unwrap_or((rest, ""));
            return self.response(question, id, what).await;
        }
        let parts: Vec<&str> = question.path.split('/').skip(3).collect();
        if question.path.starts_with(FILES) {
            return self.files(question, &parts).await;
        }
        if question.path.starts_with(BATCHES) {
            return self.batches(question, &parts).await.map(Found::Object);
        }
        self.conversations(question, &parts).await.map(Found::Object)
    }
}

pub(crate) fn methods(allowed: &str) -> ApiError {
    ApiError::method_not_allowed(allowed)
}

impl Question<'_> {
    pub(crate) fn parameters(&self) -> impl Iterator<Item = (&str, String)> {
        self.query.split('&').filter_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            Some((name, percent_decode_str(value).decode_utf8_lossy().into_owned()))
        })
    }

    /// What its body says.
    fn said(&self) -> Result<kept::Said, ApiError> {
        kept::said(self.body, self.number)
    }

    pub(crate) fn page(&self) -> Result<Page, ApiError> {
        let mut page = Page::default();
        self.parameters().try_for_each(|(name, value)| page.parameter(name, &value))?;
        Ok(page)
    }
}

impl Kept {
    async fn response(&self, question: &Question<'_>, id: &str, what: &str) -> Result<Found, ApiError> {
        let not_found = || ApiError::previous_not_found("response_id");
        let of_it = matches!(what, "" | "cancel" | "input_items");
        if !of_it || id == "compact" {
            let text = "There is no such path below /v1/responses: there are /ID, /ID/cancel, /ID/input_items and /input_tokens.";
            return Err(ApiError::not_found(text));
        }
        let allowed = match what {
            "cancel" => "POST",
            "input_items" => "GET",
            _ => "GET and DELETE",
        };
        let found = async {
            let found = self.store.find(question.tenant, id).await.map_err(|why| unavailable(&why))?;
            found.ok_or_else(not_found)
        };
        // Looked up first: one that ends meanwhile is followed to its end, and is in the store by then.
        let run = self.run(id);
        match (what, question.method) {
            ("", &Method::GET) => self.show(question, run, found.await?).await,
            ("", &Method::DELETE) => {
                self.call_off(&found.await?.id).await;
                let gone = self.store.forget(question.tenant, id).await.map_err(|why| unavailable(&why))?;
                if gone { Ok(Found::Object(kept::deleted(id))) } else { Err(not_found()) }
            }
            ("cancel", &Method::POST) => self.cancel(question, found.await?).await,
            ("input_items", &Method::GET) => {
                let items: Vec<Value> = serde_json::from_str(&found.await?.input).unwrap_or_default();
                Ok(Found::Object(question.page()?.of(items)?))
            }
            _ => Err(methods(allowed)),
        }
    }

    /// A response as it is now, or its events.
    async fn show(
        &self,
        question: &Question<'_>,
        run: Option<Arc<Run>>,
        found: KeptResponse,
    ) -> Result<Found, ApiError> {
        let (mut stream, mut next) = (false, 0);
        for (name, value) in question.parameters() {
            match name {
                "stream" => stream = value == "true",
                "starting_after" => {
                    let number: Option<usize> = value.parse().ok();
                    let what = "`starting_after` must be the `sequence_number` of an event.";
                    let number = number.and_then(|number| number.checked_add(1));
                    next = number.ok_or_else(|| ApiError::invalid(what).with_param("starting_after"))?;
                }
                _ => {}
            }
        }
        if !stream {
            let begun = run.is_some_and(|run| run.has_begun()) && !found.has_ended();
            return Ok(Found::Object(if begun { kept::in_progress(&found.object) } else { found.object }));
        }
        if let Some(run) = run {
            return Ok(Found::Following(Box::new(Following::new(run, next))));
        }
        let all = self.store.events(question.tenant, &found.id).await.map_err(|why| unavailable(&why))?;
        let Some(all) = all else {
            let text =
                "`stream` must be false: the events are kept of responses that are made with `background: true` only.";
            return Err(ApiError::invalid(text).with_param("stream"));
        };
        let rest: Vec<u8> = events(&all).skip(next).flat_map(|event| event.raw).copied().collect();
        Ok(Found::Events(rest.into()))
    }

    /// Calls a response off, as it is then.
    async fn cancel(&self, question: &Question<'_>, found: KeptResponse) -> Result<Found, ApiError> {
        if found.has_ended() {
            if kept::is_background(&found.object) {
                return Ok(Found::Object(found.object));
            }
            let text =
                "`response_id` names a response that was not made with `background: true`: end its connection instead.";
            return Err(ApiError::invalid(text).with_param("response_id"));
        }
        self.call_off(&found.id).await;
        let now = self.store.find(question.tenant, &found.id).await.map_err(|why| unavailable(&why))?;
        Ok(Found::Object(now.ok_or_else(|| ApiError::previous_not_found("response_id"))?.object))
    }

    /// Calls a response off that is being made, and waits until it has ended.
    async fn call_off(&self, id: &str) {
        let Some(run) = self.run(id) else { return };
        run.cancel();
        let mut following = Following::new(Arc::clone(&run), run.count());
        while poll_fn(|cx| following.poll_bytes(cx)).await.is_some() {}
    }

    async fn conversations(&self, question: &Question<'_>, parts: &[&str]) -> Result<String, ApiError> {
        match (parts, question.method) {
            ([], &Method::POST) => {
                let said = question.said()?;
                let conversation = Conversation {
                    id: format!("conv_{}", question.number),
                    tenant: question.tenant.to_string(),
                    created_s: clock::unix_ms() / 1_000,
                    metadata: said.metadata.unwrap_or_else(|| "{}".into()),
                };
                let (object, items) = (object(&conversation), Value::from(said.items).to_string());
                let begun = self.store.begin_conversation(conversation, items).await;
                begun.map_err(|why| unavailable(&why))?;
                Ok(object)
            }
            ([], _) => Err(methods("POST")),
            ([id], &Method::GET) => Ok(object(&self.conversation(question, id).await?)),
            ([id], &Method::POST) => {
                let said = question.said()?;
                if let Some(metadata) = said.metadata {
                    let noted = self.store.note_conversation(question.tenant, id, metadata).await;
                    noted.map_err(|why| unavailable(&why))?.then_some(()).ok_or_else(no_conversation)?;
                }
                self.add_items(question, id, &said.items).await?;
                Ok(object(&self.conversation(question, id).await?))
            }
            ([id], &Method::DELETE) => {
                let gone =
                    self.store.forget_conversation(question.tenant, id).await.map_err(|why| unavailable(&why))?;
                if gone { Ok(kept::conversation_deleted(id)) } else { Err(no_conversation()) }
            }
            ([id, "items"], &Method::GET) => question.page()?.of(self.items(question, id).await?),
            ([id, "items"], &Method::POST) => {
                let said = question.said()?;
                self.add_items(question, id, &said.items).await?;
                Page { limit: usize::MAX, ascending: true, after: None }.of(said.items)
            }
            ([id, "items", item], &Method::GET) => {
                let found = self.items(question, id).await?.into_iter().find(|i| i["id"] == **item);
                found.map(|item| item.to_string()).ok_or_else(no_item)
            }
            ([id, "items", item], &Method::DELETE) => {
                let conversation = self.conversation(question, id).await?;
                let gone = self.store.forget_item(id, item).await.map_err(|why| unavailable(&why))?;
                if gone { Ok(object(&conversation)) } else { Err(no_item()) }
            }
            ([_], _) => Err(methods("GET, POST and DELETE")),
            ([_, "items"], _) => Err(methods("GET and POST")),
            ([_, "items", _], _) => Err(methods("GET and DELETE")),
            _ => {
                let text = "There is no such path below /v1/conversations: there are /ID, /ID/items and /ID/items/ID.";
                Err(ApiError::not_found(text))
            }
        }
    }

    async fn conversation(&self, question: &Question<'_>, id: &str) -> Result<Conversation, ApiError> {
        let found = self.store.find_conversation(question.tenant, id).await.map_err(|why| unavailable(&why))?;
        found.ok_or_else(no_conversation)
    }

    async fn items(&self, question: &Question<'_>, id: &str) -> Result<Vec<Value>, ApiError> {
        let items = self.store.items(question.tenant, id, question.bytes_max).await.map_err(|why| unavailable(&why))?;
        let items = items.map_err(|why| unusable(&why, question.bytes_max))?;
        Ok(items.iter().filter_map(|item| serde_json::from_str(item).ok()).collect())
    }

    async fn add_items(&self, question: &Question<'_>, id: &str, items: &[Value]) -> Result<(), ApiError> {
        let (items, most) = (Value::from(items.to_vec()).to_string(), question.bytes_max);
        let added = self.store.add_items(question.tenant, id, items, most).await.map_err(|why| unavailable(&why))?;
        added.map_err(|why| unusable(&why, most))
    }
}

/// Why a conversation cannot be used, which may have so many bytes.
fn unusable(why: &Forgotten, bytes_max: u64) -> ApiError {
    match why {
        Forgotten::TooLong => ApiError::too_large(bytes_max).with_param("conversation_id"),
        Forgotten::Unknown | Forgotten::Unfinished(_) => no_conversation(),
    }
}

fn object(conversation: &Conversation) -> String {
    let Conversation { id, created_s, metadata, .. } = conversation;
    kept::conversation_object(id, *created_s, metadata)
}

fn no_conversation() -> ApiError {
    ApiError::previous_not_found("conversation_id")
}

fn no_item() -> ApiError {
    ApiError::previous_not_found("item_id")
}
