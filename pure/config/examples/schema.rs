//! Prints the JSON Schema of `rhumb.yaml`:
//! `cargo run -q -p rhumb-config --example schema > docs/reference/rhumb.schema.json`.

fn main() {
    println!("{:#}", rhumb_config::schema::json_schema());
}
