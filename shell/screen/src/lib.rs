//! The terminal as a screen: taken over, drawn on, and given back on every way out.

use std::io::{IsTerminal, Stdout, Write as _};
use std::sync::Once;
use std::time::Duration;

use crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers, poll, read};
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use crossterm::{cursor, execute};
use ratatui::backend::CrosstermBackend;
use ratatui::{Frame, Terminal};

pub use self::columns::{fitting, parts_that_fit, widths};
pub use self::interrupt::Interrupt;

mod columns;
mod interrupt;

/// Somebody looks at standard output and can press keys.
#[must_use]
pub fn is_terminal() -> bool {
    std::io::stdout().is_terminal() && std::io::stdin().is_terminal()
}

/// Prints a text on standard output. A reader who has left (`| head`) is no error.
///
/// # Errors
/// It cannot be written, the disk being full, say.
pub fn print(text: impl std::fmt::Display) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(why) if why.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// A terminal in our hands. Dropping it gives it back.
pub struct Screen(Terminal<CrosstermBackend<Stdout>>);

/// Gives the terminal back; what fails here cannot be helped.
fn restore() {
    let _ = disable_raw_mode();
    let _ = execute!(std::io::stdout(), LeaveAlternateScreen, cursor::Show);
}

impl Screen {
    /// Takes the terminal over.
    ///
    /// # Errors
    /// The terminal does not let itself be taken over; it is as it was.
    pub fn open() -> std::io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            // A panic, on whichever thread, is written where it can be read.
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                restore();
                before(info);
            }));
        });
        enable_raw_mode()?;
        let taken = execute!(std::io::stdout(), EnterAlternateScreen, cursor::Hide)
            .and_then(|()| Terminal::new(CrosstermBackend::new(std::io::stdout())));
        match taken {
            Ok(terminal) => Ok(Self(terminal)),
            Err(error) => {
                restore();
                Err(error)
            }
        }
    }

    /// Draws a picture.
    ///
    /// # Errors
    /// The terminal cannot be written to.
    pub fn draw(&mut self, picture: impl FnOnce(&mut Frame<'_>)) -> std::io::Result<()> {
        self.0.draw(picture).map(drop)
    }

    /// Q or Ctrl-C has been pressed.
    ///
    /// # Errors
    /// The terminal cannot be read.
    pub fn wants_to_leave(&mut self) -> std::io::Result<bool> {
        while poll(Duration::ZERO)? {
            let Event::Key(key) = read()? else { continue };
            let ctrl_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
            if key.kind == KeyEventKind::Press && (ctrl_c || matches!(key.code, KeyCode::Char('q' | 'Q'))) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}
