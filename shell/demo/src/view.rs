//! The picture: a scoreboard as widgets.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Paragraph, Row, Table, Wrap};

use crate::scoreboard::{Scoreboard, SiteRow, WINDOW_S, Wait, money};

const BAR_CELLS: usize = 14;

/// Draws the whole screen.
pub(crate) fn draw(frame: &mut Frame<'_>, board: &Scoreboard) {
    let curl_lines = (board.curl.len() as u16 / frame.area().width.max(1)) + 3;
    let areas = Layout::vertical([
        Constraint::Length(5),
        Constraint::Length(board.rows.len() as u16 + 3),
        Constraint::Min(3),
        Constraint::Length(curl_lines),
    ])
    .split(frame.area());
    figures(frame, areas[0], board);
    sites(frame, areas[1], board);
    events(frame, areas[2], board);
    let title = " paste this in another terminal; q or Ctrl-C ends ";
    // Without borders at the sides, so that the line can be marked and copied.
    let block = Block::new().borders(ratatui::widgets::Borders::TOP).title(title);
    frame.render_widget(Paragraph::new(board.curl.as_str()).wrap(Wrap { trim: false }).block(block), areas[3]);
}

fn dim() -> Style {
    Style::new().fg(Color::DarkGray)
}

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

fn figures(frame: &mut Frame<'_>, area: Rect, board: &Scoreboard) {
    let Wait { p50_ms, p95_ms, network_ms, queue_ms, prefill_ms } = board.wait;
    let s = board.now_s as u64;
    let rps: f64 = board.rows.iter().map(|r| r.rps).sum();
    let watts: f64 = board.rows.iter().map(|r| r.watts).sum();
    let failed = match board.failures() {
        0 => Span::styled("0 failed", Style::new().fg(Color::Green)),
        n => Span::styled(format!("{n} failed"), Style::new().fg(Color::Red).add_modifier(Modifier::BOLD)),
    };
    let lines = vec![
        Line::from(vec![
            Span::styled("time to first token  ", dim()),
            Span::styled(format!("p50 {p50_ms:.0} ms   p95 {p95_ms:.0} ms"), bold()),
            Span::styled(
                format!("   at the median: network {network_ms:.0}, queue {queue_ms:.0}, prefill {prefill_ms:.0} ms"),
                dim(),
            ),
        ]),
        Line::from(vec![
            Span::styled("cost                 ", dim()),
            Span::styled(format!("{} USD per million tokens", money(board.usd_per_mtok)), bold()),
            Span::styled(format!("   {watts:.0} W"), dim()),
        ]),
        Line::from(vec![
            Span::styled("requests             ", dim()),
            Span::styled(format!("{rps:.1}/s   {} answered   ", board.answered()), bold()),
            failed,
        ]),
    ];
    let title = format!(" Rhumb demo  {:02}:{:02}  (figures of the last {WINDOW_S:.0} s) ", s / 60, s % 60);
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(title)), area);
}

fn sites(frame: &mut Frame<'_>, area: Rect, board: &Scoreboard) {
    let header = ["site", "operator", "GPUs", "req/s", "", "open", "watts", "USD/Mtok", "TTFT p50", ""];
    let widths = [
        Constraint::Length(11),
        Constraint::Length(13),
        Constraint::Length(16),
        Constraint::Length(6),
        Constraint::Length(BAR_CELLS as u16),
        Constraint::Length(5),
        Constraint::Length(12),
        Constraint::Length(9),
        Constraint::Length(9),
        Constraint::Min(4),
    ];
    let most = board.rows.iter().map(|r| r.share).fold(0.0, f64::max);
    let table = Table::new(board.rows.iter().map(|r| row(r, most)), widths)
        .header(Row::new(header).style(dim()))
        .block(Block::bordered().title(" where requests go "));
    frame.render_widget(table, area);
}

fn row(site: &SiteRow, most: f64) -> Row<'_> {
    let (word, colour) = if site.ill > 0 { ("ILL", Color::Red) } else { ("ok", Color::Green) };
    let headroom = 1.0 - site.watts / site.watts_max;
    let watts = Style::new().fg(if headroom < 0.1 { Color::Yellow } else { Color::Reset });
    let style = if site.ill > 0 { Style::new().fg(Color::Red) } else { Style::new() };
    Row::new([
        Cell::from(site.city.as_str()).style(bold()),
        Cell::from(site.operator.as_str()),
        Cell::from(site.gpus.as_str()),
        Cell::from(format!("{:6.1}", site.rps)),
        Cell::from(bar(site.share, most)).style(Style::new().fg(Color::Cyan)),
        Cell::from(format!("{:5.0}", site.in_flight)),
        Cell::from(format!("{:4.0} of {:4.0}", site.watts, site.watts_max)).style(watts),
        Cell::from(format!("{:9.3}", site.usd_per_mtok)),
        Cell::from(site.ttft_p50_ms.map_or_else(|| "        -".into(), |ms| format!("{ms:6.0} ms"))),
        Cell::from(word).style(Style::new().fg(colour)),
    ])
    .style(style)
}

/// A bar in eighths of a cell; the largest share fills it.
fn bar(share: f64, most: f64) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = if most > 0.0 { (share / most * BAR_CELLS as f64 * 8.0).round() as usize } else { 0 };
    ["█".repeat(eighths / 8).as_str(), EIGHTHS[eighths % 8]].concat()
}

fn events(frame: &mut Frame<'_>, area: Rect, board: &Scoreboard) {
    let lines: Vec<Line<'_>> = board.events.iter().map(|e| Line::from(e.as_str())).collect();
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" what happened ")), area);
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
}
