//! How the figures look: as a screen, and as text.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Paragraph, Row, Table, Wrap};

use crate::table::table;
use crate::top::figures::{EndpointRow, Figures};

/// Draws the screen; `lost` says why the figures are old, if they are.
pub(crate) fn draw(frame: &mut Frame<'_>, figures: &Figures, lost: Option<&str>) {
    let red = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);
    let mut head: Vec<Line<'_>> = lines(figures).into_iter().map(Line::from).collect();
    let alarms = [lost, figures.refused.as_deref()].into_iter().flatten();
    head.extend(alarms.flat_map(str::lines).filter(|l| !l.is_empty()).map(|l| Line::styled(l.to_owned(), red)));
    let width = frame.area().width.saturating_sub(2).max(1) as usize;
    let height = head.iter().map(|line| line.width().div_ceil(width).max(1)).sum::<usize>() as u16 + 2;
    let areas = Layout::vertical([Constraint::Length(height), Constraint::Min(3)]).split(frame.area());
    let title = format!(" {} ", figures.from);
    let block = Block::bordered().title(title).title_bottom(" q or Ctrl-C ends ");
    frame.render_widget(Paragraph::new(head).wrap(Wrap { trim: false }).block(block), areas[0]);
    let widths = [24, 16, 16, 20, 7, 9, 7, 8, 8, 5, 7, 8].map(Constraint::Max);
    let shown = (areas[1].height as usize).saturating_sub(3);
    let rows = figures.rows.iter().take(shown).map(|row| {
        let style = if row.now.ill.is_some() { Style::new().fg(Color::Red) } else { Style::new() };
        aligned(&cells(row)).style(style)
    });
    let hidden = figures.rows.len().saturating_sub(shown);
    let title = if hidden > 0 { format!(" endpoints; {hidden} more below ") } else { " endpoints ".to_owned() };
    let header = aligned(&HEADER.map(|h| h.trim_start_matches('>').to_owned())).style(Style::new().fg(Color::DarkGray));
    frame.render_widget(Table::new(rows, widths).header(header).block(Block::bordered().title(title)), areas[1]);
}

/// A row; numbers stand at the right, as the header says.
fn aligned(cells: &[String; 12]) -> Row<'static> {
    let aligned = |(cell, header): (&String, &str)| {
        let line = Line::from(cell.clone());
        if header.starts_with('>') { line.right_aligned() } else { line }
    };
    Row::new(cells.iter().zip(HEADER).map(aligned))
}

/// The same as text.
pub(crate) fn text(figures: &Figures) -> String {
    let rows: Vec<Vec<String>> = figures.rows.iter().map(|row| cells(row).to_vec()).collect();
    let refused = figures.refused.iter().map(|why| format!("CONFIGURATION: {why}"));
    let lines: Vec<String> = lines(figures).into_iter().chain(refused).collect();
    format!("{}\n\n{}", lines.join("\n"), table(&HEADER, &rows))
}

fn lines(figures: &Figures) -> Vec<String> {
    let all: f64 = figures.ended.iter().map(|(_, n)| n).sum();
    let some = figures.ended.iter().filter(|(_, n)| *n > 0.0).map(|(outcome, n)| format!("{outcome} {n:.1}"));
    let ended = if all > 0.0 { some.collect::<Vec<_>>().join(", ") } else { "none ended".into() };
    let ms = |s: f64| if s >= 10.0 { "over 10,000 ms".to_owned() } else { format!("{:.0} ms", s * 1e3) };
    let ttft = figures.ttft_s.map_or("-".into(), |(p50, p95)| format!("p50 {}, p95 {}", ms(p50), ms(p95)));
    let waiting: Vec<String> = figures.waiting.iter().map(|(p, n)| format!("{p} {n:.0}")).collect();
    let shed = match figures.overload as u32 {
        0 => "",
        1 => "   OVERLOAD: batch is turned away",
        2 => "   OVERLOAD: all but interactive is turned away",
        _ => "   OVERLOAD: everything is turned away",
    };
    vec![
        format!("requests/s           {all:.1}   {ended}"),
        format!("time to first token  {ttft}"),
        format!("waiting here         {}", waiting.join(", ")),
        format!("tokens/s             {:.0}   {:.2} USD/h", figures.tokens_per_s, figures.usd_per_h),
        format!("connections          {:.0}{shed}", figures.connections),
        format!("configuration        {}", figures.config),
    ]
}

const HEADER: [&str; 12] = [
    "endpoint",
    "site",
    "accepts",
    "health",
    ">RTT",
    ">in flight",
    ">window",
    ">running",
    ">waiting",
    ">KV",
    ">sent/s",
    ">failed/s",
];

fn cells(row: &EndpointRow) -> [String; 12] {
    let or_dash = |n: Option<f64>, show: fn(f64) -> String| n.map_or_else(|| "-".to_owned(), show);
    let whole = |n: f64| format!("{n:.0}");
    [
        row.now.endpoint.clone(),
        row.now.site.clone(),
        row.now.accepts.name().to_owned(),
        row.now.ill.as_ref().map_or("well".into(), |by| format!("ill, by its {by}")),
        or_dash(row.rtt_s, |s| format!("{:.0} ms", s * 1e3)),
        whole(row.now.in_flight),
        or_dash(row.now.window, whole),
        or_dash(row.running, whole),
        or_dash(row.waiting, whole),
        or_dash(row.kv_use, |used| format!("{:.0} %", used * 100.0)),
        format!("{:.1}", row.sent_per_s),
        format!("{:.1}", row.failed_per_s),
    ]
}
