//! The paths of batches.

use http::Method;
use rhumb_api::ApiError;
use rhumb_openai::batch;
use rhumb_openai::batch::wanted;
use rhumb_process::clock;
use rhumb_store::responses::Batch;
use serde_json::Value;

use crate::paths::{Question, methods};
use crate::{Kept, lock, unavailable};

impl Kept {
    pub(crate) async fn batches(&self, question: &Question<'_>, parts: &[&str]) -> Result<String, ApiError> {
        match (parts, question.method) {
            ([], &Method::POST) => self.begin_batch(question).await,
            ([], &Method::GET) => {
                let batches = self.store.batches(question.tenant).await.map_err(|why| unavailable(&why))?;
                question.page()?.of(batches.iter().map(object).collect())
            }
            ([], _) => Err(methods("GET and POST")),
            ([id], &Method::GET) => Ok(object(&self.batch(question, id).await?).to_string()),
            ([_], _) => Err(methods("GET")),
            ([id, "cancel"], &Method::POST) => {
                let found = self.batch(question, id).await?;
                if self.store.cancel_batch(question.tenant, id).await.map_err(|why| unavailable(&why))? {
                    lock(&self.cancelled).insert(found.id);
                    self.batches.notify_one();
                }
                Ok(object(&self.batch(question, id).await?).to_string())
            }
            ([_, "cancel"], _) => Err(methods("POST")),
            _ => Err(ApiError::not_found("There is no such path below /v1/batches: there are /ID and /ID/cancel.")),
        }
    }

    async fn batch(&self, question: &Question<'_>, id: &str) -> Result<Batch, ApiError> {
        let found = self.store.find_batch(question.tenant, id).await.map_err(|why| unavailable(&why))?;
        found.ok_or_else(|| ApiError::not_found("There is no such batch.").with_param("batch_id"))
    }

    async fn begin_batch(&self, question: &Question<'_>) -> Result<String, ApiError> {
        let wanted = wanted(question.body)?;
        let file = self.store.find_file(question.tenant, &wanted.input_file).await.map_err(|why| unavailable(&why))?;
        if file.is_none_or(|file| file.purpose != "batch") {
            let text = "`input_file_id` names no file of yours that has the purpose `batch`.";
            return Err(ApiError::invalid(text).with_param("input_file_id"));
        }
        let batch = Batch {
            id: format!("batch_{}", question.number),
            tenant: question.tenant.to_owned(),
            key: question.key.to_owned(),
            created_s: clock::unix_ms() / 1_000,
            status: "validating".into(),
            input_file: wanted.input_file,
            endpoint: wanted.endpoint,
            metadata: wanted.metadata,
            times: "{}".into(),
            errors: "[]".into(),
            ..Batch::default()
        };
        let object = object(&batch).to_string();
        self.store.keep_batch(batch).await.map_err(|why| unavailable(&why))?;
        self.batches.notify_one();
        Ok(object)
    }
}

fn object(b: &Batch) -> Value {
    let batch = batch::Batch {
        id: &b.id,
        status: &b.status,
        input_file: &b.input_file,
        endpoint: &b.endpoint,
        created_s: b.created_s,
        times: &b.times,
        metadata: &b.metadata,
        output_file: b.output_file.as_deref(),
        error_file: b.error_file.as_deref(),
        counts: b.counts,
        errors: &b.errors,
    };
    batch.object()
}
