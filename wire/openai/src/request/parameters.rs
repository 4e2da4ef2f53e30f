//! Parameters that engines take beside the API's own, at the top of a body and in the objects that some nest them in.

use std::ops::Range;

use super::{Cut, Refusal, Scan, whole_number};
use rhumb_json::{Kind, Walker};

/// Names under which engines take a length of the answer: the most of it, or the least.
const LENGTHS: &[&str] = &[
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "max_new_tokens",
    "max_gen_tokens",
    "max_gen_len",
    "max_length",
    "n_predict",
    "num_predict",
    "min_tokens",
    "min_completion_tokens",
    "min_new_tokens",
    "min_length",
];

/// Names under which engines take a number of answers.
const CHOICES: &[&str] = &["n", "best_of", "n_cmpl", "num_return_sequences", "num_beams", "beam_width"];

/// Objects in which engines or their front ends take parameters again.
const NESTS: &[&str] = &["options", "extra_body", "sampling_params", "parameters", "generation_config", "nvext"];

/// Names of the salt that an engine keys its cache by: the gateway alone may set it.
const SALTS: &[&str] = &["cache_salt", "extra_key"];

/// Walks the value of a member that is none of the API's own.
pub(super) fn other(
    w: &mut Walker<'_>,
    body: &[u8],
    s: &mut Scan,
    steering: &[&str],
    (key, name): (&Range<usize>, &str),
) -> Result<(), Refusal> {
    if let Some(field) = LENGTHS.iter().find(|n| **n == name) {
        let asked = number(w, body)?;
        length(s, field, asked);
    } else if CHOICES.contains(&name) {
        s.request.n = s.request.n.max(number(w, body)?.unwrap_or(1));
    } else if NESTS.contains(&name) && w.next_is(b'{') {
        w.members::<Refusal>(|w, key, name| other(w, body, s, steering, (&key, name)))?;
    } else {
        let (kind, span) = w.value()?;
        let param = steering.iter().position(|p| *p == name);
        if param.is_some() || SALTS.contains(&name) {
            s.cut.push(Cut { param, span: key.start..span.end });
        }
        s.request.prompt.truncated |= is_truncation(name) && !matches!(kind, Kind::Null | Kind::Bool(false));
    }
    Ok(())
}

/// Has the engine cut prompts that are too long.
fn is_truncation(name: &str) -> bool {
    matches!(name, "truncate_prompt_tokens" | "truncate" | "truncation")
}

/// An answer of so many tokens is asked for.
pub(super) fn length(s: &mut Scan, field: &'static str, asked: Option<u64>) {
    if let Some(asked) = asked
        && s.request.longest_answer.is_none_or(|(_, longest)| asked > longest)
    {
        s.request.longest_answer = Some((field, asked));
    }
}

/// A number as an engine might read it. What is no whole number (−1 for as much as fits, say) may mean anything, so it counts
/// as the most there is.
fn number(w: &mut Walker<'_>, body: &[u8]) -> Result<Option<u64>, Refusal> {
    let (kind, span) = w.value()?;
    Ok((kind != Kind::Null).then(|| whole_number(&body[span]).unwrap_or(u64::MAX)))
}
