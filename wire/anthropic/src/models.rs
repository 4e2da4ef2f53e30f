//! Lists of models.

use serde_json::{Value, json};

/// One model, and the longest prompt plus answer in tokens. Nobody knows when it was made: the time is that of nothing.
pub fn entry(id: &str, context_tokens: Option<u32>) -> Value {
    let mut model = json!({"type": "model", "id": id, "display_name": id, "created_at": "1970-01-01T00:00:00Z"});
    if let Some(tokens) = context_tokens {
        model["max_input_tokens"] = tokens.into();
    }
    model
}

/// All of them, on one page.
pub fn list(entries: &[Value]) -> Value {
    let id = |entry: Option<&Value>| entry.map_or(Value::Null, |entry| entry["id"].clone());
    json!({"data": entries, "has_more": false, "first_id": id(entries.first()), "last_id": id(entries.last())})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d45_a_list_names_its_first_and_last_model_and_their_contexts() {
        let models = [("a", Some(8_192)), ("b", None)].map(|(id, context_tokens)| entry(id, context_tokens));
        let list = list(&models);
        assert_eq!((&list["first_id"], &list["last_id"], &list["has_more"]), (&json!("a"), &json!("b"), &json!(false)));
        assert_eq!(list["data"][0]["max_input_tokens"], 8_192);
        assert_eq!(super::list(&[])["first_id"], Value::Null);
    }
}
