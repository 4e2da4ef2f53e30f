//! The Rhumb world alone, shown while it works: traffic, a failure at half time, and the site's return.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use rhumb_process::clock;
use rhumb_scene::fleet::Kind;
use rhumb_scene::scene::Scene;
use rhumb_screen::{Interrupt, Screen, is_terminal};
use tokio::runtime::Runtime;

use crate::args::{DemoArgs, DemoError};
use crate::fight::probe;
use crate::load::Load;
use crate::scoreboard::{Scoreboard, SiteRow};
use crate::scratch::Scratch;
use crate::view;
use crate::world::{Listen, World};

/// Time in which everything happens once when no length is given: the failure comes at its half.
const PERIOD_S: f64 = 120.0;

/// Port of the admin API where it is free.
const ADMIN_PORT: u16 = 9080;

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
    probe("--listen", data)?;
    let admin = match args.admin_listen {
        Some(address) => {
            probe("--admin-listen", address)?;
            address
        }
        // The usual admin address is wished for, so that `rhumb explain` needs no option, but not needed.
        None if TcpListener::bind(local(ADMIN_PORT)).is_ok() => local(ADMIN_PORT),
        None => local(0),
    };
    let scratch = Scratch::new().map_err(DemoError::io("make a temporary folder"))?;
    let world = World::start(Kind::Rhumb, &scene.atlas, scene.single, scene.mean, Listen { data, admin }, &scratch.0)?;
    let first = world.first().expect("a world has a gateway");
    let paste = vec![curl(first.data), admin_line(first.admin, args.admin_listen.is_some())];
    announce(&scene, &paste);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(DemoError::io("start a runtime"))?;
    let start = clock::now() + WARM_UP;
    let until_ms = args.seconds.map_or(f64::INFINITY, |s| s * 1e3);
    let traffic = scene.traffic().take_while(move |a| a.at_ms < until_ms);
    let load = Load::start(&world, &scene.atlas, traffic, start).map_err(DemoError::io("start a thread"))?;
    let mut board = Scoreboard::new(&scene, paste);
    let clock = Clock { start, period_s, seconds: args.seconds };
    // Unless one is named, the site that serves most fails: one that hardly anybody is served by would show nothing.
    let named = args.fail.as_ref().map(|_| scene.failure.site);
    let outage = Outage { named, at_s: scene.failure.at_s, site: 0, was: Health::Well, before: (0, 0) };
    let shown = show(&runtime, &world, &load, outage, &mut board, clock);
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

/// Where the admin API is, and what to ask it.
fn admin_line(address: SocketAddr, is_asked_for: bool) -> String {
    let unusual = if is_asked_for || address.port() == ADMIN_PORT { "" } else { "   (its usual port is taken)" };
    format!("admin API: rhumb top --admin http://{address}{unusual}")
}

fn announce(scene: &Scene, paste: &[String]) {
    println(&format!(
        "{} sites, {} entry gateways, {:.0} requests a second. Try it:\n\n  {}\n",
        scene.atlas.sites.len(),
        scene.atlas.entries().len(),
        scene.mean_rps(),
        paste.join("\n\n"),
    ));
}

/// A line on standard output; a disk that is full is no reason to stop.
fn println(text: &str) {
    let _ = rhumb_screen::print(format_args!("{text}\n"));
}

/// When things happen.
#[derive(Debug, Clone, Copy)]
struct Clock {
    start: Instant,
    period_s: f64,
    seconds: Option<f64>,
}

/// The failure that is shown.
struct Outage {
    /// The site that was asked for.
    named: Option<usize>,
    at_s: f64,
    site: usize,
    was: Health,
    /// Answers and failures when it began.
    before: (usize, usize),
}

impl Outage {
    /// Lets the site fail or return when it is time, and says so.
    fn step(&mut self, now_s: f64, period_s: f64, world: &World, board: &mut Scoreboard) {
        let is = health(now_s, self.at_s, period_s);
        if is == self.was {
            return;
        }
        self.was = is;
        let text = match is {
            Health::Failed => {
                self.site = self.named.unwrap_or_else(|| board.busiest().0);
                self.before = (board.answered(), board.failures());
                failed_text(&board.rows[self.site], self.named.is_none())
            }
            Health::Back | Health::Well => {
                let (answered, failed) = self.before;
                let (answered, failed) = (board.answered() - answered, board.failures() - failed);
                let name = &board.rows[self.site].name;
                let seconds = period_s * OUTAGE;
                format!(
                    "{name} is back; in {seconds:.0} s without it {answered} requests were answered, {failed} failed"
                )
            }
        };
        world.fail(self.site, is == Health::Failed);
        board.note(now_s, text);
    }
}

fn failed_text(row: &SiteRow, is_busiest: bool) -> String {
    let busiest = if is_busiest { ", more than any other site" } else { "" };
    format!(
        "{} fails: its engines refuse all new requests; it served {:.0} % of them{busiest}",
        row.name,
        row.share * 100.0
    )
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
    mut outage: Outage,
    board: &mut Scoreboard,
    clock: Clock,
) -> Result<(), DemoError> {
    let mut screen = match is_terminal() {
        true => Some(Screen::open().map_err(DemoError::io("take over the terminal"))?),
        false => None,
    };
    let mut interrupt = runtime.block_on(async { Interrupt::new() }).map_err(DemoError::io("wait for signals"))?;
    let mut line_at = clock::now();
    loop {
        let now_s = clock::now().saturating_duration_since(clock.start).as_secs_f64();
        board.observe(now_s, load.samples.take(), &world.readings(), world.totals());
        outage.step(now_s, clock.period_s, world, board);
        let news = board.take_news();
        if screen.is_none() {
            news.iter().for_each(|event| println(event));
        }
        match &mut screen {
            Some(screen) => {
                screen.draw(|frame| view::draw(frame, board)).map_err(DemoError::io("draw the screen"))?;
                if screen.wants_to_leave().map_err(DemoError::io("read the keyboard"))? {
                    return Ok(());
                }
            }
            None if clock::since(line_at) >= LINE_EVERY => {
                line_at = clock::now();
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
    fn the_admin_api_is_named_where_it_is() {
        assert_eq!(admin_line(local(9080), false), "admin API: rhumb top --admin http://127.0.0.1:9080");
        let other = "admin API: rhumb top --admin http://127.0.0.1:4711   (its usual port is taken)";
        assert_eq!(admin_line(local(4711), false), other);
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
