//! A page of another site cannot use the admin API through the browser of somebody who can reach it.

use rhumb_tests::client::{Answer, Client};
use rhumb_tests::config::Config;
use rhumb_tests::gateway::Gateway;
use rhumb_tests::h2c::H2;
use rhumb_tests::mock::Mock;
use rhumb_tests::speech;

const DRAIN: &str = "{\"name\":\"a\",\"accepts\":\"none\"}";

fn send(gateway: &Gateway, method: &str, path: &str, lines: &str, body: &str) -> Answer {
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\ncontent-length: {length}\r\nconnection: close\r\n{lines}\r\n");
    Client::connect(gateway.admin).exchange(format!("{head}{body}").as_bytes())
}

#[test]
fn what_a_foreign_page_has_a_browser_send_changes_and_tells_nothing() {
    let a = Mock::answering("a", 2);
    let gateway = Config::over(&[&a]).gateway("admin_hosts: [ops.example]").start();
    let own = format!("host: {}\r\n", gateway.admin);
    let json = "content-type: application/json\r\n";
    for (lines, status) in [
        (format!("{own}content-type: text/plain\r\n"), 415),
        (format!("{own}content-type: application/x-www-form-urlencoded\r\n"), 415),
        (own.clone(), 415),
        (format!("{own}{json}origin: http://evil.example\r\n"), 403),
        (format!("{own}{json}origin: null\r\n"), 403),
        (format!("{own}{json}origin: http://127.0.0.1:1\r\n"), 403),
        (format!("{own}{json}sec-fetch-site: cross-site\r\n"), 403),
        (format!("{own}{json}sec-fetch-site: same-site\r\n"), 403),
        (format!("host: evil.example\r\n{json}"), 403),
        (format!("host: 127.0.0.1.evil.example\r\n{json}origin: http://127.0.0.1.evil.example\r\n"), 403),
        (format!("host: evil.example\r\n{json}origin: http://evil.example\r\nsec-fetch-site: same-origin\r\n"), 403),
        (json.to_owned(), 400),
        (format!("{own}{own}{json}"), 400),
    ] {
        let answer = send(&gateway, "POST", "/admin/v1/drain", &lines, DRAIN);
        assert_eq!(answer.status, status, "{lines}: {}", answer.text());
        let message = answer.json()["error"]["message"].as_str().map(str::len);
        assert!(message > Some(20), "it says why: {lines}");
    }
    for path in ["/admin/v1/config", "/admin/v1/endpoints", "/admin/v1/decisions/0000000000000", "/metrics"] {
        for lines in [
            "host: evil.example\r\n".to_owned(),
            format!("{own}origin: http://evil.example\r\n"),
            format!("{own}sec-fetch-site: cross-site\r\n"),
        ] {
            let answer = send(&gateway, "GET", path, &lines, "");
            assert_eq!(answer.status, 403, "{path} {lines}: {}", answer.text());
        }
    }
    let absolute = send(&gateway, "GET", "http://evil.example/admin/v1/config", &own, "");
    assert_eq!(absolute.status, 403);
    assert_eq!(gateway.chat(&speech::ask(false)).header("x-rhumb-endpoint"), "a", "nothing was drained");
    // Health tells nothing, and is asked for under any name.
    assert_eq!(send(&gateway, "GET", "/health/ready", "host: 10.1.2.3:9080\r\n", "").status, 200);
    gateway.stop();
}

#[test]
fn programs_and_its_own_pages_are_served() {
    let a = Mock::answering("a", 2);
    let gateway = Config::over(&[&a]).gateway("admin_hosts: [ops.example]").start();
    let port = gateway.admin.port();
    for host in
        [format!("127.0.0.1:{port}"), format!("localhost:{port}"), "[::1]".to_owned(), "ops.example:9".to_owned()]
    {
        let own = format!("host: {host}\r\norigin: http://{host}\r\nsec-fetch-site: same-origin\r\n");
        for lines in [format!("host: {host}\r\n"), own] {
            let answer = send(&gateway, "GET", "/admin/v1/endpoints", &lines, "");
            assert_eq!(answer.status, 200, "{lines}: {}", answer.text());
            let lines = format!("{lines}content-type: application/json; charset=utf-8\r\n");
            let answer =
                send(&gateway, "POST", "/admin/v1/drain", &lines, "{\"name\":\"a\",\"accepts\":\"new_and_existing\"}");
            assert_eq!(answer.status, 200, "{lines}: {}", answer.text());
        }
    }
    // The same holds on HTTP/2, where the target names the host: `grid` is none of its names.
    let mut h2 = H2::connect(gateway.admin);
    let mut call = h2.post("/admin/v1/drain", DRAIN.as_bytes());
    h2.head(&mut call);
    assert_eq!(call.status, 403);
    gateway.stop();
}
