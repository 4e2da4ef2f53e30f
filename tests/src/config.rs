//! A `rhumb.yaml` over mocks. The first mock is ten times cheaper than the second and so on, and time costs next to
//! nothing, so that the order in which they are tried is theirs.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use crate::MODEL;
use crate::mock::Mock;

/// An endpoint and its site.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Its name; its site's is `site-` and that.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// It is up when the gateway starts, so its first probes succeed.
    pub open: bool,
    /// The model that it serves.
    pub model: &'static str,
    /// Country of its site.
    pub country: &'static str,
    /// Longest prompt and answer.
    pub context_tokens: u32,
    /// Requests it is stated to run at once.
    pub concurrency: u32,
    /// More members of the endpoint, as YAML flow: `, gpu: h100`.
    pub more: String,
    /// More members of its site.
    pub site_more: String,
}

/// A configuration being put together.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Its endpoints.
    pub endpoints: Vec<Endpoint>,
    gateway: String,
    policy: String,
    tail: String,
    alike: bool,
    model: String,
    models: String,
    scrape_interval_ms: Option<u64>,
    probe_interval_ms: Option<u64>,
    pub(crate) limits: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
}

impl Endpoint {
    fn new(name: &str, url: String, open: bool) -> Self {
        Self {
            name: name.to_owned(),
            url,
            open,
            model: MODEL,
            country: "DE",
            context_tokens: 100_000_000,
            concurrency: 10_000,
            more: String::new(),
            site_more: String::new(),
        }
    }
}

impl Config {
    /// One site with one endpoint for each mock.
    pub fn over(mocks: &[&Mock]) -> Self {
        let endpoint = |m: &&Mock| Endpoint::new(m.name(), m.url(), m.is_open());
        Self { endpoints: mocks.iter().map(endpoint).collect(), ..Self::default() }
    }

    /// One more site, before those there are. It is another gateway, so there are no readings of an engine to wait for.
    #[must_use]
    pub fn through(mut self, name: &str, address: SocketAddr) -> Self {
        self.endpoints.insert(0, Endpoint::new(name, format!("http://{address}"), false));
        self
    }

    /// One more line of `gateway`.
    #[must_use]
    pub fn gateway(mut self, line: &str) -> Self {
        let _ = writeln!(self.gateway, "  {line}");
        self
    }

    /// One more member of the policy, which is the gateway's.
    #[must_use]
    pub fn policy(mut self, member: &str) -> Self {
        let _ = write!(self.policy, ", {member}");
        self
    }

    /// Asks every endpoint this, often, and wants that in the answer.
    #[must_use]
    pub fn canary(self, prompt: &str, contains: &str) -> Self {
        self.model(&format!("canary: {{prompt: \"{prompt}\", contains: \"{contains}\"}}"))
            .gateway("canary_interval_ms: 50")
    }

    /// One more member of the model.
    #[must_use]
    pub fn model(mut self, member: &str) -> Self {
        let _ = write!(self.model, ", {member}");
        self
    }

    /// One more model, as a YAML flow.
    #[must_use]
    pub fn other_model(mut self, model: &str) -> Self {
        let _ = writeln!(self.models, "  - {model}");
        self
    }

    /// Reads loads so often; else once.
    #[must_use]
    pub fn scrape(mut self, interval_ms: u64) -> Self {
        self.scrape_interval_ms = Some(interval_ms);
        self
    }

    /// Probes so often; else once.
    #[must_use]
    pub fn probe(mut self, interval_ms: u64) -> Self {
        self.probe_interval_ms = Some(interval_ms);
        self
    }

    /// Every endpoint costs the same.
    #[must_use]
    pub fn alike(mut self) -> Self {
        self.alike = true;
        self
    }

    /// The most descriptors that the gateway may have open.
    #[must_use]
    pub fn descriptors(self, most: u32) -> Self {
        self.limit(&format!("-n {most}"))
    }

    /// A limit of the gateway's process, as `ulimit` takes it.
    #[must_use]
    pub fn limit(mut self, limit: &str) -> Self {
        self.limits.push(limit.to_owned());
        self
    }

    /// A variable of the gateway's environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// More text at the end: tenants, virtual models.
    #[must_use]
    pub fn tail(mut self, text: &str) -> Self {
        self.tail.push_str(text);
        self
    }

    /// Changes an endpoint.
    #[must_use]
    pub fn endpoint(mut self, index: usize, change: impl FnOnce(&mut Endpoint)) -> Self {
        change(&mut self.endpoints[index]);
        self
    }

    /// The text.
    pub fn yaml(&self, data_dir: &Path) -> String {
        let mut out = String::from("gateway:\n  listen: 127.0.0.1:0\n  admin_listen: 127.0.0.1:0\n  workers: 2\n");
        // Only the first probes of each endpoint come in a test's time, so that nothing else moves its counts.
        let [scrape, probe] = [self.scrape_interval_ms, self.probe_interval_ms].map(|ms| ms.unwrap_or(600_000));
        let _ = writeln!(out, "  probe_interval_ms: {probe}\n  scrape_interval_ms: {scrape}\n  policy: test");
        let _ =
            writeln!(out, "  data_dir: {}\n{}operators:\n  - {{name: op}}\nsites:", data_dir.display(), self.gateway);
        for e in &self.endpoints {
            let Endpoint { name, country, site_more, .. } = e;
            let place = "latitude: 50, longitude: 8";
            let _ = writeln!(out, "  - {{name: site-{name}, operator: op, country: {country}, {place}{site_more}}}");
        }
        let (more, others) = (&self.model, &self.models);
        let _ =
            writeln!(out, "models:\n  - {{name: {MODEL}, aliases: [small, org/tiny-1b]{more}}}\n{others}endpoints:");
        let mut price = 0.1;
        for Endpoint { name, url, model, context_tokens, concurrency, more, .. } in &self.endpoints {
            let prices = format!("{{input_usd_per_mtok: {price}, output_usd_per_mtok: {price}}}");
            let served = format!("{{model: {model}, context_tokens: {context_tokens}, price: {prices}}}");
            let shape = format!("engine: vllm, max_concurrency: {concurrency}");
            let _ = writeln!(
                out,
                "  - {{name: {name}, site: site-{name}, url: \"{url}\", {shape}, models: [{served}]{more}}}"
            );
            price *= if self.alike { 1.0 } else { 10.0 };
        }
        let policy = if self.policy.contains("preset") { "" } else { ", preset: batch" };
        let _ = write!(out, "policies:\n  - {{name: test{policy}{}}}\n{}", self.policy, self.tail);
        out
    }
}
