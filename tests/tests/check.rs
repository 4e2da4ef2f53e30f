//! `rhumb check` and the rest of the command line as somebody finds them who starts.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rhumb_tests::gateway::binary;
use rhumb_tests::temp::TempDir;
use serde_json::Value;

const GRID: &str = "\
operators: [{ name: own }]
sites: [{ name: fra, operator: own, country: DE, latitude: 50.1, longitude: 8.7 }]
models: [{ name: small }]
endpoints: [{ name: fra-1, site: fra, url: \"http://10.0.0.1:8000\", models: [{ model: small }] }]
";

/// Runs a command in a folder, without variables of the example.
fn rhumb(dir: &Path, args: &[&str]) -> Output {
    Command::new(binary())
        .args(args)
        .current_dir(dir)
        .env_remove("ACME_KEY")
        .env_remove("PROVIDER_KEY")
        .output()
        .unwrap()
}

/// Checks a text: the exit code, and what people and programs are shown.
fn check(text: &str) -> (i32, String, Value) {
    let dir = TempDir::new();
    std::fs::write(dir.path().join("rhumb.yaml"), text).unwrap();
    let (human, json) = (rhumb(dir.path(), &["check"]), rhumb(dir.path(), &["check", "--json"]));
    assert_eq!(human.status.code(), json.status.code());
    let shown = String::from_utf8([human.stdout, human.stderr].concat()).unwrap();
    (human.status.code().unwrap(), shown, serde_json::from_slice(&json.stdout).unwrap())
}

#[test]
fn the_copied_example_is_right_without_its_variables_and_serves_with_them_alone() {
    let example = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/rhumb.yaml")).unwrap();
    let (code, shown, json) = check(&example);
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("warning: rhumb.yaml:") && shown.contains("`ACME_KEY` is not set"), "{shown}");
    assert!(shown.ends_with("2 warnings in rhumb.yaml\nrhumb.yaml: ok, 3 sites, 3 endpoints, 2 models, 1 tenants\n"));
    let severities: Vec<_> = json["problems"].as_array().unwrap().iter().map(|p| &p["severity"]).collect();
    assert_eq!((severities, &json["more"]), (vec![&Value::from("warning"); 2], &Value::from(0)));
    let dir = TempDir::new();
    std::fs::write(dir.path().join("rhumb.yaml"), &example).unwrap();
    let up = rhumb(dir.path(), &["up"]);
    let said = String::from_utf8(up.stderr).unwrap();
    assert!(up.status.code() == Some(3) && said.contains("`ACME_KEY` is not set"), "{said}");
}

#[test]
fn without_a_file_the_usual_one_is_checked() {
    let (code, shown, _) = check(GRID);
    assert_eq!((code, shown.as_str()), (0, "rhumb.yaml: ok, 1 sites, 1 endpoints, 1 models, 0 tenants\n"));
    let dir = TempDir::new();
    let missing = rhumb(dir.path(), &["check"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(String::from_utf8(missing.stderr).unwrap().contains("cannot read `rhumb.yaml`"));
}

#[test]
fn a_setting_without_effect_is_a_warning() {
    let (code, shown, json) = check(&GRID.replace("longitude: 8.7", "longitude: 8.7, power_kw: 2"));
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("warning: rhumb.yaml:2:") && shown.contains("`power_kw` does not limit `fra-1`"), "{shown}");
    assert_eq!(json["problems"][0]["severity"], "warning");
    let (code, shown, json) = check(&GRID.replace("longitude: 8.7", "longitude: 8.7, power_kw: 2, pue: 0"));
    assert!(code == 3 && shown.ends_with("1 problem and 1 warning in rhumb.yaml\n"), "{shown}");
    assert_eq!(json["problems"].as_array().unwrap().len(), 2);
}

#[test]
fn no_key_of_a_tenant_is_empty() {
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    for (key, what) in [
        (format!("sha256: {empty}"), "this is the SHA-256 of the empty text"),
        ("key: \"\"".to_owned(), "shorter than 8 characters"),
        ("key: short".to_owned(), "shorter than 8 characters"),
    ] {
        let (code, shown, _) = check(&format!("{GRID}tenants: [{{ name: t, keys: [{{ name: k, {key} }}] }}]\n"));
        assert!(code == 3 && shown.contains(what), "{key}: {shown}");
    }
}

#[test]
fn secrets_in_odd_places_are_not_shown() {
    let endpoint = |member: &str| GRID.replace("url: \"http://10.0.0.1:8000\"", member);
    let gateway = |member: &str| format!("gateway: {{ {member} }}\n{GRID}");
    for text in [
        endpoint("url: \"user:hunter2@h:80\""),
        endpoint("url: hunter2@h:80"),
        endpoint("url: \"https://hunter2@h\""),
        endpoint("url: \"https://h/?key=hunter2\", more: 1"),
        endpoint("url: \"h/?sig=hunter2\""),
        endpoint("url: \"http://h\", api_key: { hunter2 }"),
        endpoint("url: \"http://h\", api_key: [hunter2]"),
        endpoint("url: \"http://h\", \"api_key: hunter2\""),
        endpoint("url: \"http://h\", \"api_key: hunter2\": 1"),
        endpoint("url: \"http://h\", headers: { authorization: Bearer hunter2 }, more: 1"),
        endpoint("url: \"http://h\", headers: [\"x-api-key: hunter2\"]"),
        endpoint("url: \"http://h\", note: sk-hunter2-hunter2"),
        endpoint("url: \"http://h\", note: \"Bearer hunter2\""),
        gateway("listen: \"user:hunter2@0.0.0.0:80\""),
        gateway("listen: \"hunter2@0.0.0.0:80\""),
        gateway("dns_servers: [\"hunter2@10.0.0.1:53\"]"),
        gateway("workers: two, password: hunter2"),
        format!("{GRID}more: 1 # api_key: hunter2\n"),
        format!("{GRID}tenants: [{{ name: t, keys: [{{ hunter2 }}] }}]\n"),
        format!("{GRID}tenants: [{{ name: t, keys: [hunter2] }}]\n"),
        format!("{GRID}\"api_key: hunter2\"\n"),
        format!("{GRID}api_key hunter2: [\n  key=hunter2\n"),
        format!("{GRID}- \"api_key: hunter2\"\n"),
    ] {
        let (code, shown, json) = check(&text);
        assert!(code == 3 && !shown.contains("hunter2") && !json.to_string().contains("hunter2"), "{text}\n{shown}");
    }
}

#[test]
fn a_reader_who_leaves_is_no_error() {
    let dir = TempDir::new();
    std::fs::write(dir.path().join("rhumb.yaml"), "a: 1\n".repeat(5_000)).unwrap();
    for (args, code) in [
        (&["check", "--schema"][..], 0),
        (&["check"], 3),
        (&["check", "--json"], 3),
        (&["sim", "list"], 0),
        (&["engine", "--list"], 0),
    ] {
        let mut child = Command::new(binary())
            .args(args)
            .current_dir(dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // The reader is gone before a byte is written, or a little later.
        drop(child.stdout.take());
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(code), ""), "{args:?}");
    }
}

#[test]
fn a_full_disk_is_an_error() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = Command::new(binary()).args(["check", "--schema"]).stdout(full).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && said.starts_with("error: cannot write to standard output"), "{said}");
}

#[test]
fn a_password_in_the_address_of_the_admin_api_is_not_repeated() {
    let dir = TempDir::new();
    let output = rhumb(dir.path(), &["top", "--once", "--admin", "http://user:hunter2@127.0.0.1:1"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && said.contains("`--admin`") && !said.contains("hunter2"), "{said}");
}
