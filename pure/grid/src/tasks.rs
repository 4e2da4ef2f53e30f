//! What models do instead of generating text.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

/// A set of tasks. A model with none generates text, and so does a request that needs none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tasks(u8);

impl Tasks {
    /// Vectors of texts: `/v1/embeddings`.
    pub const EMBEDDING: Self = Self(1);
    /// How well documents answer a query: `/v1/rerank`, `/v1/score`.
    pub const RERANK: Self = Self(1 << 1);
    /// Labels of texts: `/v1/classify`, `/v1/moderations`.
    pub const CLASSIFY: Self = Self(1 << 2);
    /// Speech from text: `/v1/audio/speech`.
    pub const SPEECH: Self = Self(1 << 3);
    /// Images from text: `/v1/images/generations`, `/v1/images/edits`.
    pub const IMAGES: Self = Self(1 << 4);
    /// Text from speech: `/v1/audio/transcriptions`, `/v1/audio/translations`.
    pub const TRANSCRIPTION: Self = Self(1 << 5);

    /// Sessions of speech and text both ways: `/v1/realtime`.
    pub const REALTIME: Self = Self(1 << 6);

    /// Each task with the key under which a model of `rhumb.yaml` says that it does it.
    pub const ALL: [(Self, &str); 7] = [
        (Self::EMBEDDING, "embedding"),
        (Self::RERANK, "rerank"),
        (Self::CLASSIFY, "classify"),
        (Self::SPEECH, "speech"),
        (Self::IMAGES, "images"),
        (Self::TRANSCRIPTION, "transcription"),
        (Self::REALTIME, "realtime"),
    ];

    /// The set as bits, as records keep it.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The set of these bits; those that mean nothing are left out.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & 0b111_1111)
    }

    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Text is generated.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// A model with these does what a request needs that needs `other`.
    #[must_use]
    pub const fn serve(self, other: Self) -> bool {
        if other.is_empty() { self.is_empty() } else { self.0 & other.0 == other.0 }
    }

    /// The keys of its tasks in `rhumb.yaml`.
    #[must_use]
    pub fn keys(self) -> Vec<&'static str> {
        Self::ALL.iter().filter(|(task, _)| self.0 & task.0 != 0).map(|(_, key)| *key).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_served_by_those_that_do_it_and_text_by_those_that_do_nothing_else() {
        let both = Tasks::EMBEDDING.and(Tasks::RERANK);
        assert!(both.serve(Tasks::RERANK) && both.serve(Tasks::EMBEDDING) && !both.serve(Tasks::SPEECH));
        assert!(!both.serve(Tasks::default()) && Tasks::default().serve(Tasks::default()));
        assert!(!Tasks::default().serve(Tasks::IMAGES));
        assert_eq!(both.keys(), ["embedding", "rerank"]);
        assert_eq!(Tasks::from_bits(0xff).keys().len(), Tasks::ALL.len());
    }
}
