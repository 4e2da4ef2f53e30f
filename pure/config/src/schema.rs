//! The JSON Schema of `rhumb.yaml`, generated from its types.

use rhumb_grid::config::Config;
use serde_json::Value;

/// Generates the schema that editors check `rhumb.yaml` with; [`crate::load`] holds a file against the same one.
///
/// `docs/reference/rhumb.schema.json` is its committed copy: `cargo run -p rhumb-config --example schema` prints it.
pub fn json_schema() -> Value {
    let mut schema = schemars::schema_for!(Config).to_value();
    schema["title"] = "rhumb.yaml".into();
    schema
}
