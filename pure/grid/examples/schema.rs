//! Prints the JSON Schema of `rhumb.yaml`:
//! `cargo run -q -p rhumb-grid --example schema > docs/reference/rhumb.schema.json`.

fn main() {
    println!("{:#}", rhumb_grid::schema::json_schema());
}
