//! The Rhumb world alone, shown while it works: traffic, a failure at half time, and the site's return.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use rhumb_scene::fleet::Kind;
use rhumb_scene::scene::Scene;
use rhumb_screen::{Interrupt, Screen, is_terminal};
use tokio::runtime::Runtime;

use crate::cli::{DemoArgs, DemoError};
use crate::fight::probe;
use crate::load::Load;
use crate::scoreboard::Scoreboard;
use crate::scratch::Scratch;
use crate::view;
use crate::world::{Listen, World};

/// Time in which everything happens once when no length is given: the failure comes at its half.
const PERIOD_S: f64 = 120.0;

/// A failed site returns after this share of a period.
const OUTAGE: f64 = 0.25;

/// Gateways take their first readings before users come.
const WARM_UP: Duration = Duration::from_secs(2);

/// Period of the plain lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(2);

/// Period of the screen.
const FRAME_EVERY: Duration = Duration::from_millis(250);

/// Shows the demo; the number of failed requests.
pub(crate) fn run(args: &DemoArgs) -> Result<usize, DemoError> {
    let period_s = args.seconds.unwrap_or(PERIOD_S);
    let scene = args.scene(period_s)?;
    let data = args.listen.unwrap_or(local(8080));
    probe(data)?;
    // The usual admin address is wished for, so that `rhumb explain` needs no option, but not needed.
    let admin = if TcpListener::bind(local(9080)).is_ok() { local(9080) } else { local(0) };
    let scratch = Scratch::new().map_err(DemoError::io("make a temporary folder"))?;
    let world = World::start(Kind::Rhumb, &scene.atlas, scene.single, scene.mean, Listen { data, admin }, &scratch.0)?;
    let first = world.first().expect("a world has a gateway");
    announce(&scene, first);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(DemoError::io("start a runtime"))?;
    let start = Instant::now() + WARM_UP;
    let until_ms = args.seconds.map_or(f64::INFINITY, |s| s * 1e3);
    let traffic = scene.traffic().take_while(move |a| a.at_ms < until_ms);
    let load = Load::start(&world, &scene.atlas, traffic, start).map_err(DemoError::io("start a thread"))?;
    let mut board = Scoreboard::new(&scene, curl(first.data));
    let shown = show(&runtime, &world, &load, &scene, &mut board, Clock { start, period_s, seconds: args.seconds });
    load.stop();
    world.stop();
    shown?;
    println(&board.closing());
    Ok(board.failures())
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// The request that a reader can paste.
fn curl(address: SocketAddr) -> String {
    format!(
        "curl -N http://{address}/v1/chat/completions -H 'content-type: application/json' -d \
         '{{\"model\":\"auto\",\"stream\":true,\"messages\":[{{\"role\":\"user\",\"content\":\"hi\"}}]}}'"
    )
}

fn announce(scene: &Scene, first: Listen) {
    println(&format!(
        "{} sites, {} entry gateways, {:.0} requests a second. Try it:\n\n  {}\n\nAdmin API: http://{}",
        scene.atlas.sites.len(),
        scene.atlas.entries().len(),
        scene.mean_rps(),
        curl(first.data),
        first.admin,
    ));
}

/// A line on standard output; a reader who is gone is no reason to stop.
fn println(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// When things happen.
#[derive(Debug, Clone, Copy)]
struct Clock {
    start: Instant,
    period_s: f64,
    seconds: Option<f64>,
}

/// What the failing site does as time goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Well,
    Failed,
    Back,
}

fn health(now_s: f64, fails_at_s: f64, period_s: f64) -> Health {
    match now_s {
        t if t < fails_at_s => Health::Well,
        t if t < fails_at_s + period_s * OUTAGE => Health::Failed,
        _ => Health::Back,
    }
}

fn show(
    runtime: &Runtime,
    world: &World,
    load: &Load,
    scene: &Scene,
    board: &mut Scoreboard,
    clock: Clock,
) -> Result<(), DemoError> {
    let mut screen = match is_terminal() {
        true => Some(Screen::open().map_err(DemoError::io("take over the terminal"))?),
        false => None,
    };
    let mut interrupt = runtime.block_on(async { Interrupt::new() }).map_err(DemoError::io("wait for signals"))?;
    let (mut was, mut line_at) = (Health::Well, Instant::now());
    loop {
        let now_s = Instant::now().saturating_duration_since(clock.start).as_secs_f64();
        let is = health(now_s, scene.failure.at_s, clock.period_s);
        if is != was {
            world.fail(scene.failure.site, is == Health::Failed);
            board.note(now_s, failure_text(scene, is));
            was = is;
        }
        board.observe(now_s, load.samples.take(), &world.readings(), world.totals());
        match &mut screen {
            Some(screen) => {
                screen.draw(|frame| view::draw(frame, board)).map_err(DemoError::io("draw the screen"))?;
                if screen.wants_to_leave().map_err(DemoError::io("read the keyboard"))? {
                    return Ok(());
                }
            }
            None if line_at.elapsed() >= LINE_EVERY => {
                line_at = Instant::now();
                println(&board.line());
            }
            None => {}
        }
        let over = clock.seconds.is_some_and(|s| now_s >= s) && load.is_over();
        if over || runtime.block_on(interrupt.came_within(FRAME_EVERY)) {
            return Ok(());
        }
    }
}

fn failure_text(scene: &Scene, is: Health) -> String {
    let site = &scene.atlas.sites[scene.failure.site].name;
    match is {
        Health::Failed => format!("{site} fails: it refuses all new work"),
        Health::Back | Health::Well => format!("{site} is back"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_fails_and_returns() {
        let at = |s| health(s, 60.0, 120.0);
        assert_eq!(
            [at(0.0), at(59.9), at(60.0), at(89.9), at(90.0)],
            [Health::Well, Health::Well, Health::Failed, Health::Failed, Health::Back]
        );
    }

    #[test]
    fn the_line_to_paste_is_whole() {
        assert_eq!(
            curl(local(8080)),
            "curl -N http://127.0.0.1:8080/v1/chat/completions -H 'content-type: application/json' -d \
             '{\"model\":\"auto\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}'"
        );
    }
}
