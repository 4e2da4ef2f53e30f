//! One configuration after another: each comes into force whole or not at all.
//!
//! What a request finds is a [`ConfigEpoch`], which it keeps to its end. A new configuration is made ready beside the one in
//! force, from what stays and what it changes; then one pointer is set. A configuration that is refused leaves
//! nothing behind but the news of it.

use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use rhumb_config::without_secret;
use rhumb_grid::config;
use rhumb_grid::index::Grid;
use rhumb_process::clock;
use serde::Serialize;

use crate::epoch::{ConfigEpoch, upstreams};
use crate::lock::lock;
use crate::metrics::{REFUSED, TAKEN, UNCHANGED};
use crate::retention::retention;
use crate::state::GatewayState;
use crate::version::{Digest, Version};

/// A gateway with the configuration in force.
pub(crate) struct Gateway {
    current: ArcSwap<ConfigEpoch>,
    /// Held while a configuration changes: one does at a time.
    status: Mutex<Status>,
}

/// How the last changes went, as `GET /admin/v1/config` says it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Status {
    /// The version in force.
    version: String,
    /// When it came into force; wall clock, for people.
    since_unix_ms: u64,
    /// When a configuration was last read anew, and what came of it.
    last_reload: Option<Reload>,
}

#[derive(Debug, Clone, Serialize)]
struct Reload {
    at_unix_ms: u64,
    /// `ok`, `unchanged` or `refused`.
    result: &'static str,
    /// Why it was refused.
    error: Option<String>,
}

impl Gateway {
    /// Begins with a first configuration.
    pub(crate) fn new(epoch: ConfigEpoch) -> Self {
        let epoch = Arc::new(epoch);
        let status = Status { version: epoch.version.to_string(), since_unix_ms: clock::unix_ms(), last_reload: None };
        epoch.versions.enter(&epoch);
        epoch.publish();
        Self { current: ArcSwap::new(epoch), status: Mutex::new(status) }
    }

    /// The configuration in force.
    pub(crate) fn now(&self) -> Arc<ConfigEpoch> {
        self.current.load_full()
    }

    /// How the last changes went.
    pub(crate) fn status(&self) -> Status {
        lock(&self.status).clone()
    }

    /// Puts a configuration into force.
    fn take(&self, grid: Grid, digest: Digest, status: &mut Status) -> Result<(), String> {
        let before = self.now();
        if let Some(field) = fixed(&before.grid.config.gateway, &grid.config.gateway) {
            return Err(field);
        }
        let upstreams = upstreams(&grid, &before.state.names).map_err(|e| e.to_string())?;
        let version = Version { ordinal: before.version.ordinal + 1, digest };
        let state: &Arc<GatewayState> = &before.state;
        let epoch = Arc::new(ConfigEpoch::new(state, grid, upstreams, version, Some(&before)));
        epoch.versions.enter(&epoch);
        state.log.keep(retention(&epoch.grid.config.gateway));
        // The first decision finds what is known, not a blank.
        epoch.publish();
        self.current.store(epoch);
        (status.version, status.since_unix_ms) = (version.to_string(), clock::unix_ms());
        Ok(())
    }
}

/// What a running gateway cannot change, said of the first such field that differs.
fn fixed(now: &config::Gateway, new: &config::Gateway) -> Option<String> {
    let of = |g: &config::Gateway| {
        let files = |tls: &Option<config::ListenTls>| {
            tls.as_ref().map_or("not set".to_owned(), |tls| format!("{}, {}", tls.cert_file, tls.key_file))
        };
        let number = |n: Option<u64>| n.map_or("not set".to_owned(), |n| n.to_string());
        [
            ("listen", g.listen.clone()),
            ("admin_listen", g.admin_listen.clone()),
            ("tls", files(&g.tls)),
            ("admin_tls", files(&g.admin_tls)),
            ("data_dir", g.data_dir.clone()),
            ("kept_max_age_days", number(g.kept_max_age_days.map(u64::from))),
            ("workers", g.workers.to_string()),
            ("max_memory_mb", number(g.max_memory_mb)),
            ("max_held_mb", number(g.max_held_mb)),
            ("max_connections", number(g.max_connections.map(u64::from))),
            ("dns_servers", g.dns_servers.join(", ")),
        ]
    };
    let ((name, now), (_, new)) = of(now).into_iter().zip(of(new)).find(|(now, new)| now != new)?;
    let (now, new) = (without_secret(&now), without_secret(&new));
    Some(format!(
        "`gateway.{name}` cannot change while the gateway runs: it is `{now}` and would be `{new}`; restart it"
    ))
}

/// Changes the configuration of a gateway that runs.
#[derive(Clone)]
pub struct Reloader(pub(crate) Arc<Gateway>);

impl Reloader {
    /// Puts a checked configuration into force, if its digest is another than that of the one in force, and says so on
    /// the standard error stream. True when it is in force.
    pub fn offer(&self, grid: Grid, digest: Digest) -> bool {
        let mut status = lock(&self.0.status);
        if self.0.now().version.digest == digest {
            tracing::info!("the configuration is unchanged: {}", status.version);
            self.note(&mut status, UNCHANGED, None);
            return true;
        }
        match self.0.take(grid, digest, &mut status) {
            Ok(()) => {
                tracing::info!("configuration {} is in force", status.version);
                self.note(&mut status, TAKEN, None);
                true
            }
            Err(why) => {
                self.refuse_with(&mut status, why);
                false
            }
        }
    }

    /// A configuration cannot be used: the one in force stays, and it is said why.
    pub fn refuse(&self, why: String) {
        self.refuse_with(&mut lock(&self.0.status), why);
    }

    fn refuse_with(&self, status: &mut Status, why: String) {
        tracing::error!("the new configuration is refused, {} stays in force: {why}", status.version);
        self.note(status, REFUSED, Some(why));
    }

    fn note(&self, status: &mut Status, result: &'static str, error: Option<String>) {
        self.0.now().metrics.reloaded(result);
        status.last_reload = Some(Reload { at_unix_ms: clock::unix_ms(), result, error });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_a_restart_is_named() {
        let now = config::Gateway::default();
        let tls = config::ListenTls { cert_file: "c".into(), key_file: "k".into() };
        assert_eq!(fixed(&now, &config::Gateway { max_queue: 1, ..now.clone() }), None);
        for (new, field) in [
            (config::Gateway { listen: "x".into(), ..now.clone() }, "`gateway.listen`"),
            (config::Gateway { admin_listen: "x".into(), ..now.clone() }, "`gateway.admin_listen`"),
            (config::Gateway { tls: Some(tls.clone()), ..now.clone() }, "`gateway.tls`"),
            (config::Gateway { admin_tls: Some(tls), ..now.clone() }, "`gateway.admin_tls`"),
            (config::Gateway { data_dir: "x".into(), ..now.clone() }, "`gateway.data_dir`"),
            (config::Gateway { workers: 7, ..now.clone() }, "`gateway.workers`"),
            (config::Gateway { max_held_mb: Some(7), ..now.clone() }, "`gateway.max_held_mb`"),
            (config::Gateway { dns_servers: vec!["x".into()], ..now.clone() }, "`gateway.dns_servers`"),
        ] {
            assert!(fixed(&now, &new).is_some_and(|said| said.starts_with(field)), "{field}");
        }
        let secret = config::Gateway { data_dir: "s3://user:s3cret@h/log".into(), ..now.clone() };
        assert!(
            fixed(&now, &secret).is_some_and(|said| said.contains("`gateway.data_dir`") && !said.contains("s3cret"))
        );
    }
}
