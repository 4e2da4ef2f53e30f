//! What is found by looking at all endpoints together, before every view.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use rhumb_flow::peers::{Peer, outliers};
use rhumb_grid::config::Accepts;
use rhumb_grid::position::EndpointIndex;

use crate::parts::Parts;

/// What is found of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// It is far slower than its peers, and is left alone for a while.
    Outlier {
        /// The endpoint.
        endpoint: EndpointIndex,
    },
    /// It is in use again.
    Back {
        /// The endpoint.
        endpoint: EndpointIndex,
        /// For how long it was not, ms.
        away_ms: u64,
    },
    /// It answers a canary wrongly that no endpoint answers rightly, and stays in use.
    CanaryDoubted {
        /// The endpoint.
        endpoint: EndpointIndex,
        /// The model that is asked.
        model: String,
    },
}

/// Judges so many endpoints, those of each group of `peers` against each other.
pub fn judge(parts: &mut impl Parts, endpoints: usize, peers: &[Vec<EndpointIndex>], now_ms: u64) -> Vec<Finding> {
    let mut findings = Vec::new();
    judge_canaries(parts, endpoints, &mut findings);
    for group in peers {
        if !group.iter().any(|e| parts.endpoint(*e, |known| known.health.is_suspect())) {
            continue;
        }
        let peer = |e: &EndpointIndex| {
            parts.endpoint(*e, |known| known.health.peer(now_ms, known.state.accepts == Accepts::NewAndExisting))
        };
        let shown: Vec<Peer> = group.iter().map(peer).collect();
        for place in outliers(&shown) {
            let endpoint = group[place];
            parts.endpoint(endpoint, |known| known.health.is_outlier(now_ms));
            findings.push(Finding::Outlier { endpoint });
        }
    }
    for endpoint in EndpointIndex::all().take(endpoints) {
        if let Some(away_ms) = parts.endpoint(endpoint, |known| known.health.look(now_ms)) {
            findings.push(Finding::Back { endpoint, away_ms });
        }
    }
    findings
}

/// An endpoint that answers a canary wrongly is unhealthy, unless nobody answers it rightly: then it is more likely the
/// canary that is wrong, and an outage by a typing error is the worse failure.
fn judge_canaries(parts: &mut impl Parts, endpoints: usize, findings: &mut Vec<Finding>) {
    let mut right: BTreeSet<String> = BTreeSet::new();
    for endpoint in EndpointIndex::all().take(endpoints) {
        parts.endpoint(endpoint, |known| {
            right.extend(known.canaries.iter().filter(|(_, is_right)| **is_right).map(|(model, _)| model.clone()));
        });
    }
    for endpoint in EndpointIndex::all().take(endpoints) {
        let news = parts.endpoint(endpoint, |known| {
            let mut wrong = known.canaries.iter().filter(|(_, is_right)| !**is_right).map(|(model, _)| model);
            let doubted = wrong.clone().find(|model| !right.contains(*model)).cloned();
            let is_wrong = wrong.any(|model| right.contains(model));
            known.health.canary(!is_wrong);
            let was_doubted = core::mem::replace(&mut known.is_canary_doubted, doubted.is_some());
            doubted.filter(|_| !was_doubted)
        });
        if let Some(model) = news {
            findings.push(Finding::CanaryDoubted { endpoint, model });
        }
    }
}
