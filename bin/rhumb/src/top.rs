//! `rhumb top`.

mod figures;
mod page;
mod picture;

use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use rhumb_screen::{Interrupt, Screen, is_terminal};

use crate::ask::Admin;
use crate::top::figures::{Figures, Sample};
use rhumb_cli::exit::{self, Failure, Outcome};
use rhumb_cli::out;

/// Arguments of `rhumb top`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    admin: Admin,
    /// Seconds between two looks, 0.2 to 3600
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    every: Duration,
    /// Look twice, print what happened between, and end; what is done anyway where nobody looks at a terminal
    #[arg(long)]
    once: bool,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|s| (0.2..=3600.0).contains(s));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "it is a number of seconds from 0.2 to 3600".to_owned())
}

/// Keys are answered within so long.
const KEYS_EVERY: Duration = Duration::from_millis(50);

pub(crate) fn run(args: &Args) -> Outcome {
    let first = Sample::take(&args.admin)?;
    if args.once || !is_terminal() {
        std::thread::park_timeout(args.every);
        let figures = Figures::between(&first, &Sample::take(&args.admin)?);
        out::print(picture::text(&figures))?;
        return Ok(exit::DONE);
    }
    let failed = |what: &'static str| move |e: std::io::Error| Failure::new(1, format!("cannot {what}: {e}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed("start"))?;
    let mut interrupt = runtime.block_on(async { Interrupt::new() }).map_err(failed("wait for signals"))?;
    let mut screen = Screen::open().map_err(failed("take over the terminal"))?;
    let looks = looks(args);
    let (mut figures, mut lost) = (Figures::between(&first, &first), None);
    let mut last = first;
    loop {
        screen.draw(|frame| picture::draw(frame, &figures, lost.as_deref())).map_err(failed("draw"))?;
        let look = loop {
            let is_over = screen.wants_to_leave().map_err(failed("read the keyboard"))?;
            if is_over || runtime.block_on(interrupt.came_within(KEYS_EVERY)) {
                return Ok(exit::DONE);
            }
            if let Ok(look) = looks.try_recv() {
                break look;
            }
        };
        // A gateway that restarts is waited for, with what was last known on the screen.
        match look {
            Ok(now) => {
                (figures, lost) = (Figures::between(&last, &now), None);
                last = now;
            }
            Err(failure) => lost = Some(failure.text),
        }
    }
}

/// Looks on a thread of their own: a gateway that does not answer keeps no key waiting.
fn looks(args: &Args) -> Receiver<Result<Sample, Failure>> {
    let (tell, looks) = mpsc::channel();
    let (admin, every) = (args.admin.clone(), args.every);
    std::thread::spawn(move || {
        loop {
            std::thread::park_timeout(every);
            if tell.send(Sample::take(&admin)).is_err() {
                return;
            }
        }
    });
    looks
}
