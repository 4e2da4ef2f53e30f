//! What was said before.

use rusqlite::Connection;

use crate::responses::conversations;

/// What was said before, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// JSON arrays of items.
    pub items: Vec<String>,
    /// The conversation, or the first of the responses: what all that follows it has in common.
    pub root: String,
}

/// Why there is no history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Forgotten {
    /// It, or something before it, is not kept: it never was, was deleted or is too old, or it is another tenant's.
    Unknown,
    /// It has not ended as something to go on with, but has this status.
    Unfinished(String),
    /// It is longer than the limit.
    TooLong,
}

/// Responses that may follow one another.
const LINKS_MAX: u32 = 10_000;

/// From a response back to the first one that it goes on with.
const CHAIN: &str = "
    with recursive chain (id, previous, depth) as (
        select id, previous, 0 from responses where id = ?1 and tenant = ?2
        union all
        select r.id, r.previous, depth + 1 from responses r join chain c on r.id = c.previous
        where r.tenant = ?2 and depth < ?3
    )
    select r.status, r.previous, r.input, json_extract(r.object, '$.output'), r.id
    from chain join responses r on r.id = chain.id order by depth";

pub(super) fn up_to(
    db: &Connection,
    tenant: &str,
    id: &str,
    bytes_max: u64,
) -> rusqlite::Result<Result<History, Forgotten>> {
    let mut chain = db.prepare_cached(CHAIN)?;
    let mut rows = chain.query((id, tenant, LINKS_MAX))?;
    let (mut items, mut bytes, mut before, mut root) = (Vec::new(), 0, Some(id.to_owned()), String::new());
    while let Some(row) = rows.next()? {
        let status: String = row.get(0)?;
        if items.is_empty() && !matches!(status.as_str(), "completed" | "incomplete") {
            return Ok(Err(Forgotten::Unfinished(status)));
        }
        (before, root) = (row.get(1)?, row.get(4)?);
        let (input, output): (String, Option<String>) = (row.get(2)?, row.get(3)?);
        let output = output.unwrap_or_else(|| "[]".into());
        bytes += (input.len() + output.len()) as u64;
        if bytes > bytes_max {
            return Ok(Err(Forgotten::TooLong));
        }
        items.extend([output, input]);
    }
    if before.is_some() {
        return Ok(Err(Forgotten::Unknown));
    }
    items.reverse();
    Ok(Ok(History { items, root }))
}

pub(super) fn said_in(
    db: &Connection,
    tenant: &str,
    id: &str,
    bytes_max: u64,
) -> rusqlite::Result<Result<History, Forgotten>> {
    let items = conversations::items(db, tenant, id, bytes_max)?;
    Ok(items.map(|items| History { items: vec![format!("[{}]", items.join(","))], root: id.to_owned() }))
}
