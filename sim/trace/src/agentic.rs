//! Claude Code sessions as they were recorded (callanjfox/kv-cache-tester): for each agent of a session its calls in
//! turn, with the time between an answer and the next call, and how much of the prompt was there before.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::TraceError;
use crate::error::Fault;
use crate::file::Source;
use crate::options::us;
use crate::rows::{SECONDS, TOKENS};
use crate::table::{Cells, Table};

/// Tokens of a block.
pub(crate) const BLOCK_TOKENS: u32 = 64;

/// One call of an agent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn {
    pub(crate) input_tokens: u32,
    pub(crate) output_tokens: u32,
    pub(crate) blocks: u32,
    /// Leading blocks that equal those of the agent's call before this one.
    pub(crate) shared_blocks: u32,
    /// From the answer before to this call.
    pub(crate) think_us: u64,
    /// In the session's time, as recorded.
    pub(crate) at_us: u64,
}

/// The calls of one agent.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    /// Whether it is the session's own agent and not one that it started.
    pub(crate) main: bool,
    pub(crate) turns: Range<u32>,
}

/// What one person did.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    /// Its tools and its system prompt: sessions in which both are equally long ran the same build of the client.
    pub(crate) tool_tokens: u32,
    pub(crate) system_tokens: u32,
    pub(crate) chains: Range<u32>,
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Agentic {
    pub(crate) turns: Vec<Turn>,
    pub(crate) chains: Vec<Chain>,
    pub(crate) sessions: Vec<Session>,
}

/// Reads the two files; `sessions` first.
pub(crate) fn read(requests: Source, sessions: Source) -> Result<Agentic, TraceError> {
    let (sessions_file, prefixes) = read_sessions(sessions)?;
    let needed = [
        "session",
        "agent",
        "seq",
        "t_s",
        "think_s",
        "api_s",
        "input_tokens",
        "output_tokens",
        "blocks64",
        "shared_prefix_blocks64",
    ];
    let mut all = Agentic::default();
    let mut open: Option<Open> = None;
    let file = Table::new(requests, &needed, &[], false)?.each(|cells| {
        let number = cells.number("session", 0..=u64::MAX)?;
        let Some(&prefix) = prefixes.get(&number) else {
            let what = format!("is {number}, which {sessions_file} does not have");
            return Err(Fault::new("session", what, "add it there"));
        };
        if let Some(before) = open.as_ref().filter(|o| o.number > number) {
            let what = format!("is {number} after {}", before.number);
            return Err(Fault::new("session", what, "sort the lines by session"));
        }
        if let Some(whole) = open.take_if(|o| o.number != number) {
            all.close(whole);
        }
        open.get_or_insert_with(|| Open { number, prefix, agents: BTreeMap::new() }).push(cells)
    })?;
    match open {
        Some(last) => all.close(last),
        None => return Err(TraceError::Short { file, rows: 0 }),
    }
    Ok(all)
}

/// A session whose lines are being read: the calls of its agents come mixed.
struct Open {
    number: u64,
    prefix: (u32, u32),
    agents: BTreeMap<u32, Agent>,
}

#[derive(Default)]
struct Agent {
    turns: Vec<Turn>,
    /// When the last call was answered, as recorded.
    answered_us: u64,
}

impl Open {
    fn push(&mut self, cells: &Cells<'_>) -> Result<(), Fault> {
        let agent = self.agents.entry(cells.number("agent", 0..=1_000_000)?).or_default();
        let (seq, wanted): (usize, _) = (cells.number("seq", 0..=usize::MAX)?, agent.turns.len());
        if seq != wanted {
            let what = format!("is {seq} instead of {wanted}");
            return Err(Fault::new("seq", what, "count the calls of each agent from 0, one by one"));
        }
        let turn = turn(cells, agent.answered_us)?;
        let before = agent.turns.last();
        if before.is_some_and(|b| turn.at_us < b.at_us) {
            return Err(Fault::new("t_s", "goes back within an agent", "sort the calls of an agent by time"));
        }
        let had = before.map_or(0, |b| b.blocks);
        if turn.shared_blocks > had {
            let what = format!("is {}, and the call before had {had} blocks", turn.shared_blocks);
            return Err(Fault::new("shared_prefix_blocks64", what, "give at most as many"));
        }
        agent.answered_us = turn.at_us.saturating_add(us(cells.optional("api_s", SECONDS)?.unwrap_or(0.0)));
        agent.turns.push(turn);
        Ok(())
    }
}

impl Agentic {
    fn close(&mut self, open: Open) {
        let first = self.chains.len() as u32;
        for (agent, Agent { turns, .. }) in open.agents {
            let start = self.turns.len() as u32;
            self.turns.extend(turns);
            self.chains.push(Chain { main: agent == 0, turns: start..self.turns.len() as u32 });
        }
        let (tool_tokens, system_tokens) = open.prefix;
        self.sessions.push(Session { tool_tokens, system_tokens, chains: first..self.chains.len() as u32 });
    }
}

/// By session: tokens of its tools and of its system prompt.
type Prefixes = BTreeMap<u64, (u32, u32)>;

/// Reads the sessions' file; returns its name with it.
fn read_sessions(source: Source) -> Result<(String, Prefixes), TraceError> {
    let mut prefixes = Prefixes::new();
    let file = Table::new(source, &["session", "tool_tokens", "system_tokens"], &[], false)?.each(|cells| {
        let tokens = |name| cells.number(name, 0..=*TOKENS.end());
        let session = cells.number("session", 0..=u64::MAX)?;
        if prefixes.insert(session, (tokens("tool_tokens")?, tokens("system_tokens")?)).is_some() {
            return Err(Fault::new("session", format!("is {session} again"), "give each session one line"));
        }
        Ok(())
    })?;
    Ok((file, prefixes))
}

fn turn(cells: &Cells<'_>, answered_us: u64) -> Result<Turn, Fault> {
    let input_tokens = cells.number("input_tokens", TOKENS)?;
    let blocks = cells.number("blocks64", 0..=input_tokens / BLOCK_TOKENS)?;
    let at_us = us(cells.number("t_s", SECONDS)?);
    // A think time that was not recorded is what the clock leaves for it.
    let think_us = cells.optional("think_s", SECONDS)?.map(us);
    Ok(Turn {
        input_tokens,
        // A few answers were broken off before their first token; an engine still makes one.
        output_tokens: cells.number("output_tokens", 0..=*TOKENS.end())?.max(1),
        blocks,
        shared_blocks: cells.number("shared_prefix_blocks64", 0..=blocks)?,
        think_us: think_us.unwrap_or_else(|| at_us.saturating_sub(answered_us)),
        at_us,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const SESSIONS: &str = "session,tool_tokens,system_tokens\n2,100,92\n5,100,92\n";
    pub(crate) const REQUESTS: &str = "session,agent,seq,t_s,think_s,api_s,input_tokens,output_tokens,blocks64,\
                                       shared_prefix_blocks64\n\
                                       2,0,0,0,0,2,320,10,5,0\n\
                                       2,1,0,4,0,1,128,8,2,0\n\
                                       2,0,1,9,3,2,448,0,7,5\n\
                                       5,0,0,0,0,2,256,10,4,0\n\
                                       5,0,1,8,,1,256,10,4,2\n";

    pub(crate) fn of(requests: &str, sessions: &str) -> Result<Agentic, TraceError> {
        let source = |name: &str, text: &str| Source::new(name, std::io::Cursor::new(text.as_bytes().to_vec()));
        read(source("r.csv", requests), source("s.csv", sessions))
    }

    #[test]
    fn reads_chains_of_sessions() {
        let all = of(REQUESTS, SESSIONS).unwrap();
        assert_eq!(all.sessions.iter().map(|s| s.chains.clone()).collect::<Vec<_>>(), [0..2, 2..3]);
        assert_eq!(all.chains.iter().map(|c| c.turns.clone()).collect::<Vec<_>>(), [0..2, 2..3, 3..5]);
        assert_eq!(all.chains.iter().map(|c| c.main).collect::<Vec<_>>(), [true, false, true]);
        assert_eq!((all.turns[1].output_tokens, all.turns[4].think_us), (1, 6_000_000));
    }

    #[test]
    fn errors_name_line_and_column() {
        let error = |row: &str| of(&format!("{REQUESTS}{row}\n"), SESSIONS).unwrap_err().to_string();
        let rows = [
            ("9,0,0,0,0,2,320,10,5,0", "session: is 9, which s.csv does not have; add it there"),
            ("2,0,0,0,0,2,320,10,5,0", "session: is 2 after 5; sort the lines by session"),
            ("5,0,3,9,0,2,320,10,5,0", "seq: is 3 instead of 2; count the calls of each agent from 0, one by one"),
            ("5,1,1,9,0,2,320,10,5,0", "seq: is 1 instead of 0; count the calls of each agent from 0, one by one"),
            ("5,0,2,7,0,2,320,10,5,0", "t_s: goes back within an agent; sort the calls of an agent by time"),
            (
                "5,0,2,9,0,2,320,10,5,5",
                "shared_prefix_blocks64: is 5, and the call before had 4 blocks; give at most as many",
            ),
            ("5,0,2,9,0,2,320,10,6,5", "blocks64: is \"6\"; give a whole number from 0 to 5"),
            ("5,0,2,9,-1,2,320,10,5,4", "think_s: is \"-1\"; give a number from 0 to 1000000000"),
        ];
        for (row, wanted) in rows {
            assert_eq!(error(row), format!("r.csv line 7, {wanted}"));
        }
        let twice = of(REQUESTS, &format!("{SESSIONS}2,1,1\n")).unwrap_err().to_string();
        assert_eq!(twice, "s.csv line 4, session: is 2 again; give each session one line");
        let none = of(&REQUESTS[..REQUESTS.find('\n').unwrap()], SESSIONS).unwrap_err().to_string();
        assert_eq!(none, "r.csv has 0 rows; give at least 2 that do not all come at once");
    }
}
