use super::*;
use crate::{Loaded, Purpose, Severity, load};

const CATALOGUE: Catalogue<'static> = Catalogue { gpus: &["h100-sxm", "l40s"], shapes: &["llama-3.1-8b", "qwen3-32b"] };

/// A small valid grid; the tests replace one part of it.
const GRID: &str = "\
gateway:
  policy: balanced
operators:
  - name: own
sites:
  - { name: fra, operator: own, country: DE, latitude: 50.1, longitude: 8.7 }
models:
  - { name: small, aliases: [tiny] }
  - { name: large, shape: qwen3-32b }
  - { name: vectors, embedding: true }
virtual_models:
  - { name: auto, models: [small, large] }
endpoints:
  - name: fra-1
    site: fra
    url: http://10.0.0.1:8000
    gpu: l40s
    gpu_hour_usd: 1.5
    models: [{ model: small }, { model: large }, { model: vectors }]
policies:
  - name: gold
tenants:
  - name: acme
    keys: [{ name: main, key: \"${ACME_KEY}\" }]
    policy: gold
";

fn env(name: &str) -> Option<String> {
    match name {
        "ACME_KEY" => Some("0123456789abcdef".to_owned()),
        "SHORT" => Some("s3cret".to_owned()),
        "SPACED" => Some("0123456789 abcdef".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

fn found(text: &str) -> String {
    let problems = match load(text, &env, &CATALOGUE, Purpose::Serve) {
        Ok(Loaded { warnings, .. }) => warnings,
        Err(problems) => problems,
    };
    problems.iter().map(|it| format!("{}:{} {}: {} / {}\n", it.line, it.column, it.path, it.what, it.right)).collect()
}

/// Replaces `from` in the valid grid; exactly one problem must follow, with this text in it.
fn check(from: &str, to: &str, expected: &str) {
    assert!(GRID.contains(from), "{from}");
    let found = found(&GRID.replacen(from, to, 1));
    assert!(found.lines().count() == 1 && found.contains(expected), "{to}\n{found}");
}

fn fine(from: &str, to: &str) {
    assert!(GRID.contains(from), "{from}");
    assert_eq!(found(&GRID.replacen(from, to, 1)), "", "{to}");
}

#[test]
fn a_valid_grid() {
    assert_eq!(found(GRID), "");
    // A site without endpoints, a model without a catalogued shape.
    fine("models:\n", "  - { name: iad, operator: own, country: US, latitude: 39, longitude: -77.5 }\nmodels:\n");
}

#[test]
fn what_requests_to_an_endpoint_carry() {
    let url = "    url: http://10.0.0.1:8000\n";
    let with = |more: &str| format!("    url: https://h.example/openai/v1\n    {more}\n");
    fine(url, &with("api_key: ${ACME_KEY}\n    api_key_header: api-key"));
    fine(url, &with("headers: {x-org: acme, Authorization: \"Basic ${ACME_KEY}\"}"));
    fine(
        url,
        &with("ca_file: ca.pem\n    client_cert_file: c.pem\n    client_key_file: k.pem\n    tls_server_name: a.b"),
    );
    for (more, expected) in [
        ("api_key_header: api-key", "endpoints[0].api_key_header: `api_key_header` without `api_key`"),
        ("headers: {\"x y\": a}", "this is no name of a header"),
        ("headers: {Host: a}", "rhumb writes the header `host` itself"),
        ("headers: {X-Rhumb-Hops: a}", "rhumb writes the header `x-rhumb-hops` itself"),
        ("headers: {x-a: a, X-A: b}", "this header is sent already"),
        ("headers: {authorization: a}\n    api_key: ${ACME_KEY}", "this header is sent already"),
        ("headers: {x-a: \"a\\r\\nb: c\"}", "headers.x-a: the value of this header is empty or holds"),
        ("headers: {x-a: 5}", "`x-a` holds something that is not text / text; the same in quotes"),
        ("headers: [a]", "`headers` holds a list / keys with values"),
        ("client_cert_file: c.pem", "`client_cert_file` without `client_key_file`"),
        ("client_key_file: c.pem", "`client_key_file` without `client_cert_file`"),
        ("ca_file: \"\"", "endpoints[0].ca_file: it is empty"),
        ("tls_server_name: \"https://a\"", "is no name that a certificate can be for"),
    ] {
        check(url, &with(more), expected);
    }
    check(url, &format!("{url}    ca_file: ca.pem\n"), "`ca_file` at an endpoint without TLS");
}

#[test]
fn names_are_unique() {
    check(
        "  - name: own\n",
        "  - name: own\n  - name: own\n",
        "5:11 operators[1].name: another operator is named `own` already",
    );
    let site = "  - { name: fra, operator: own, country: DE, latitude: 50.1, longitude: 8.7 }\n";
    check(site, &site.repeat(2), "sites[1].name: another site is named `fra` already, on line 6");
    check("  - name: gold\n", "  - name: gold\n  - name: gold\n", "policies[1].name: another policy is named `gold`");
    check("[tiny]", "[large]", "models[1].name: another model is named `large` already, on line 8");
    check("{ name: auto", "{ name: tiny", "virtual_models[0].name: another model is named `tiny` already, on line 8");
    check("keys: [", "keys: [{ name: main, key: abcdefgh }, ", "another key of this tenant is named `main`");
    check(
        "policies:",
        "  - { name: fra-1, site: fra, url: 'http://b', models: [{ model: small }] }\npolicies:",
        "endpoints[1].name: another endpoint is named `fra-1`",
    );
}

#[test]
fn names_are_usable() {
    check("- name: acme", "- name: ''", "a name without a character");
    check("- name: acme", "- name: ' acme'", "has a space at an end");
    check("name: fra-1", "name: fra-é", "`fra-é` cannot be sent in a header");
    check("name: gold\n", "name: gold\n  - name: batch\n", "policy `batch` has the name of a preset");
}

#[test]
fn references_resolve() {
    check("operator: own", "operator: owm", "sites[0].operator: no operator is named `owm` / `own`");
    check("site: fra\n", "site: ams\n", "endpoints[0].site: no site is named `ams` / `fra`, or declare it");
    check("{ model: large }", "{ model: lrage }", "endpoints[0].models[1].model: no model is named `lrage` / `large`");
    check(
        "{ model: small }",
        "{ model: tiny }",
        "`tiny` is an alias, for clients only / the model's own name, `small`",
    );
    check("models: [small, large]", "models: [small, lage]", "virtual_models[0].models[1]: no model is named `lage`");
    check("models: [small, large]", "models: [small, auto]", "`auto` is a virtual model");
    check("policy: balanced", "policy: balance", "gateway.policy: no policy is named `balance` / `balanced`");
    check("policy: gold", "policy: glod", "tenants[0].policy: no policy is named `glod` / `gold`");
    check("policy: gold", "allow_policies: [gold, x]", "tenants[0].allow_policies[1]: no policy is named `x`");
    check(
        "policy: gold",
        "policy: gold\n    models: [auto, smal]",
        "tenants[0].models[1]: no model is named `smal` / `small`",
    );
    fine("policy: gold", "policy: gold\n    models: [auto, small]");
}

#[test]
fn nothing_is_left_over() {
    check("policy: gold", "policy: batch", "policies[0].name: nothing reaches policy `gold`");
    fine("policy: gold", "allow_policies: [gold, fastest]");
    let open = &GRID[..GRID.find("tenants:").expect("tenants")];
    assert_eq!(found(open), "");
    check(", { model: vectors }", "", "models[2].name: no endpoint serves model `vectors`");
}

#[test]
fn addresses() {
    let gateway = |line: &str| format!("gateway:\n  {line}\n");
    check("gateway:\n", &gateway("listen: localhost:80"), "`localhost:80` is no address to listen on / `127.0.0.1:80`");
    check("gateway:\n", &gateway("dns_servers: [ns.example]"), "`ns.example` is no address of a name server");
    check("gateway:\n", &gateway("max_held_mb: 31"), "31 MiB for all bodies, and `max_body_bytes` allows one of more");
    check("gateway:\n", &gateway("listen: 127.0.0.1:9080"), "`admin_listen` and `listen` are both");
    for url in ["10.0.0.1:8000", "ftp://h", "http://me:s3cret@h", "h/?key=s3cret", "http://h/#s3cret"] {
        check("http://10.0.0.1:8000", url, "endpoints[0].url: ");
        assert!(!found(&GRID.replacen("http://10.0.0.1:8000", url, 1)).contains("s3cret"));
    }
    fine("http://10.0.0.1:8000", "https://h.example/openai/deployments/d?api-version=2024-10-21");
    check(
        "policies:",
        "  - { name: b, site: fra, url: 'http://10.0.0.1:8000/v1', models: [{ model: small }] }\npolicies:",
        "endpoint `fra-1` on line",
    );
    check(
        "policies:",
        "  - { name: b, site: fra, url: 'HTTP://10.0.0.1:8000/', models: [{ model: small }] }\npolicies:",
        "endpoints[1].url: endpoint `fra-1` on line 16 has this URL already",
    );
}

#[test]
fn credentials() {
    let key = "key: \"${ACME_KEY}\"";
    check(key, "sha256: abc", "tenants[0].keys[0].sha256: this is not a SHA-256");
    check(", key: \"${ACME_KEY}\"", "", "tenants[0].keys[0]: a key without its secret");
    check(key, &format!("{key}, sha256: {}", "a".repeat(64)), "`sha256` beside `key`");
    fine(key, &format!("sha256: {}", "a".repeat(64)));
    check(key, "key: \"${SHORT}\"", "this secret is shorter than 8 characters");
    check(key, "key: \"${EMPTY}\"", "this secret is shorter than 8 characters");
    check(key, "key: \"${SPACED}\"", "a character that no header carries");
    check(key, "key: \"${NOPE}\"", "environment variable `NOPE` is not set / `export NOPE=...`");
    check("keys: [", "keys: [{ name: b, key: 0123456789abcdef }, ", "the key on line 24 has the same secret");
    check("gpu: l40s", "allow_params: [priorty]", "`priorty` is no parameter that is cut out of requests");
    check("gpu: l40s", "api_key: \"${EMPTY}\"", "this `api_key` is empty");
    for (hash, what) in [
        ("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "the empty text"),
        ("01ba4719c80b6fe911b091a7c05124b64eeece964e09c058ef8f9805daca546b", "an empty line"),
    ] {
        check(key, &format!("sha256: {hash}"), &format!("tenants[0].keys[0].sha256: this is the SHA-256 of {what}"));
    }
    let text = GRID.replacen(key, "key: \"x${SHORT}\"", 1);
    assert!(!found(&text).contains("s3cret"));
}

#[test]
fn the_environment_is_not_repeated() {
    check("site: fra\n", "site: \"${SHORT}\"\n", "no site is named `${SHORT}`");
    let half = found(&GRID.replacen("gateway:\n", "gateway:\n  workers: \"${SHORT}${NOPE}\"\n", 1));
    assert!(half.contains("`NOPE` is not set") && !half.contains("s3cret"), "{half}");
    check("country: DE", "country: \"${SHORT}\"", "`${SHORT}` is no country code");
    check("policy: balanced", "router: \"${SHORT}\"", "`router` has no choice `${SHORT}`");
}

#[test]
fn countries() {
    check("country: DE", "country: UK", "`UK` is no country code / `GB`");
    check("policy: gold", "policy: gold\n    countries: [de]", "tenants[0].countries[0]: `de` is no country code");
    check("policy: gold", "policy: gold\n    countries: [FR]", "tenants[0].countries: no site stands in any country");
    check("name: gold", "name: gold\n    countries: [FR]", "policies[0].countries: no site stands in any country");
    fine("policy: gold", "policy: gold\n    countries: [FR, DE]");
}

#[test]
fn combinations() {
    let price = "{ model: small, price: { input_usd_per_mtok: 1, output_usd_per_mtok: 2 } }";
    check("{ model: small }", price, "endpoints[0].models[0].price: a `price` at an endpoint that has `gpu_hour_usd`");
    check("{ model: small }", "{ model: small }, { model: small }", "model `small` is served here already");
    check("[small, large]", "[small, vectors]", "virtual_models[0].models[1]: `vectors` does `embedding`");
    check("[small, large]", "[small, small]", "`small` is in this list already");
    check("gpu: l40s", "gpu: l40", "endpoints[0].gpu: no GPU type is named `l40` / `l40s`");
    check("shape: qwen3-32b", "shape: mistral", "models[1].shape: no model shape is named `mistral` / one of");
}

#[test]
fn a_misspelt_key_hides_nothing_and_causes_nothing() {
    check("aliases:", "alias:", "8:20 models[0].alias: unknown key `alias` / `aliases`, other names");
    let text = GRID.replacen("latitude", "lattitude", 1).replacen("site: fra\n", "site: frq\n", 1);
    let found = found(&text);
    assert_eq!(found.lines().count(), 2, "{found}");
}

#[test]
fn what_has_no_effect_is_a_warning() {
    let warned = |from: &str, to: &str, expected: &str| {
        let text = GRID.replacen(from, to, 1);
        let loaded = load(&text, &env, &CATALOGUE, Purpose::Serve).expect("usable");
        let said: Vec<String> =
            loaded.warnings.iter().map(|it| format!("{}: {} / {}", it.path, it.what, it.right)).collect();
        assert!(said.len() == 1 && said[0].contains(expected), "{said:?}");
        assert_eq!(loaded.warnings[0].severity, Severity::Warning);
    };
    fine("longitude: 8.7 }", "longitude: 8.7, power_kw: 2, energy_usd_per_kwh: 0.1 }");
    let limited = GRID.replacen("longitude: 8.7 }", "longitude: 8.7, power_kw: 2 }", 1);
    let text = limited.replacen("    gpu: l40s\n", "", 1);
    let said = found(&text);
    assert!(
        said.contains("sites[0].power_kw: `power_kw` does not limit `fra-1`: their power is not known / `gpu:`"),
        "{said}"
    );
    let said = found(&limited.replacen("shape: qwen3-32b", "quality: 1", 1));
    assert!(said.contains("their power is not known / `shape:` at their models"), "{said}");
    warned("    gpu_hour_usd: 1.5", "    planned_utilisation: 0.4", "`planned_utilisation` has no effect");
    let priced = "longitude: 8.7, energy_usd_per_kwh: 0.1 }";
    let text = GRID.replacen("longitude: 8.7 }", priced, 1).replacen("    gpu: l40s\n", "", 1);
    assert!(found(&text).contains("`energy_usd_per_kwh` adds nothing to the bill of `fra-1`"));
}

#[test]
fn a_variable_that_is_not_set_keeps_a_file_from_serving_and_not_from_being_looked_at() {
    let text = GRID.replacen("ACME_KEY", "NOPE", 1);
    let problems = load(&text, &env, &CATALOGUE, Purpose::Serve).expect_err("the variable is not set");
    assert_eq!((problems.len(), problems[0].severity), (1, Severity::Error));
    let loaded = load(&text, &env, &CATALOGUE, Purpose::Inspect).expect("the file is right");
    assert!(loaded.warnings.len() == 1 && loaded.warnings[0].what.contains("`NOPE` is not set"));
}

/// A grid of so many sites, each with an endpoint that names another site than there is.
fn misspelt(sites: usize) -> String {
    let mut text = "operators: [{ name: own }]\nmodels: [{ name: small }]\nsites:\n".to_owned();
    for n in 0..sites {
        text += &format!("  - {{ name: site-{n:05}, operator: own, country: DE, latitude: 1, longitude: 1 }}\n");
    }
    text += "endpoints:\n";
    for n in 0..sites {
        let models = "models: [{ model: small }]";
        text += &format!("  - {{ name: e{n}, site: sity-{n:05}, url: \"http://h:{}\", {models} }}\n", n + 1);
    }
    text
}

#[test]
fn thousands_of_problems_cost_what_they_are_long() {
    // The work is bounded, whatever time a machine takes for it: suggestions end, and so does the list.
    let text = misspelt(3_000);
    let problems = load(&text, &env, &CATALOGUE, Purpose::Serve).expect_err("misspelt");
    assert_eq!(problems.len(), 3_000);
    assert!(problems[0].right.starts_with("`site-0000"), "{}", problems[0].right);
    let suggested = problems.iter().filter(|problem| !problem.right.starts_with("one of")).count();
    assert!((1..100).contains(&suggested), "{suggested}");
    let shown = crate::render("f", &text, &problems);
    assert!(shown.ends_with("… and 2950 more\n\n3000 problems in f\n"), "{}", &shown[shown.len() - 100..]);
    let unknown: String = (0..20_000).map(|n| format!("key{n}: 1\n")).collect();
    let problems = load(&unknown, &env, &CATALOGUE, Purpose::Serve).expect_err("unknown");
    let shown = crate::render("f", &unknown, &problems);
    assert!(problems.len() < 10_010 && shown.contains("\nat least 1000"), "{}", problems.len());
}
