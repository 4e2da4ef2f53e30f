//! Prints the JSON Schema of a scenario file, the source of `docs/reference/scenario.schema.json`.

fn main() {
    println!("{:#}", rhumb_lab::schema());
}
