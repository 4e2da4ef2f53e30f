//! `rhumb up`.

use std::path::PathBuf;

use rhumb_grid::index::Grid;

use crate::exit::{self, Failure, Outcome};
use crate::load;

/// Arguments of `rhumb up`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The configuration
    #[arg(short, long, default_value = "rhumb.yaml")]
    config: PathBuf,
    /// Listen here instead of where the configuration says
    #[arg(long)]
    listen: Option<String>,
    /// Serve the admin API here instead of where the configuration says
    #[arg(long)]
    admin_listen: Option<String>,
    /// Keep the decision log in this folder instead
    #[arg(long)]
    data_dir: Option<String>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let mut config = load::config(&args.config)?;
    let gateway = &mut config.gateway;
    for (from, to) in [
        (&args.listen, &mut gateway.listen),
        (&args.admin_listen, &mut gateway.admin_listen),
        (&args.data_dir, &mut gateway.data_dir),
    ] {
        if let Some(value) = from {
            to.clone_from(value);
        }
    }
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_max_level(tracing::Level::INFO)
        .init();
    let open = config.tenants.is_empty();
    let (endpoints, sites) = (config.endpoints.len(), config.sites.len());
    let running = rhumb_gateway::start(Grid::new(config)).map_err(|e| Failure::new(exit::USAGE, e))?;
    tracing::info!(
        "serving http://{}/v1 over {endpoints} endpoints at {sites} sites; admin API at http://{}",
        running.address,
        running.admin_address
    );
    if open {
        tracing::warn!("no tenants are configured: whoever reaches this address may use it");
    }
    wait_for_signal()?;
    tracing::info!("stopping: requests in flight may end, a second signal ends them");
    std::thread::spawn(|| {
        // Whoever signals twice wants the end now; what the log has not committed yet is lost, as with a kill.
        let _ = wait_for_signal();
        std::process::abort();
    });
    running.stop();
    Ok(exit::DONE)
}

fn wait_for_signal() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(exit::USAGE, format!("cannot wait for signals: {e}")))?;
    runtime.block_on(async {
        use tokio::signal::unix::{SignalKind, signal};
        let handler = |kind| signal(kind).map_err(|e| Failure::new(exit::USAGE, e));
        let (mut term, mut int) = (handler(SignalKind::terminate())?, handler(SignalKind::interrupt())?);
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        Ok(())
    })
}
