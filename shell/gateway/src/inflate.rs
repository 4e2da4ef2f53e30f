//! Request bodies that come compressed.

use std::io::Read;

use bytes::{Bytes, BytesMut};
use flate2::bufread::{MultiGzDecoder, ZlibDecoder};
use http::{HeaderMap, header};
use rhumb_api::ApiError;

use crate::resource_limits::Held;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Gzip,
    Deflate,
}

/// Most that is inflated at once: other requests of the thread have a turn after each.
const TURN_BYTES: usize = 64 << 10;

/// How the body of a request is compressed; `None`: it is not.
///
/// # Errors
/// In a way that is not read here.
pub(crate) fn coding(headers: &HeaderMap) -> Result<Option<Coding>, ApiError> {
    let Some(coding) = headers.get(header::CONTENT_ENCODING) else { return Ok(None) };
    match coding.as_bytes().trim_ascii().to_ascii_lowercase().as_slice() {
        b"identity" => Ok(None),
        b"gzip" | b"x-gzip" => Ok(Some(Coding::Gzip)),
        b"deflate" => Ok(Some(Coding::Deflate)),
        _ => Err(ApiError::encoding()),
    }
}

/// Not a part of its caller: its tables of some 40 KiB would be part of the stack of every request.
#[cold]
#[inline(never)]
fn reader(coding: Coding, body: &[u8]) -> Box<dyn Read + Send + '_> {
    match coding {
        Coding::Gzip => Box::new(MultiGzDecoder::new(body)),
        Coding::Deflate => Box::new(ZlibDecoder::new(body)),
    }
}

/// What a body says that may be compressed, up to `limit` bytes of it.
///
/// # Errors
/// It is longer, there is no room for it, or it is not compressed as it should be.
pub(crate) async fn inflate(
    coding: Option<Coding>,
    body: Bytes,
    limit: u64,
    held: &mut Held<'_>,
) -> Result<Bytes, ApiError> {
    let Some(coding) = coding else { return Ok(body) };
    let mut reader = reader(coding, &body);
    let mut turn = vec![0; TURN_BYTES];
    let mut all = BytesMut::new();
    loop {
        let read = reader.read(&mut turn).map_err(|_| {
            let text = "The request body is not compressed as `content-encoding` says, or is cut short.";
            ApiError::invalid(text).with_param("content-encoding")
        })?;
        if read == 0 {
            return Ok(all.freeze());
        }
        if (all.len() + read) as u64 > limit {
            return Err(ApiError::too_large(limit));
        }
        held.grow(read)?;
        all.extend_from_slice(&turn[..read]);
        tokio::task::yield_now().await;
    }
}
