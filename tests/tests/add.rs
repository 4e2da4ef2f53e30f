//! `rhumb add` and a gateway without a configuration, with emulated engines.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use rhumb_tests::client::{Client, post};
use rhumb_tests::gateway::binary;
use rhumb_tests::mock::Mock;
use rhumb_tests::script::{Step, status};
use rhumb_tests::temp::TempDir;

/// An emulated engine, and its port.
struct Engine(Child, u16);

impl Engine {
    fn start(model: &str) -> Self {
        let args =
            ["engine", "--gpu", "l4", "--model", "llama-3.1-8b", "--listen", "127.0.0.1:0", "--served-as", model];
        let mut child = Command::new(binary()).args(args).stderr(Stdio::piped()).spawn().unwrap();
        let line = BufReader::new(child.stderr.take().unwrap()).lines().next().unwrap().unwrap();
        let port = line.split("127.0.0.1:").nth(1).unwrap().split('/').next().unwrap().parse().unwrap();
        Self(child, port)
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.1)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn rhumb(folder: &Path, args: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } =
        Command::new(binary()).args(args).current_dir(folder).env("KEY", "k-0123456789").output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

#[test]
fn an_endpoint_is_looked_at_and_its_lines_fit() {
    let (dir, a, b) = (TempDir::new(), Engine::start("org/small"), Engine::start("other ${KEY} model"));
    let run = |args: &[&str]| rhumb(dir.path(), args);
    let (code, said, errors) = run(&["add", &a.url(), "--dry-run"]);
    assert!(code == 0 && said.contains("  - model: org/small\n"), "{said}{errors}");
    assert!(!dir.path().join("rhumb.yaml").exists(), "nothing is written");
    let (code, said, errors) = run(&["add", &a.url(), "--name", "first"]);
    assert_eq!(code, 0, "{errors}");
    for line in ["found     vllm at", "measured  round trip ", "made      rhumb.yaml, as endpoint `first`"] {
        assert!(said.contains(line), "{said}");
    }
    // A file of somebody's own, with comments, keeps them.
    let path = dir.path().join("rhumb.yaml");
    let own = std::fs::read_to_string(&path).unwrap().replace("\nmodels:\n", "\n# my models\nmodels:   # all\n")
        + "\n# the end\n";
    std::fs::write(&path, &own).unwrap();
    let (code, said, errors) = run(&["add", &b.url(), "--name", "second", "--api-key-env", "KEY"]);
    assert!(code == 0 && said.contains("added to  rhumb.yaml"), "{said}{errors}");
    let text = std::fs::read_to_string(&path).unwrap();
    for kept in [
        "# my models\n",
        "models:   # all\n",
        "# the end\n",
        "api_key: ${KEY}\n",
        "  - name: \"other $${KEY} model\"\n",
    ] {
        assert!(text.contains(kept), "{kept}: {text}");
    }
    assert!(run(&["check"]).1.contains("1 sites, 2 endpoints, 2 models"), "{text}");
    // What cannot be added changes nothing.
    let refused: [(&[&str], i32, &str); 5] = [
        (&["add", &a.url(), "--name", "third"], 2, "is in the configuration already, as endpoint `first`"),
        (&["add", "http://127.0.0.1:1"], 6, "nothing answers there"),
        (&["add", "ftp://h"], 2, "it must start with `http://` or `https://`"),
        (&["add", &b.url(), "--site", "mars"], 2, "in the configuration already"),
        (&["add", &a.url(), "--api-key-env", "NO_SUCH_KEY"], 2, "the environment variable `NO_SUCH_KEY` is not set"),
    ];
    for (args, want, says) in refused {
        let (code, _, errors) = run(args);
        assert!(code == want && errors.contains(says), "{args:?}: {code} {errors}");
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no other file is left");
}

#[test]
fn a_list_in_one_line_and_a_wrong_file_are_left_as_they_are() {
    let (dir, engine) = (TempDir::new(), Engine::start("m"));
    let path = dir.path().join("rhumb.yaml");
    let flow = "operators: [{name: o}]\nsites: [{name: s, operator: o, country: DE, latitude: 0, longitude: 0}]\n\
                models: [{name: x}]\nendpoints: [{name: e, site: s, url: 'http://h', models: [{model: x}]}]\n";
    for (text, code, says) in
        [(flow, 2, "`models` is not written as a list"), ("sites: 7\n", 3, "has to be right before")]
    {
        std::fs::write(&path, text).unwrap();
        let (found, _, errors) = rhumb(dir.path(), &["add", &engine.url()]);
        assert!(found == code && errors.contains(says), "{errors}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn without_a_configuration_engines_of_this_machine_are_served() {
    let (dir, engine) = (TempDir::new(), Engine::start("m"));
    let (code, _, errors) = rhumb(dir.path(), &["up", "--look-at", "1"]);
    assert!(code == 2 && errors.contains("no engine answers on this machine at the ports 1:"), "{errors}");
    let port = engine.1.to_string();
    let args = ["up", "--look-at", &port, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let mut child = Command::new(binary()).args(args).current_dir(dir.path()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let serving = lines.find(|line| line.contains("serving http://")).unwrap();
    let address = serving.split("http://").nth(1).unwrap().split('/').next().unwrap().parse().unwrap();
    let body = r#"{"model":"m","max_tokens":3,"messages":[{"role":"user","content":"hi"}]}"#;
    let mut client = Client::connect(address);
    assert_eq!(client.exchange(&post("/v1/chat/completions", "", body.as_bytes())).status, 200);
    // Once there is a file, it is in force.
    let (code, said, _) = rhumb(dir.path(), &["add", &engine.url(), "--name", "mine"]);
    assert!(code == 0 && said.contains("made      rhumb.yaml"), "{said}");
    let news = lines.find(|line| line.contains("configuration") && !line.contains("no tenants")).unwrap();
    assert!(!news.contains("refused"), "{news}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn an_endpoint_is_asked_which_dialects_it_answers() {
    let refuses =
        status(400, "", r#"{"type":"error","error":{"type":"invalid_request_error","message":"model: is missing"}}"#);
    let (dir, mock) = (TempDir::new(), Mock::start("a", refuses));
    let args = ["add", &mock.url(), "--dry-run", "--api-key-env", "KEY", "--api-key-header", "x-api-key"];
    let (code, said, errors) = rhumb(dir.path(), &args);
    assert_eq!(code, 0, "{errors}");
    for line in ["api_key: ${KEY}\n", "api_key_header: x-api-key\n", "# dialects: [chat, messages, responses]   #"] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let seen = mock.seen();
    let paths: Vec<&str> = seen.iter().map(|s| s.path.as_str()).collect();
    assert_eq!(paths, ["/v1/chat/completions", "/v1/messages", "/v1/responses"]);
    let head = |s: &rhumb_tests::mock::Seen| (s.header("x-api-key").to_owned(), s.header("authorization").to_owned());
    assert!(seen.iter().all(|s| head(s) == ("k-0123456789".to_owned(), String::new())));
    // What is not there, and what answers whatever it is asked, is no dialect.
    mock.set(status(404, "", "{}"));
    assert!(!rhumb(dir.path(), &["add", &mock.url(), "--dry-run"]).1.contains("dialects"));
    mock.set(vec![Step::Answer(1)]);
    assert!(!rhumb(dir.path(), &["add", &mock.url(), "--dry-run"]).1.contains("dialects"));
}
