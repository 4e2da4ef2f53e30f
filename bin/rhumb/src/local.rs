//! Engines on this machine, served where there is no configuration.

use rhumb_cli::exit::{self, Failure};
use rhumb_cli::out;

use crate::add::{Endpoint, engine, looked, whole};

/// Ports that engines use where nobody says otherwise: Ollama, vLLM, SGLang, llama.cpp, LM Studio.
pub(crate) const PORTS: [u16; 5] = [11_434, 8_000, 30_000, 8_080, 1_234];

/// Where the gateway listens by default, and where it does if an engine has that port.
const LISTEN: (u16, &str) = (8_080, "127.0.0.1:8088");

/// A configuration of the engines that answer at these ports.
///
/// # Errors
/// None does.
pub(crate) fn find(ports: &[u16], may_move: bool) -> Result<String, Failure> {
    let mut found = Vec::new();
    for port in ports {
        let url = format!("http://127.0.0.1:{port}");
        if let Ok(looked) = looked(&url, None, None) {
            let endpoint =
                Endpoint { name: format!("local-{port}"), url, api_key_env: None, api_key_header: None, looked };
            let models = endpoint.models().collect::<Vec<_>>().join(", ");
            out::note(format_args!("found {} at {}: {models}", engine(endpoint.looked.engine), endpoint.url));
            found.push(endpoint);
        }
    }
    if found.is_empty() {
        let ports = ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
        let text = format!(
            "there is no `rhumb.yaml`, and no engine answers on this machine at the ports {ports}: start one, write a \
             configuration with `rhumb add URL`, or name one with `-c`; `rhumb demo` needs neither"
        );
        return Err(Failure::new(exit::USAGE, text));
    }
    let is_taken = may_move && ports.contains(&LISTEN.0) && found.iter().any(|e| e.url.ends_with(":8080"));
    out::note("there is no rhumb.yaml: `rhumb add URL` writes one, and a gateway that runs takes it over");
    Ok(whole(&found, is_taken.then_some(LISTEN.1)))
}
