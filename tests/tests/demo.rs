//! `rhumb demo` where nobody looks at a terminal.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Command, Output};

use rhumb_tests::gateway::binary;

fn demo(args: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = Command::new(binary()).arg("demo").args(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

#[test]
fn the_demo_says_where_its_admin_api_is_and_what_happens_and_exits_with_a_published_code() {
    let any = "127.0.0.1:0";
    let (code, shown, _) = demo(&["--seconds", "4", "--rps", "4", "--listen", any, "--admin-listen", any]);
    assert!(shown.contains("admin API: rhumb top --admin http://127.0.0.1:"), "{shown}");
    let (fails, back) =
        (shown.find(" fails: its engines refuse").unwrap(), shown.find(" is back; in 1 s without it").unwrap());
    assert!(fails < back && shown[fails..back].contains("more than any other site"), "{shown}");
    assert!(shown.contains(" metered, "), "{shown}");
    // However busy the machine is: the code says whether requests failed, and not how many.
    let last = shown.lines().last().unwrap();
    assert_eq!(code, if last.contains(" 0 failed;") { 0 } else { 5 }, "{last}");
}

#[test]
fn a_site_that_is_named_fails() {
    let (_, shown, _) = demo(&["--seconds", "2", "--rps", "2", "--listen", "127.0.0.1:0", "--fail", "seoul@1"]);
    assert!(shown.contains("seoul fails: ") && !shown.contains("more than any other site"), "{shown}");
}

#[test]
fn a_taken_admin_address_is_an_error_that_names_the_option() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, _, said) = demo(&["--seconds", "1", "--listen", "127.0.0.1:0", "--admin-listen", &address]);
    assert!(code == 2 && said.contains("--admin-listen 127.0.0.1:PORT"), "{said}");
}
