//! `rhumb sessions`.

use std::fmt::Write as _;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rhumb_process::clock;
use rhumb_sessions::SessionNow;

use crate::ask::Admin;
use rhumb_cli::exit::{self, Failure, Outcome};
use rhumb_cli::out;
use rhumb_cli::table;

/// Arguments of `rhumb sessions`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Name of a session, as its client gives it: shows where it was served as well; without one, the sessions used last are listed
    name: Option<String>,
    #[command(flatten)]
    admin: Admin,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let path = match &args.name {
        None => "/admin/v1/sessions".to_owned(),
        Some(name) => format!("/admin/v1/sessions/{}", utf8_percent_encode(name, NON_ALPHANUMERIC)),
    };
    let answer = args.admin.ask("GET", &path, b"")?;
    let sessions: Vec<SessionNow> = serde_json::from_slice(&answer)
        .map_err(|e| args.admin.unreachable(&format!("its answer is no list of sessions: {e}")))?;
    if args.json {
        out::line(serde_json::to_string(&sessions).map_err(|e| Failure::new(1, e))?)?;
    } else if sessions.is_empty() {
        out::note(
            "no session has been seen: a client names one in `x-rhumb-session`, and agents name theirs by themselves",
        );
    } else {
        out::print(human(&sessions, clock::unix_ms()))?;
        if args.name.is_some() {
            sessions.iter().try_for_each(|session| out::print(moves(session)))?;
        }
    }
    Ok(exit::DONE)
}

fn human(sessions: &[SessionNow], now_ms: u64) -> String {
    let row = |s: &SessionNow| {
        let prompt = s.tokens - s.completion_tokens.min(s.tokens);
        let cached = (s.cached_tokens * 100).checked_div(prompt).map_or("-".to_owned(), |share| format!("{share} %"));
        vec![
            s.session.clone(),
            if s.tenant.is_empty() { "-".to_owned() } else { s.tenant.clone() },
            s.steps.to_string(),
            s.at_once.to_string(),
            s.tokens.to_string(),
            cached,
            format!("{:.4}", s.usd),
            lasted(s.last_unix_ms.saturating_sub(s.first_unix_ms)),
            lasted(now_ms.saturating_sub(s.last_unix_ms)),
            s.endpoint.clone().unwrap_or_else(|| "-".to_owned()),
            s.moved.to_string(),
            s.stopped_by.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    };
    let head = [
        "session",
        "tenant",
        ">steps",
        ">at once",
        ">tokens",
        ">cached",
        ">USD",
        ">lasted",
        ">idle",
        "endpoint",
        ">moves",
        "stopped by",
    ];
    table(&head, &sessions.iter().map(row).collect::<Vec<_>>())
}

/// The last moves of a session, each with the decision that tells why.
fn moves(session: &SessionNow) -> String {
    let mut text = String::new();
    for m in &session.moves {
        let at = lasted(m.at_unix_ms.saturating_sub(session.first_unix_ms));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "after {at}: from {} to {}   (rhumb explain {})", m.from, m.to, m.decision);
    }
    if text.is_empty() { text } else { format!("\n{text}") }
}

/// A duration, as people say it.
fn lasted(ms: u64) -> String {
    match ms / 1_000 {
        0 => format!("{ms} ms"),
        s @ 1..60 => format!("{s} s"),
        s @ 60..3_600 => format!("{} min {} s", s / 60, s % 60),
        s => format!("{} h {} min", s / 3_600, s % 3_600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        assert_eq!([7, 61_000, 7_260_000].map(lasted), ["7 ms", "1 min 1 s", "2 h 1 min"]);
        assert_eq!(lasted(59_999), "59 s");
    }
}
