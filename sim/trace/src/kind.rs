//! The workloads by name.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::TraceError;

/// A workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// An hour of Azure's chat service, 2023: `azure-conv`.
    AzureConv,
    /// An hour of Azure's coding service, 2023, in bursts: `azure-code`.
    AzureCode,
    /// An hour of Kimi's conversations with their prefix blocks: `mooncake`.
    Mooncake,
    /// Claude Code sessions, each call waiting for the one before it: `agentic`.
    Agentic,
    /// Two weeks of a large model's clients at Alibaba: `servegen-m-large`.
    ServegenMLarge,
    /// Two weeks of a small model's clients: `servegen-m-small`.
    ServegenMSmall,
    /// A day of a vision model's clients: `servegen-mm-image`.
    ServegenMmImage,
    /// A file of one's own, by its path: `.csv` or `.jsonl`, also with `.zst`.
    Own(PathBuf),
}

const NAMES: [(&str, Kind); 7] = [
    ("azure-conv", Kind::AzureConv),
    ("azure-code", Kind::AzureCode),
    ("mooncake", Kind::Mooncake),
    ("agentic", Kind::Agentic),
    ("servegen-m-large", Kind::ServegenMLarge),
    ("servegen-m-small", Kind::ServegenMSmall),
    ("servegen-mm-image", Kind::ServegenMmImage),
];

impl Kind {
    /// The files of the data folder that it is read from; none for a file of one's own.
    #[must_use]
    pub fn files(&self) -> Vec<String> {
        let names: &[&str] = match self {
            Self::AzureConv => &["azure_llm_2023_conv.csv.zst"],
            Self::AzureCode => &["azure_llm_2023_code.csv.zst"],
            Self::Mooncake => &["mooncake_conversation.jsonl.zst"],
            Self::Agentic => &["agentic_coding_requests.csv.zst", "agentic_coding_sessions.csv.zst"],
            Self::ServegenMLarge => &["servegen_m-large_rates.csv.zst", "servegen_token_lengths.csv.zst"],
            Self::ServegenMSmall => &["servegen_m-small_rates.csv.zst", "servegen_token_lengths.csv.zst"],
            Self::ServegenMmImage => &["servegen_mm-image_rates.csv.zst", "servegen_token_lengths.csv.zst"],
            Self::Own(_) => &[],
        };
        names.iter().map(|name| format!("traces/{name}")).collect()
    }
}

impl FromStr for Kind {
    type Err = TraceError;

    fn from_str(text: &str) -> Result<Self, TraceError> {
        if let Some((_, kind)) = NAMES.iter().find(|(name, _)| *name == text) {
            return Ok(kind.clone());
        }
        if Format::of(text).is_some() {
            return Ok(Self::Own(PathBuf::from(text)));
        }
        Err(TraceError::Kind { found: text.to_owned() })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, NAMES.iter().find(|(_, kind)| kind == self)) {
            (Self::Own(path), _) => write!(f, "{}", path.display()),
            (_, named) => f.write_str(named.map_or("", |(name, _)| name)),
        }
    }
}

/// How one's own file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Csv,
    Jsonl,
}

impl Format {
    /// The format that the end of a file's name tells.
    pub(crate) fn of(name: &str) -> Option<Self> {
        let plain = name.strip_suffix(".zst").unwrap_or(name);
        if plain.ends_with(".csv") {
            Some(Self::Csv)
        } else if plain.ends_with(".jsonl") {
            Some(Self::Jsonl)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        for (name, kind) in NAMES {
            assert_eq!(name.parse::<Kind>().unwrap(), kind);
            assert_eq!(kind.to_string(), name);
        }
        let own: Kind = "mine/a.jsonl.zst".parse().unwrap();
        assert_eq!((own.clone(), own.to_string().as_str()), (Kind::Own("mine/a.jsonl.zst".into()), "mine/a.jsonl.zst"));
    }

    #[test]
    fn an_unknown_name_lists_those_there_are() {
        let error = "azure".parse::<Kind>().unwrap_err().to_string();
        assert!(
            error.starts_with("no workload is called \"azure\"; give azure-conv, azure-code, mooncake, "),
            "{error}"
        );
        assert!(NAMES.iter().all(|(name, _)| error.contains(name)));
    }
}
