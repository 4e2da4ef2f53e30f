//! The picture: a scoreboard as widgets.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Cell, Paragraph, Row, Table, Wrap};

use rhumb_screen::{fitting, parts_that_fit, widths};

use crate::scoreboard::{Scoreboard, SiteRow, WINDOW_S, Wait, money};

const BAR_CELLS: usize = 14;

/// Draws the whole screen.
pub(crate) fn draw(frame: &mut Frame<'_>, board: &Scoreboard) {
    let width = frame.area().width.max(1) as usize;
    // Cut where the line of a terminal ends, and not between words: pasted, it is one line again.
    let pieces = |line: &String| {
        let characters: Vec<char> = line.chars().collect();
        characters.chunks(width).map(|piece| Line::from(piece.iter().collect::<String>())).collect::<Vec<_>>()
    };
    let paste: Vec<Line<'_>> = board.paste.iter().flat_map(pieces).collect();
    let areas = Layout::vertical([
        Constraint::Length(4),
        Constraint::Length(board.rows.len() as u16 + 2),
        Constraint::Min(3),
        Constraint::Length(paste.len() as u16 + 1),
    ])
    .split(frame.area());
    figures(frame, areas[0], board);
    sites(frame, areas[1], board);
    events(frame, areas[2], board);
    let title = " paste this in another terminal; q or Ctrl-C ends ";
    let block = titled(title.to_owned());
    frame.render_widget(Paragraph::new(paste).block(block), areas[3]);
}

/// A title with a line. Without borders at the sides lines can be marked and copied, and a terminal of 24 lines has room.
fn titled(title: String) -> Block<'static> {
    Block::new().borders(Borders::TOP).title(title)
}

fn dim() -> Style {
    Style::new().fg(Color::DarkGray)
}

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

/// A line of figures: as many of them as fit, the first ones.
fn line(label: &str, parts: Vec<(String, Style)>, width: usize) -> Line<'static> {
    let label = (format!("{label:<21}"), dim());
    let parts: Vec<(String, Style)> = std::iter::once(label).chain(parts).collect();
    let texts: Vec<String> = parts.iter().map(|(text, _)| text.clone()).collect();
    let fitting = parts_that_fit(&texts, width);
    Line::from_iter(parts.into_iter().take(fitting).map(|(text, style)| Span::styled(text, style)))
}

fn figures(frame: &mut Frame<'_>, area: Rect, board: &Scoreboard) {
    let Wait { p50_ms, p95_ms, network_ms, queue_ms, prefill_ms } = board.wait;
    let s = board.now_s as u64;
    let rps: f64 = board.rows.iter().map(|r| r.rps).sum();
    let watts: f64 = board.rows.iter().map(|r| r.watts).sum();
    let failed = match board.failures() {
        0 => ("0 failed".to_owned(), Style::new().fg(Color::Green)),
        n => (format!("{n} failed"), Style::new().fg(Color::Red).add_modifier(Modifier::BOLD)),
    };
    let width = area.width as usize;
    let lines = vec![
        line(
            "time to first token",
            vec![
                (format!("p50 {p50_ms:.0} ms   p95 {p95_ms:.0} ms"), bold()),
                (format!("   median: network {network_ms:.0}, queue {queue_ms:.0}, prefill {prefill_ms:.0} ms"), dim()),
            ],
            width,
        ),
        line(
            "USD/million tokens",
            vec![
                (format!("{} metered", money(board.usd_per_mtok.metered)), bold()),
                (format!("   {} provisioned", money(board.usd_per_mtok.provisioned)), bold()),
                (format!("   {watts:.0} W"), dim()),
            ],
            width,
        ),
        line("requests", vec![(format!("{rps:.1}/s   {} answered   ", board.answered()), bold()), failed], width),
    ];
    let title = format!(" Rhumb demo  {:02}:{:02}  (figures of the last {WINDOW_S:.0} s) ", s / 60, s % 60);
    frame.render_widget(Paragraph::new(lines).block(titled(title)), area);
}

const HEADER: [&str; 10] = ["site", "", "req/s", "share", "open", "TTFT p50", "USD/Mtok", "watts", "GPUs", "operator"];

/// What goes first where there is no room.
const RANKS: [u8; 10] = [0, 0, 0, 2, 1, 0, 1, 3, 4, 5];

/// The column of the bars.
const SHARE: usize = 3;

fn sites(frame: &mut Frame<'_>, area: Rect, board: &Scoreboard) {
    let most = board.rows.iter().map(|r| r.share).fold(0.0, f64::max);
    let all: Vec<Vec<String>> = board.rows.iter().map(|r| cells(r, most)).collect();
    let mut widths = widths(&HEADER, &all);
    // The picture does not jump when a share changes.
    widths[SHARE] = BAR_CELLS;
    let kept = fitting(&widths, &RANKS, 1, area.width as usize);
    let rows = board.rows.iter().zip(&all).map(|(site, cells)| {
        let cell = |i: &usize| Cell::from(aligned(&cells[*i], *i)).style(style(site, *i));
        let whole = if site.ill > 0 { Style::new().fg(Color::Red) } else { Style::new() };
        Row::new(kept.iter().map(cell)).style(whole)
    });
    let header = Row::new(kept.iter().map(|i| aligned(HEADER[*i], *i))).style(dim());
    let constraints = kept.iter().map(|i| Constraint::Length(widths[*i] as u16));
    let table = Table::new(rows, constraints).header(header).block(titled(" where requests go ".into()));
    frame.render_widget(table, area);
}

/// Numbers stand at the right.
fn aligned(text: &str, column: usize) -> Line<'static> {
    let line = Line::from(text.to_owned());
    if matches!(HEADER[column], "req/s" | "open" | "TTFT p50" | "USD/Mtok" | "watts") {
        line.right_aligned()
    } else {
        line
    }
}

fn cells(site: &SiteRow, most: f64) -> Vec<String> {
    vec![
        site.city.clone(),
        if site.ill > 0 { "DOWN" } else { "ok" }.to_owned(),
        format!("{:.1}", site.rps),
        bar(site.share, most),
        format!("{:.0}", site.in_flight),
        site.ttft_p50_ms.map_or_else(|| "-".into(), |ms| format!("{ms:.0} ms")),
        format!("{:.3}", site.usd_per_mtok),
        format!("{:.0} of {:.0}", site.watts, site.watts_max),
        site.gpus.clone(),
        site.operator.clone(),
    ]
}

fn style(site: &SiteRow, column: usize) -> Style {
    let headroom = 1.0 - site.watts / site.watts_max;
    match HEADER[column] {
        "site" => bold(),
        "" => Style::new().fg(if site.ill > 0 { Color::Red } else { Color::Green }),
        "share" => Style::new().fg(Color::Cyan),
        "watts" if headroom < 0.1 => Style::new().fg(Color::Yellow),
        _ => Style::new(),
    }
}

/// A bar in eighths of a cell; the largest share fills it.
fn bar(share: f64, most: f64) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = if most > 0.0 { (share / most * BAR_CELLS as f64 * 8.0).round() as usize } else { 0 };
    ["█".repeat(eighths / 8).as_str(), EIGHTHS[eighths % 8]].concat()
}

fn events(frame: &mut Frame<'_>, area: Rect, board: &Scoreboard) {
    let lines: Vec<Line<'_>> = board.events.iter().map(|e| Line::from(e.as_str())).collect();
    let block = titled(" what happened ".into());
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }).block(block), area);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_grow_by_eighths_of_a_cell() {
        assert_eq!(bar(0.0, 0.5), "");
        assert_eq!(bar(0.5, 0.5), "█".repeat(BAR_CELLS));
        assert_eq!(bar(0.5 / BAR_CELLS as f64 * 1.5, 0.5), "█▌");
        assert_eq!(bar(0.0, 0.0), "");
    }

    fn screen(width: u16, height: u16) -> String {
        let mut board = crate::scoreboard::tests::board();
        for (i, row) in board.rows.iter_mut().enumerate() {
            (row.rps, row.share, row.in_flight, row.watts) = (1.5 + i as f64, 0.1, 12_345.0, 250.0);
            row.ttft_p50_ms = Some(186.0);
        }
        board.rows[2].ill = 3;
        board.wait = Wait { p50_ms: 186.0, p95_ms: 1_186.0, network_ms: 86.0, queue_ms: 54.0, prefill_ms: 46.0 };
        board.usd_per_mtok = crate::scoreboard::Cost { metered: Some(0.0856), provisioned: Some(0.1234) };
        board.note(
            65.0,
            "tokyo fails: its engines refuse all new requests; it served 31 % of them, more than any other site",
        );
        board.paste = vec![
            format!("curl -N http://127.0.0.1:8080/v1/chat/completions {}", "x".repeat(90)),
            "admin API: rhumb top --admin http://127.0.0.1:9080".into(),
        ];
        let mut terminal = ratatui::Terminal::new(ratatui::backend::TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, &board)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn the_usual_terminal_shows_whole_figures() {
        let shown = screen(80, 24);
        for whole in
            ["p50 186 ms   p95 1186 ms", "0.0856 metered", "0.1234 provisioned", "186 ms", "12345", "DOWN", "ok"]
        {
            assert!(shown.contains(whole), "{whole}\n{shown}");
        }
        assert!(shown.contains("Portland"), "every site: {shown}");
        assert!(shown.contains("USD/Mtok") && !shown.contains("operator"), "{shown}");
        assert!(shown.contains("01:05 tokyo fails: its engines refuse all new requests"), "{shown}");
        assert!(shown.contains("--admin http://127.0.0.1:9080"), "{shown}");
    }

    #[test]
    fn a_wide_terminal_shows_everything() {
        let shown = screen(160, 50);
        assert!(HEADER.iter().all(|h| shown.contains(h)), "{shown}");
        assert!(shown.contains("more than any other site") && shown.contains("median: network 86"), "{shown}");
        for size in [(1, 1), (3, 2), (20, 5), (40, 10)] {
            screen(size.0, size.1);
        }
    }
}
