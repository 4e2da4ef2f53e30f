//! One target under libFuzzer, named by `RHUMB_FUZZ_TARGET`.
#![no_main]

use std::sync::LazyLock;

use rhumb_fuzz::{TARGETS, Target};

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("RHUMB_FUZZ_TARGET").unwrap_or_default();
    let found = TARGETS.iter().find(|(n, _)| *n == name);
    found.unwrap_or_else(|| panic!("RHUMB_FUZZ_TARGET must name a folder of corpus/")).1
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| TARGET(bytes));
