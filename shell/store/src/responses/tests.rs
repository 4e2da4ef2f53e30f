use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

static NUMBER: AtomicU32 = AtomicU32::new(0);

struct Folder(std::path::PathBuf);

impl Folder {
    fn new() -> Self {
        let n = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("rhumb-responses-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn store(&self, age: Duration) -> ResponseStore {
        ResponseStore::open(&self.0, age, &Tasks::default()).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const DAY: Duration = Duration::from_secs(86_400);

fn now_s() -> u64 {
    clock::unix_ms() / 1_000
}

fn wait<T>(what: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(what)
}

fn response(id: &str, previous: Option<&str>) -> KeptResponse {
    KeptResponse {
        id: id.into(),
        tenant: "acme".into(),
        previous: previous.map(str::to_owned),
        created_s: now_s(),
        status: "completed".into(),
        input: format!(r#"[{{"id":"in_{id}"}}]"#),
        object: format!(r#"{{"id":"{id}","status":"completed","output":[{{"id":"out_{id}","text":"\u00e9 1.50"}}]}}"#),
        ..KeptResponse::default()
    }
}

#[test]
fn a_chain_is_told_from_its_beginning() {
    let folder = Folder::new();
    let store = folder.store(DAY);
    for (id, previous) in [("a", None), ("b", Some("a")), ("c", Some("b"))] {
        wait(store.keep(response(id, previous))).unwrap();
    }
    let history = wait(store.up_to("acme", "c", 10_000)).unwrap().unwrap();
    let ids: Vec<String> = history
        .items
        .iter()
        .flat_map(|items| serde_json::from_str::<Vec<serde_json::Value>>(items).unwrap())
        .map(|item| item["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids, ["in_a", "out_a", "in_b", "out_b", "in_c", "out_c"]);
    assert!(history.items[1].contains("1.50"), "what was said is as it was: {:?}", history.items);
    assert_eq!(wait(store.up_to("acme", "c", 10)).unwrap(), Err(Forgotten::TooLong));
    assert_eq!(wait(store.up_to("other", "c", 10_000)).unwrap(), Err(Forgotten::Unknown));
    assert!(wait(store.forget("acme", "a")).unwrap());
    assert_eq!(wait(store.up_to("acme", "c", 10_000)).unwrap(), Err(Forgotten::Unknown));
    assert_eq!(wait(store.find("other", "b")).unwrap(), None);
    assert!(!wait(store.forget("other", "b")).unwrap());
}

#[test]
fn what_another_process_did_not_finish_has_failed() {
    let folder = Folder::new();
    let store = folder.store(DAY);
    let half = KeptResponse { status: "in_progress".into(), ..response("a", None) };
    wait(store.keep(half)).unwrap();
    assert_eq!(wait(store.up_to("acme", "a", 9)).unwrap(), Err(Forgotten::Unfinished("in_progress".into())));
    let again = folder.store(DAY);
    let found = wait(again.find("acme", "a")).unwrap().unwrap();
    assert!(found.has_ended() && found.object.contains("server_error"), "{}", found.object);
}

#[test]
fn what_is_too_old_is_gone() {
    let folder = Folder::new();
    let store = folder.store(DAY);
    wait(store.keep(KeptResponse { created_s: now_s() - 90_000, ..response("a", None) })).unwrap();
    wait(store.keep(response("b", None))).unwrap();
    let again = folder.store(DAY);
    assert_eq!(wait(again.find("acme", "a")).unwrap(), None);
    assert!(wait(again.find("acme", "b")).unwrap().is_some());
}

#[test]
fn a_conversation_has_what_its_responses_said() {
    let folder = Folder::new();
    let store = folder.store(DAY);
    let conversation = Conversation { id: "conv_1".into(), tenant: "acme".into(), created_s: 1, metadata: "{}".into() };
    wait(store.begin_conversation(conversation.clone(), r#"[{"id":"first"}]"#.into())).unwrap();
    let of = |id: &str| KeptResponse { conversation: Some("conv_1".into()), ..response(id, None) };
    wait(store.keep(KeptResponse { status: "in_progress".into(), ..of("a") })).unwrap();
    wait(store.keep(of("a"))).unwrap();
    let items = wait(store.items("acme", "conv_1", 10_000)).unwrap().unwrap();
    assert_eq!(items.len(), 3);
    assert!(items[0].contains("first") && items[2].contains("out_a"));
    assert_eq!(wait(store.items("acme", "conv_1", 9)).unwrap(), Err(Forgotten::TooLong));
    let add = |tenant, most| wait(store.add_items(tenant, "conv_1", r#"[{"id":"more"}]"#.into(), most)).unwrap();
    assert_eq!([add("acme", 9), add("other", 10_000)], [Err(Forgotten::TooLong), Err(Forgotten::Unknown)]);
    assert!(wait(store.note_conversation("acme", "conv_1", r#"{"a":"b"}"#.into())).unwrap());
    assert_eq!(wait(store.find_conversation("acme", "conv_1")).unwrap().unwrap().metadata, r#"{"a":"b"}"#);
    assert!(wait(store.forget_item("conv_1", "first")).unwrap());
    let history = wait(store.said_in("acme", "conv_1", 10_000)).unwrap().unwrap();
    assert!(!history.items[0].contains("first") && history.items[0].contains("in_a"));
    assert_eq!(wait(store.said_in("other", "conv_1", 10_000)).unwrap(), Err(Forgotten::Unknown));
    assert!(wait(store.forget_conversation("acme", "conv_1")).unwrap());
    wait(store.keep(of("b"))).unwrap();
    assert_eq!(wait(store.find_conversation("acme", "conv_1")).unwrap(), None);
}
