//! x
fn main() { let _ = rhumb_fidelity::cross::explore(std::path::Path::new("/work/shared/data")); }
