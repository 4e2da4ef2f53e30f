//! A new configuration while requests are served: F56.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rhumb_tests::client::{Client, post};
use rhumb_tests::config::Config;
use rhumb_tests::gateway::{Gateway, rhumb};
use rhumb_tests::mock::Mock;
use rhumb_tests::script::{Script, Step};
use rhumb_tests::{speech, wait};
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";

fn reloads(gateway: &Gateway, result: &str) -> f64 {
    gateway.metric(&format!("rhumb_config_reloads_total{{result=\"{result}\"}}"))
}

/// Puts a text in the place of the file, as a careful editor does.
fn write(gateway: &Gateway, text: impl AsRef<[u8]>) {
    let beside = gateway.file().with_extension("new");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(beside, gateway.file()).unwrap();
}

/// Writes a configuration, says so, and waits until it has come to this.
fn reload(gateway: &Gateway, text: impl AsRef<[u8]>, result: &str) {
    let all = || ["ok", "unchanged", "refused"].map(|result| reloads(gateway, result));
    let before = all();
    write(gateway, text);
    gateway.signal("HUP");
    wait::until_true("the file is read", || all() != before);
    let now = all();
    let came =
        ["ok", "unchanged", "refused"].into_iter().zip(now.iter().zip(before)).find(|(_, (now, was))| *now > was);
    assert_eq!(came.map(|(result, _)| result), Some(result), "{}", gateway.said());
}

fn take(gateway: &Gateway, config: &Config) {
    reload(gateway, gateway.text_of(config), "ok");
}

fn status(gateway: &Gateway) -> Value {
    gateway.ask_admin("/admin/v1/config").json()
}

/// Version of the configuration in force.
fn version(gateway: &Gateway) -> String {
    status(gateway)["version"].as_str().unwrap().to_owned()
}

fn explained(gateway: &Gateway, id: &str) -> Value {
    let answer = gateway.ask_admin(&format!("/admin/v1/decisions/{id}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// A stream of three tokens that waits after the first.
fn gated(name: &str) -> Script {
    let end = [speech::finish(name), speech::usage_frame(name, 3), speech::done()].map(|t| Step::Chunk(t.into_bytes()));
    let begin = [Step::Head, Step::Role, Step::Tokens(1), Step::Gate, Step::Tokens(2)];
    [&begin[..], &end, &[Step::ZeroChunk]].concat()
}

/// Sends a request for a stream.
fn send(gateway: &Gateway, headers: &str, name: &str) -> Client {
    let mut ask = speech::ask(true);
    ask["user"] = json!(name);
    let mut client = gateway.client();
    client.send(&post(CHAT, headers, ask.to_string().as_bytes()));
    client
}

/// The whole stream that is still to come; the id of its decision.
fn whole(client: &mut Client) -> String {
    let answer = client.answer();
    assert_eq!((answer.status, answer.whole), (200, true), "{}", answer.text());
    assert_eq!(speech::text_of(&answer.events()), speech::text(3));
    answer.header("x-rhumb-decision").to_owned()
}

fn await_queue(gateway: &Gateway, length: usize) {
    wait::until_true("the queue is so long", || {
        gateway.metric("rhumb_queue_length{priority=\"batch\"}") == length as f64
    });
}

fn replays_the_same(id: &str, data_dir: &Path) -> Value {
    let output = rhumb(&["replay", id, "--json", "--data-dir", data_dir.to_str().unwrap()]);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &said["identical"]), (Some(0), &true.into()), "{said}");
    said
}

#[test]
fn f56_streams_end_under_the_configuration_that_they_began_under() {
    let (a, b) = (Mock::start("a", gated("a")), Mock::answering("b", 3));
    let gateway = Config::over(&[&a]).start();
    let first = version(&gateway);
    assert!(first.starts_with("1-") && first.len() == 14, "{first}");
    let mut old = send(&gateway, "", "old");
    old.read_until("t1 ");
    take(&gateway, &Config::over(&[&b]));
    let second = version(&gateway);
    assert!(second.starts_with("2-") && second[2..] != first[2..]);
    assert_eq!(gateway.metric(&format!("rhumb_config_info{{version=\"{second}\"}}")), 1.0);
    assert_eq!(status(&gateway)["still_serving"], json!([first]));
    let answer = gateway.chat(&speech::ask(true));
    assert_eq!((answer.status, answer.header("x-rhumb-endpoint")), (200, "b"));
    // The old one is still counted where it is, which the new configuration knows nothing of.
    assert_eq!(gateway.of_endpoint("in_flight", "a"), 1.0);
    a.release();
    let old = whole(&mut old);
    gateway.await_rest();
    wait::until_true("nothing is served under the old one", || status(&gateway)["still_serving"] == json!([]));
    assert!(!gateway.metrics().contains("rhumb_endpoint_in_flight{endpoint=\"a\"}"), "and it is forgotten");
    let new = answer.header("x-rhumb-decision").to_owned();
    // Both endpoints had the same index.
    for (id, endpoint, version) in [(&old, "a", &first), (&new, "b", &second)] {
        let said = explained(&gateway, id);
        assert_eq!((&said["chosen"]["endpoint"], &said["config"]), (&json!(endpoint), &json!(version)));
    }
    let stopped = gateway.stop();
    let rows: Vec<_> = stopped.rows.iter().map(|r| (r.id.as_str(), r.endpoint.as_str(), r.config.as_str())).collect();
    assert_eq!(rows, [(old.as_str(), "a", first.as_str()), (new.as_str(), "b", second.as_str())]);
    for (id, endpoint, version) in [(&old, "a", &first), (&new, "b", &second)] {
        let said = replays_the_same(id, &stopped.data_dir());
        assert_eq!(
            (&said["explanation"]["chosen"]["endpoint"], &said["explanation"]["config"]),
            (&json!(endpoint), &json!(version))
        );
    }
}

#[test]
fn f56_a_changed_file_is_found_however_it_was_changed() {
    let (a, b) = (Mock::answering("a", 3), Mock::answering("b", 3));
    let gateway = Config::over(&[&a]).start();
    let texts = [gateway.text_of(&Config::over(&[&b])), gateway.text_of(&Config::over(&[&a]))];
    let served_by = |endpoint: &str, count: f64| {
        wait::until_true("the change is found", || reloads(&gateway, "ok") == count);
        assert_eq!(gateway.chat(&speech::ask(true)).header("x-rhumb-endpoint"), endpoint);
    };
    // Touched and written as it was: no news.
    let text = std::fs::read(gateway.file()).unwrap();
    std::fs::write(gateway.file(), text).unwrap();
    std::fs::write(gateway.file(), &texts[0]).unwrap();
    served_by("b", 1.0);
    write(&gateway, &texts[1]);
    served_by("a", 2.0);
    // As Kubernetes mounts a ConfigMap: the file is a link through a link, and that one is swapped.
    let dir = gateway.file().parent().unwrap().to_owned();
    for (name, text) in [("1", &texts[1]), ("2", &texts[0])] {
        std::fs::create_dir(dir.join(name)).unwrap();
        std::fs::write(dir.join(name).join("rhumb.yaml"), text).unwrap();
    }
    let link = |to: &str, name: &str| {
        std::os::unix::fs::symlink(to, dir.join("link")).unwrap();
        std::fs::rename(dir.join("link"), dir.join(name)).unwrap();
    };
    link("1", "..data");
    link("..data/rhumb.yaml", "rhumb.yaml");
    link("2", "..data");
    served_by("b", 3.0);
    assert_eq!((reloads(&gateway, "refused"), reloads(&gateway, "unchanged")), (0.0, 0.0));
    // Asked about the same again, it says so.
    gateway.signal("HUP");
    wait::until_true("it is unchanged", || reloads(&gateway, "unchanged") == 1.0);
    assert_eq!(gateway.chat(&speech::ask(true)).header("x-rhumb-endpoint"), "b");
    // A file that is gone is an error, and the configuration stays.
    std::fs::remove_file(gateway.file()).unwrap();
    wait::until_true("it is missed", || reloads(&gateway, "refused") == 1.0);
    assert!(version(&gateway).starts_with("4-"));
    assert_eq!(gateway.chat(&speech::ask(true)).status, 200);
    gateway.stop();
}

/// What `rhumb top` shows.
fn top(gateway: &Gateway) -> String {
    let admin = format!("http://{}", gateway.admin);
    let out = rhumb(&["top", "--once", "--every", "0.2", "--admin", &admin]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// Texts that cannot be used, with what is to be said of each.
fn wrong(good: &str) -> Vec<(&'static str, Vec<u8>, Vec<&'static str>)> {
    let with = |from: &str, to: &str| {
        assert!(good.contains(from));
        good.replacen(from, to, 1).into_bytes()
    };
    vec![
        ("syntax", with("sites:", "sites: ["), vec!["rhumb.yaml:"]),
        ("half a file", good.as_bytes()[..good.len() / 2].to_vec(), vec!["rhumb.yaml:"]),
        ("an unknown field", with("  workers: 2", "  wrokers: 2"), vec!["rhumb.yaml:4:3", "`wrokers`", "`workers`"]),
        ("a contradiction", with("site: site-a", "site: nowhere"), vec!["rhumb.yaml:", "`nowhere`"]),
        ("a wrong type", with("  workers: 2", "  workers: many"), vec!["rhumb.yaml:4:12", "workers"]),
        ("an empty file", Vec::new(), vec!["rhumb.yaml:1:1"]),
        ("no text", vec![0xff; 100], vec!["byte 1 is not UTF-8"]),
        ("a huge file", vec![b'#'; 17 << 20], vec!["more than 16 MiB"]),
        ("other workers", with("  workers: 2", "  workers: 3"), vec!["`gateway.workers`", "`2`", "`3`"]),
        ("another address", with("127.0.0.1:0", "127.0.0.1:1"), vec!["`gateway.listen`", "restart"]),
        ("another folder", with("  data_dir: ", "  data_dir: /nowhere"), vec!["`gateway.data_dir`"]),
    ]
}

#[test]
fn f56_what_cannot_be_used_changes_nothing_and_says_why() {
    let (a, b) = (Mock::answering("a", 3), Mock::answering("b", 3));
    let config = Config::over(&[&a]);
    let gateway = config.start();
    let (good, first) = (gateway.text_of(&config), version(&gateway));
    for (what, text, said) in wrong(&good) {
        let before = gateway.said().len();
        reload(&gateway, text, "refused");
        let page = status(&gateway);
        assert_eq!((&page["version"], &page["last_reload"]["result"]), (&json!(first), &json!("refused")), "{what}");
        let error = page["last_reload"]["error"].as_str().unwrap();
        for word in said {
            assert!(error.contains(word), "{what}: {error}");
            wait::until_true(&format!("{what}: stderr says {word}"), || gateway.said()[before..].contains(word));
        }
        assert!(gateway.said()[before..].contains(&first), "{what}: what stays in force is named");
        assert_eq!(gateway.metric("rhumb_config_last_reload_successful"), 0.0, "{what}");
        assert_eq!(gateway.chat(&speech::ask(true)).header("x-rhumb-endpoint"), "a", "{what}");
    }
    // A file that was wrong is found to be so without a signal too, and heals without one.
    let refused = reloads(&gateway, "refused");
    write(&gateway, "sites: 7\n");
    wait::until_true("it is refused", || reloads(&gateway, "refused") > refused);
    let shown = top(&gateway);
    assert!(shown.contains("CONFIGURATION: what was read") && shown.contains("rhumb.yaml:1:8"), "{shown}");
    assert!(shown.contains(&first), "what is in force: {shown}");
    write(&gateway, &good);
    wait::until_true("the old text is back", || reloads(&gateway, "unchanged") == 1.0);
    assert_eq!(gateway.metric("rhumb_config_last_reload_successful"), 1.0);
    assert_eq!((version(&gateway), status(&gateway)["last_reload"]["error"].clone()), (first, Value::Null));
    assert!(!top(&gateway).contains("CONFIGURATION"));
    take(&gateway, &Config::over(&[&b]));
    assert_eq!(gateway.chat(&speech::ask(true)).header("x-rhumb-endpoint"), "b");
    assert_eq!(reloads(&gateway, "ok"), 1.0);
    gateway.stop();
}

#[test]
fn f56_secrets_of_a_refused_file_are_not_shown() {
    let a = Mock::answering("a", 3);
    let config = Config::over(&[&a]);
    let gateway = config.start();
    let text = gateway.text_of(&config)
        + "tenants:\n  - {name: t, keys: [{name: k, key: canary-7f3a-must-not-leak, no: 1}]}\n";
    reload(&gateway, text, "refused");
    assert!(!status(&gateway).to_string().contains(rhumb_tests::CANARY));
    gateway.stop();
}

#[test]
fn f56_a_gateway_ends_at_once_while_a_huge_file_is_read() {
    let a = Mock::answering("a", 3);
    let gateway = Config::over(&[&a]).start();
    let before = gateway.processor_s();
    write(&gateway, "key: 1\n".repeat(2 << 20));
    gateway.signal("HUP");
    wait::until_true("it reads the file", || gateway.processor_s() > before + 0.2);
    gateway.terminate();
    let said = gateway.await_exit().stderr;
    assert!(said.contains("stopping: ") && !said.contains("is refused"), "{said}");
}

/// One request in flight and two that wait, at an endpoint that runs one at a time.
fn one_and_two(gateway: &Gateway, mock: &Mock) -> Vec<Client> {
    let mut clients = vec![send(gateway, "", "first")];
    mock.await_requests(1);
    for (i, name) in ["second", "third"].into_iter().enumerate() {
        clients.push(send(gateway, "", name));
        await_queue(gateway, i + 1);
    }
    clients
}

/// Whoever the engine has seen, each as often as it has, by name: turns that come at once may be taken in any order.
fn served(mock: &Mock) -> Vec<String> {
    let mut served: Vec<_> = mock.seen().iter().map(|s| s.json()["user"].as_str().unwrap().to_owned()).collect();
    served.sort();
    served
}

#[test]
fn f56_an_endpoint_goes_while_requests_are_in_flight_and_wait_there() {
    let (a, b) = (Mock::start("a", vec![Step::Gate, Step::Answer(3)]), Mock::answering("b", 3));
    let gateway = Config::over(&[&a]).endpoint(0, |e| e.concurrency = 1).start();
    let mut old = one_and_two(&gateway, &a);
    take(&gateway, &Config::over(&[&b]));
    for _ in 0..20 {
        assert_eq!(gateway.chat(&speech::ask(true)).header("x-rhumb-endpoint"), "b");
    }
    assert_eq!((a.requests(), gateway.of_endpoint("in_flight", "a")), (1, 1.0));
    await_queue(&gateway, 2);
    a.release();
    old.iter_mut().for_each(|client| drop(whole(client)));
    assert_eq!(served(&a), ["first", "second", "third"]);
    let rows = gateway.stop().rows;
    let under = |ordinal: &str| rows.iter().filter(|r| r.config.starts_with(ordinal)).count();
    assert_eq!((rows.len(), under("1-"), under("2-")), (23, 3, 20));
    assert!(rows.iter().all(|r| r.outcome == "complete"));
}

/// The same with one more model, which comes first everywhere.
fn with_another_model(text: &str) -> String {
    let (list, served) = ("models:\n", "models: [{model: tiny");
    assert!(text.contains(list) && text.contains(served));
    text.replacen(list, "models:\n  - {name: other}\n", 1).replace(served, "models: [{model: other}, {model: tiny")
}

#[test]
fn f56_a_place_that_the_old_free_goes_to_whoever_is_next_old_or_new() {
    let a = Mock::start("a", vec![Step::Gate, Step::Answer(3)]);
    let config = Config::over(&[&a]).endpoint(0, |e| e.concurrency = 1);
    let gateway = config.start();
    let mut all = one_and_two(&gateway, &a);
    take(&gateway, &config.clone().gateway("max_body_bytes: 2048"));
    // Another name comes first now, so that no model has the position that it had.
    reload(&gateway, with_another_model(&gateway.text_of(&config)), "ok");
    for (i, name) in ["fourth", "fifth"].into_iter().enumerate() {
        all.push(send(&gateway, "", name));
        await_queue(&gateway, 3 + i);
    }
    assert_eq!((a.requests(), gateway.of_endpoint("in_flight", "a")), (1, 1.0), "the place that is taken counts on");
    a.release();
    all.iter_mut().for_each(|client| drop(whole(client)));
    assert_eq!(served(&a), ["fifth", "first", "fourth", "second", "third"]);
    assert!(a.accepted() <= 4, "a connection for each worker, a probe's and a scrape's: it is the same endpoint");
    let rows = gateway.stop().rows;
    assert_eq!(rows.iter().map(|r| &r.config[..2]).collect::<Vec<_>>(), ["1-", "1-", "1-", "3-", "3-"]);
}

const TENANTS: &str = "tenants:
  - {name: one, keys: [{name: k, key: sk-number-one}], allow_policies: [test]}
  - {name: two, keys: [{name: k, key: sk-number-two}], allow_policies: [test]}
";

#[test]
fn f56_a_key_that_is_revoked_is_refused_with_the_very_next_request() {
    let a = Mock::start("a", gated("a"));
    let config = Config::over(&[&a]);
    let gateway = config.clone().tail(TENANTS).start();
    let one = "authorization: Bearer sk-number-one\r\n";
    let (mut open, mut kept) = (send(&gateway, one, "open"), gateway.client());
    open.read_until("t1 ");
    a.set(vec![Step::Answer(3)]);
    let ask = post(CHAT, one, speech::ask(true).to_string().as_bytes());
    assert_eq!(kept.exchange(&ask).status, 200);
    take(
        &gateway,
        &config.tail("tenants:\n  - {name: two, keys: [{name: k, key: sk-number-two}], allow_policies: [test]}\n"),
    );
    kept.exchange(&ask).error(401, "invalid_api_key");
    send(&gateway, one, "new").answer().error(401, "invalid_api_key");
    assert_eq!(send(&gateway, "authorization: Bearer sk-number-two\r\n", "two").answer().status, 200);
    a.release();
    whole(&mut open);
    let rows = gateway.stop().rows;
    assert_eq!(rows.iter().map(|r| r.tenant.as_str()).collect::<Vec<_>>(), ["one", "one", "two"]);
}

#[test]
fn f56_what_was_learnt_stays_with_the_name() {
    let (a, b) = (Mock::answering("a", 3), Mock::answering("b", 3));
    let config = Config::over(&[&a, &b]);
    let gateway = config.start();
    let session = post(CHAT, "x-rhumb-session: s\r\n", speech::ask(true).to_string().as_bytes());
    let ask = || {
        let answer = gateway.client().exchange(&session);
        assert_eq!((answer.status, answer.header("x-rhumb-endpoint")), (200, "a"));
        explained(&gateway, answer.header("x-rhumb-decision"))["reason"].clone()
    };
    ask();
    let pinned = ask();
    // The same endpoints and prices, the other way round.
    let text = gateway.text_of(&config);
    let line = |name: &str| text.lines().find(|l| l.starts_with(&format!("  - {{name: {name}, site"))).unwrap();
    let swapped = text.replace(line("a"), "A").replace(line("b"), line("a")).replace("  - {name: A", "");
    let swapped = swapped.replacen("\nA\n", &format!("\n{}\n", line("b")), 1);
    assert!(swapped != text && swapped.len() == text.len());
    let (view, rtt) = (gateway.metric("rhumb_view_version"), gateway.of_endpoint("rtt_seconds", "b"));
    reload(&gateway, &swapped, "ok");
    assert_eq!(ask(), pinned, "a session keeps its pin");
    assert_eq!(gateway.of_endpoint("rtt_seconds", "b"), rtt);
    assert!(gateway.metric("rhumb_view_version") > view);
    assert_eq!((a.probes().len(), b.probes().len()), (2 + 1, 2 + 1), "who is watched already is not asked anew");
    // A third one is watched from now on, and the second no more: what is back is known as before.
    let c = Mock::answering("c", 3);
    take(&gateway, &Config::over(&[&c, &a]));
    wait::until_true("the new one is probed", || {
        gateway.metrics().contains("rhumb_endpoint_rtt_seconds{endpoint=\"c\"}")
    });
    assert!(!gateway.metrics().contains("rhumb_endpoint_rtt_seconds{endpoint=\"b\"}"));
    take(&gateway, &config);
    assert_eq!(ask(), pinned);
    gateway.stop();
}

/// Counters of a page.
fn counters(page: &str) -> BTreeMap<String, f64> {
    let counts = |name: &str| {
        let name = name.split('{').next().unwrap();
        ["_total", "_count", "_sum", "_bucket"].iter().any(|end| name.ends_with(end))
    };
    let line = |l: &str| l.rsplit_once(' ').map(|(name, v)| (name.to_owned(), v.parse().unwrap()));
    page.lines().filter(|l| !l.starts_with('#')).filter_map(line).filter(|(name, _)| counts(name)).collect()
}

/// Every text that the storm goes through: endpoints come, go and trade places, so do models, tenants and limits.
fn storm(gateway: &Gateway, [a, b, c]: [&Mock; 3]) -> Vec<String> {
    let both = "tenants:\n  - {name: t, keys: [{name: k, key: sk-tenant-t}], allow_policies: [test]}\n";
    let more = "  - {name: u, keys: [{name: k, key: sk-tenant-u}], allow_policies: [test]}\n";
    let first = "  - {name: u, keys: [{name: k, key: sk-tenant-u}], allow_policies: [test]}\n".to_owned();
    let configs = [
        Config::over(&[a, b]).endpoint(0, |e| e.concurrency = 2).tail(both),
        Config::over(&[b]).tail(both).tail(more),
        Config::over(&[c, b, a])
            .endpoint(0, |e| e.concurrency = 1)
            .tail(&both.replace("tenants:\n", &format!("tenants:\n{first}"))),
        Config::over(&[a, c]).gateway("max_queue: 5000").policy("max_wait_ms: 60000").tail(both),
    ];
    let mut texts: Vec<String> = configs.iter().map(|config| gateway.text_of(config)).collect();
    texts.push(with_another_model(&texts[2]));
    texts
}

/// Ends the clients when the test does, also by failing.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn f56_a_storm_of_reloads_loses_no_request() {
    const CLIENTS: usize = 6;
    const RELOADS: usize = 60;
    let (a, b, c) = (Mock::answering("a", 3), Mock::answering("b", 3), Mock::answering("c", 3));
    let gateway = Config::over(&[&a]).policy("max_wait_ms: 60000").start();
    let texts = storm(&gateway, [&a, &b, &c]);
    reload(&gateway, &texts[0], "ok");
    let over = AtomicBool::new(false);
    let sent: usize = std::thread::scope(|scope| {
        let client = |i: usize| {
            let (gateway, over) = (&gateway, &over);
            move || {
                let mut sent = 0_usize;
                let mut client = gateway.client();
                while !over.load(Ordering::SeqCst) {
                    let body = speech::ask(!(i + sent).is_multiple_of(3)).to_string();
                    let session = format!("authorization: Bearer sk-tenant-t\r\nx-rhumb-session: s{i}\r\n");
                    let answer = client.exchange(&post(CHAT, &session, body.as_bytes()));
                    assert_eq!((answer.status, answer.whole), (200, true), "{}", answer.text());
                    sent += 1;
                    if sent.is_multiple_of(50) {
                        client = gateway.client();
                    }
                }
                sent
            }
        };
        let clients: Vec<_> = (0..CLIENTS).map(|i| scope.spawn(client(i))).collect();
        let end = End(&over);
        let mut before = BTreeMap::new();
        for i in 1..=RELOADS {
            reload(&gateway, &texts[i % texts.len()], "ok");
            if i % 7 == 0 {
                reload(&gateway, "sites: 1\n", "refused");
            }
            let now = counters(&gateway.metrics());
            for (name, was) in &before {
                assert!(now.get(name).is_some_and(|is| is >= was), "`{name}` goes back from {was}");
            }
            before = now;
        }
        drop(end);
        clients.into_iter().map(|c| c.join().unwrap()).sum()
    });
    gateway.await_rest();
    await_queue(&gateway, 0);
    wait::until_true("only the last one serves", || status(&gateway)["still_serving"] == json!([]));
    let page = counters(&gateway.metrics());
    let attempts = |e: &str| page.get(&format!("rhumb_attempts_total{{endpoint=\"{e}\",result=\"sent\"}}")).copied();
    let counted: f64 = ["a", "b", "c"].iter().filter_map(|e| attempts(e)).sum();
    assert_eq!(counted, (a.requests() + b.requests() + c.requests()) as f64, "each attempt under its own name");
    assert!(version(&gateway).starts_with(&format!("{}-", RELOADS + 2)));
    let stopped = gateway.stop();
    assert_eq!(stopped.rows.len(), sent);
    assert!(stopped.rows.iter().all(|r| (r.outcome.as_str(), r.status, r.tenant.as_str()) == ("complete", 200, "t")));
    let mut sample: Vec<_> = stopped.rows.iter().collect();
    sample.dedup_by(|a, b| a.config == b.config);
    assert!(sample.len() >= RELOADS / 2, "requests were served under {} configurations", sample.len());
    for row in sample.iter().step_by(8) {
        let said = replays_the_same(&row.id, &stopped.data_dir());
        assert_eq!(said["explanation"]["config"], json!(row.config));
        assert_eq!(said["served_by"], json!(row.endpoint));
        // One that finds no room any more where it was decided to go is served by another of that decision.
        let candidates = said["explanation"]["candidates"].as_array().unwrap();
        assert!(candidates.iter().any(|c| c["endpoint"] == said["served_by"]), "{said}");
    }
}
