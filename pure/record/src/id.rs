//! Ids of requests, which are those of their decisions and rows.

/// Crockford's base 32: no letter that looks like another.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// An id as people see it, 13 characters.
pub fn format_id(id: u64) -> String {
    (0..13).rev().map(|i| DIGITS[(id >> (i * 5)) as usize & 31] as char).collect()
}

/// The id that [`format_id`] wrote.
pub fn parse_id(text: &str) -> Option<u64> {
    if text.len() != 13 {
        return None;
    }
    text.bytes().try_fold(0u64, |id, b| {
        let digit = DIGITS.iter().position(|d| *d == b.to_ascii_lowercase())?;
        id.checked_mul(32)?.checked_add(digit as u64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_being_written() {
        for id in [0, 1, 31, 32, 0x1234_5678_9abc_def0, u64::MAX >> 1, u64::MAX] {
            assert_eq!(parse_id(&format_id(id)), Some(id));
        }
        assert_eq!(parse_id("short"), None);
        assert_eq!(parse_id("uuuuuuuuuuuuu"), None);
        assert_eq!(parse_id("zzzzzzzzzzzzz"), None);
        assert_eq!(parse_id("000000000000A"), Some(10));
    }
}
