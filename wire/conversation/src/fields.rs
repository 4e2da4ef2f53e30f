//! Reading the members of a JSON body so that each error names its field.

use std::borrow::Cow;
use std::collections::BTreeMap;

use rhumb_api::ApiError;
use rhumb_json::{Limits, Walker};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::Text;

/// The members of an object, unread.
pub type Members<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

/// A string, borrowed also inside of options and lists.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct Str<'a>(#[serde(borrow)] pub Text<'a>);

/// The members of a body that came from outside; those that are `null` are as good as absent.
///
/// # Errors
/// It is malformed or hostile, or no object.
pub fn members(body: &[u8]) -> Result<Members<'_>, ApiError> {
    let mut walker = Walker::new(body, Limits::default()).map_err(ApiError::not_json)?;
    walker.value().and_then(|_| walker.end()).map_err(ApiError::not_json)?;
    let mut members: Members<'_> =
        serde_json::from_slice(body).map_err(|_| ApiError::invalid("The request body must be a JSON object."))?;
    members.retain(|_, raw| raw.get() != "null");
    Ok(members)
}

/// A value of a type.
///
/// # Errors
/// It is of another; `what` says what it must be.
pub fn parse<'a, T: Deserialize<'a>>(raw: &'a RawValue, field: &str, what: &str) -> Result<T, ApiError> {
    serde_json::from_str(raw.get()).map_err(|_| invalid(field, what))
}

/// A string.
///
/// # Errors
/// It is none.
pub fn string<'a>(raw: &'a RawValue, field: &str) -> Result<Text<'a>, ApiError> {
    parse::<Str<'a>>(raw, field, "must be a string").map(|text| text.0)
}

/// A field is not what it should be.
pub fn invalid(field: &str, what: &str) -> ApiError {
    ApiError::invalid(format!("`{field}` {what}.")).with_param(field)
}

/// Words of a client's own, short enough for an error.
pub fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}
