//! `rhumb top` where there is nothing to watch.

use std::net::TcpListener;

use rhumb_tests::gateway::rhumb;

#[test]
fn a_gateway_that_is_not_there_or_does_not_answer_is_named() {
    // Connections to it are taken by the system, and nobody ever answers.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let gone = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let silent_at = silent.local_addr().expect("bound");
    for (address, why) in [(silent_at, "it does not answer"), (gone, "connecting failed")] {
        let url = format!("http://{address}");
        let out = rhumb(&["top", "--once", "--admin", &url]);
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(6), "{said}");
        assert!(said.contains(&url) && said.contains(why), "{said}");
    }
}
