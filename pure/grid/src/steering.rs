//! Parameters in a request's body that steer an engine itself: its scheduler, its caches, its adapters, its peers.

use alloc::string::String;

/// Their names. A client's are cut out unless the endpoint lets clients set them. At most 64, so that a set is a number.
pub const STEERING: &[&str] = &[
    // The order in which an engine serves, and the number it knows a request by.
    "priority",
    "request_id",
    "rid",
    // Where it runs inside the engine.
    "data_parallel_rank",
    "routed_dp_rank",
    "disagg_prefill_dp_rank",
    "dp_rank",
    "decode_tp_size",
    "id_slot",
    "slot_id",
    "backend_instance_id",
    "prefill_worker_id",
    "decode_worker_id",
    // Whom the engine fetches the prompt's cache from, or hands it to.
    "kv_transfer_params",
    "ec_transfer_params",
    "disaggregated_params",
    "disagg_params",
    "bootstrap_host",
    "bootstrap_port",
    "bootstrap_room",
    "bootstrap_pair_key",
    "kv_cache_retention_config",
    // Sessions that the engine keeps, and that another client may name.
    "session_params",
    // Adapters and code that it loads.
    "lora",
    "lora_id",
    "lora_name",
    "lora_path",
    "lora_request",
    "adapter_id",
    "custom_logit_processor",
    "logits_processors",
];

/// The places of these names, as bits.
#[must_use]
pub fn bits(names: &[String]) -> u64 {
    names.iter().filter_map(|name| STEERING.iter().position(|s| s == name)).fold(0, |bits, place| bits | 1 << place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn every_name_has_a_bit() {
        assert!(STEERING.len() <= 64);
        let all: Vec<String> = STEERING.iter().map(|s| (*s).into()).collect();
        assert_eq!(bits(&all).count_ones() as usize, STEERING.len());
        assert_eq!(bits(&[]), 0);
    }
}
