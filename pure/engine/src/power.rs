//! Power of a board as a function of how busy it is.
//!
//! Source of the constants: the ML.ENERGY benchmark, Llama-3.1-8B chat on one H100: 486 W of 700 W at batch 8,
//! 688 W at batch 512, close to a straight line in the logarithm of the batch.

/// Share of board power a decode step of one sequence draws.
const SHARE_AT_ONE: f64 = 0.55;
/// Share of board power each doubling of the batch adds: (688 − 486) / 700 over the six doublings from 8 to 512.
const SHARE_PER_DOUBLING: f64 = 0.0481;

/// Share of board power drawn while a step that decodes `decode_seqs` sequences runs, 0 to 1.
pub(crate) fn active_share(decode_seqs: f64) -> f64 {
    (SHARE_AT_ONE + SHARE_PER_DOUBLING * libm::log2(decode_seqs.max(1.0))).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::active_share;

    #[test]
    fn matches_the_two_measured_ends() {
        assert!((active_share(8.0) * 700.0 - 486.0).abs() < 5.0);
        assert!((active_share(512.0) * 700.0 - 688.0).abs() < 5.0);
        assert_eq!(active_share(1e9), 1.0);
    }
}
