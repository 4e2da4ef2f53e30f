//! The paths of files.

use bytes::Bytes;
use http::Method;
use rhumb_api::ApiError;
use rhumb_openai::batch::{File, file_deleted};
use rhumb_openai::request::upload;
use rhumb_process::clock;
use rhumb_store::responses::StoredFile;
use serde_json::Value;

use crate::paths::{Found, Question, methods};
use crate::{Kept, unavailable};

impl Kept {
    pub(crate) async fn files(&self, question: &Question<'_>, parts: &[&str]) -> Result<Found, ApiError> {
        match (parts, question.method) {
            ([], &Method::POST) => self.upload(question).await,
            ([], &Method::GET) => {
                let files = self.store.files(question.tenant).await.map_err(|why| unavailable(&why))?;
                let purpose = question.parameters().find(|(name, _)| *name == "purpose").map(|(_, value)| value);
                let wanted =
                    files.iter().filter(|file| purpose.as_ref().is_none_or(|purpose| file.purpose == *purpose));
                Ok(Found::Object(question.page()?.of(wanted.map(object).collect())?))
            }
            ([], _) => Err(methods("GET and POST")),
            ([id], &Method::GET) => {
                let found = self.store.find_file(question.tenant, id).await.map_err(|why| unavailable(&why))?;
                found.map(|file| Found::Object(object(&file).to_string())).ok_or_else(no_file)
            }
            ([id], &Method::DELETE) => {
                let gone = self.store.forget_file(question.tenant, id).await.map_err(|why| unavailable(&why))?;
                if gone { Ok(Found::Object(file_deleted(id).to_string())) } else { Err(no_file()) }
            }
            ([_], _) => Err(methods("GET and DELETE")),
            ([id, "content"], &Method::GET) => {
                let content = self.store.file_content(question.tenant, id).await.map_err(|why| unavailable(&why))?;
                content.map(|content| Found::Content(Bytes::from(content))).ok_or_else(no_file)
            }
            ([_, "content"], _) => Err(methods("GET")),
            _ => Err(ApiError::not_found("There is no such path below /v1/files: there are /ID and /ID/content.")),
        }
    }

    async fn upload(&self, question: &Question<'_>) -> Result<Found, ApiError> {
        let found = upload(question.body, question.boundary.ok_or_else(ApiError::no_form)?)?;
        let content = question.body[found.content].to_vec();
        let file = StoredFile {
            id: format!("file-{}", question.number),
            tenant: question.tenant.to_owned(),
            created_s: clock::unix_ms() / 1_000,
            purpose: found.purpose,
            name: found.name,
            bytes: content.len() as u64,
        };
        let object = object(&file).to_string();
        self.store.keep_file(file, content).await.map_err(|why| unavailable(&why))?;
        Ok(Found::Object(object))
    }
}

fn object(file: &StoredFile) -> Value {
    let StoredFile { id, created_s, purpose, name, bytes, .. } = file;
    File { id, bytes: *bytes, created_s: *created_s, name, purpose }.object()
}

fn no_file() -> ApiError {
    ApiError::not_found("There is no such file.").with_param("file_id")
}
