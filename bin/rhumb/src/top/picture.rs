//! How the figures look: as a screen, and as text.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Paragraph, Row, Table};

use rhumb_screen::{fitting, widths};

use crate::drain::health;
use crate::top::figures::{EndpointRow, Figures};
use rhumb_cli::table;

/// Draws the screen; `lost` says why the figures are old, if they are.
pub(crate) fn draw(frame: &mut Frame<'_>, figures: &Figures, lost: Option<&str>) {
    let area = frame.area();
    let width = area.width.saturating_sub(2).max(1) as usize;
    let red = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);
    let mut head: Vec<Line<'_>> = lines(figures).iter().flat_map(|l| wrapped(l, width)).map(Line::from).collect();
    let warnings = figures.warnings.iter().map(String::as_str);
    let alarms = [lost, figures.refused.as_deref()].into_iter().flatten().chain(warnings).flat_map(str::lines);
    head.extend(alarms.flat_map(|l| wrapped(l, width)).map(|l| Line::styled(l, red)));
    // A configuration may have more wrong with it than there is room for.
    let most = (area.height as usize * 2 / 3).max(3);
    if head.len() > most {
        let more = head.len() - most + 1;
        head.truncate(most - 1);
        head.push(Line::styled(format!("… and {more} more lines"), red));
    }
    let areas = Layout::vertical([Constraint::Length(head.len() as u16 + 2), Constraint::Min(3)]).split(area);
    let title = format!(" {} ", figures.from);
    let block = Block::bordered().title(title).title_bottom(" q or Ctrl-C ends ");
    frame.render_widget(Paragraph::new(head).block(block), areas[0]);
    let shown = (areas[1].height as usize).saturating_sub(3);
    let all: Vec<Vec<String>> = figures.rows.iter().map(|row| cells(row, NAME_MAX).to_vec()).collect();
    let header = HEADER.map(|h| h.trim_start_matches('>'));
    let widths = widths(&header, &all);
    let kept = fitting(&widths, &RANKS, 1, width);
    let rows = figures.rows.iter().zip(&all).take(shown).map(|(row, cells)| {
        let style = if row.now.ill.is_some() { Style::new().fg(Color::Red) } else { Style::new() };
        aligned(cells, &kept).style(style)
    });
    let constraints = kept.iter().map(|i| Constraint::Length(widths[*i] as u16));
    let hidden = figures.rows.len().saturating_sub(shown);
    let title = if hidden > 0 { format!(" endpoints; {hidden} more below ") } else { " endpoints ".to_owned() };
    let header = aligned(&header.map(str::to_owned), &kept).style(Style::new().fg(Color::DarkGray));
    frame.render_widget(Table::new(rows, constraints).header(header).block(Block::bordered().title(title)), areas[1]);
}

/// A line in pieces of so many characters at most: whole words, unless one alone is longer.
fn wrapped(line: &str, width: usize) -> Vec<String> {
    let (mut pieces, mut piece) = (Vec::new(), String::new());
    // Spaces stay with the word behind them, so that columns at the beginning of a line stand.
    let mut word_began = false;
    let mut words: Vec<String> = vec![String::new()];
    for c in line.chars() {
        if c == ' ' && word_began {
            words.push(String::new());
            word_began = false;
        }
        word_began |= c != ' ';
        if let Some(word) = words.last_mut() {
            word.push(c);
        }
    }
    for word in words {
        if !piece.is_empty() && piece.chars().count() + word.chars().count() > width {
            pieces.push(std::mem::take(&mut piece));
        }
        let word = if piece.is_empty() && !pieces.is_empty() { word.trim_start() } else { word.as_str() };
        piece.push_str(word);
        while piece.chars().count() > width {
            let rest: String = piece.chars().skip(width).collect();
            pieces.push(piece.chars().take(width).collect());
            piece = rest;
        }
    }
    pieces.push(piece);
    pieces
}

/// A row of the columns that are kept; numbers stand at the right, as the header says.
fn aligned(cells: &[String], kept: &[usize]) -> Row<'static> {
    let aligned = |i: &usize| {
        let line = Line::from(cells[*i].clone());
        if HEADER[*i].starts_with('>') { line.right_aligned() } else { line }
    };
    Row::new(kept.iter().map(aligned))
}

/// The same as text.
pub(crate) fn text(figures: &Figures) -> String {
    let rows: Vec<Vec<String>> = figures.rows.iter().map(|row| cells(row, usize::MAX).to_vec()).collect();
    let refused = figures.refused.iter().map(|why| format!("CONFIGURATION: {why}"));
    let lines: Vec<String> = lines(figures).into_iter().chain(refused).chain(figures.warnings.clone()).collect();
    format!("{}\n\n{}", lines.join("\n"), table(&HEADER, &rows))
}

fn lines(figures: &Figures) -> Vec<String> {
    let all: f64 = figures.ended.iter().map(|(_, n)| n).sum();
    let some = figures.ended.iter().filter(|(_, n)| *n > 0.0).map(|(outcome, n)| format!("{outcome} {n:.1}"));
    let ended = if all > 0.0 { some.collect::<Vec<_>>().join(", ") } else { "none ended".into() };
    let ms = |s: f64| if s.is_finite() { format!("{:.0} ms", s * 1e3) } else { "beyond the scale".to_owned() };
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
        format!(
            "tokens/s             {:.0}   USD/h: {:.2} metered, {:.2} provisioned",
            figures.tokens_per_s, figures.usd_per_h, figures.provisioned_usd_per_h
        ),
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

/// What goes first where there is no room: what engines report, then what seldom differs.
const RANKS: [u8; 12] = [0, 5, 6, 0, 2, 0, 4, 3, 3, 4, 1, 1];

/// Longest name on the screen, in characters.
const NAME_MAX: usize = 24;

/// A name in so many characters; a cut one says so.
fn name(name: &str, most: usize) -> String {
    if name.chars().count() <= most {
        return name.to_owned();
    }
    name.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

fn cells(row: &EndpointRow, name_max: usize) -> [String; 12] {
    let or_dash = |n: Option<f64>, show: fn(f64) -> String| n.map_or_else(|| "-".to_owned(), show);
    let whole = |n: f64| format!("{n:.0}");
    [
        name(&row.now.endpoint, name_max),
        name(&row.now.site, name_max),
        row.now.accepts.name().to_owned(),
        health(&row.now),
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

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    fn figures(refused: Option<String>) -> Figures {
        let row = |name: &str, ill: Option<&str>| {
            EndpointRow {
            now: serde_json::from_value(serde_json::json!({
                "endpoint": name, "site": "s", "accepts": "new_and_existing", "ill": ill, "in_flight": 3.0, "window": 8.0
            }))
            .expect("an endpoint"),
            sent_per_s: 1.5,
            failed_per_s: 0.0,
            running: Some(2.0),
            waiting: None,
            kv_use: Some(0.25),
            rtt_s: Some(0.0123),
        }
        };
        Figures {
            from: "http://x".into(),
            config: "v1, in force for 9 s".into(),
            refused,
            warnings: vec!["endpoint `a` does not list its model `m`".into()],
            ended: vec![("complete".into(), 1.5), ("failed".into(), 0.0)],
            ttft_s: Some((0.05, f64::INFINITY)),
            tokens_per_s: 99.6,
            usd_per_h: 0.5,
            provisioned_usd_per_h: 12.0,
            waiting: vec![("batch".into(), 0.0)],
            connections: 4.0,
            overload: 1.0,
            rows: vec![row("a", Some("peers")), row("b", None)],
        }
    }

    fn screen(width: u16, height: u16, figures: &Figures, lost: Option<&str>) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("in memory");
        terminal.draw(|frame| draw(frame, figures, lost)).expect("in memory");
        terminal.backend().to_string()
    }

    #[test]
    fn text_says_how_everything_is() {
        let expected = "requests/s           1.5   complete 1.5\n\
                        time to first token  p50 50 ms, p95 beyond the scale\n\
                        waiting here         batch 0\n\
                        tokens/s             100   USD/h: 0.50 metered, 12.00 provisioned\n\
                        connections          4   OVERLOAD: batch is turned away\n\
                        configuration        v1, in force for 9 s\n\
                        CONFIGURATION: what was read is wrong\n\
                        endpoint `a` does not list its model `m`\n\n";
        let shown = text(&figures(Some("what was read is wrong".into())));
        assert!(shown.starts_with(expected), "{shown}");
        let row = shown.lines().find(|l| l.starts_with("a ")).expect("a row");
        let cells: Vec<&str> = row.split_whitespace().collect();
        let expected = "a s new_and_existing unhealthy: peers 12 ms 3 8 2 - 25 % 1.5 0.0";
        assert_eq!(cells.join(" "), expected);
    }

    #[test]
    fn a_small_screen_says_what_it_leaves_out() {
        let problems: String = (0..100).map(|n| format!("line {n}: there is no site `x`\n")).collect();
        let shown = screen(60, 24, &figures(Some(problems)), Some("it does not answer"));
        assert!(shown.contains("it does not answer") && shown.contains("more lines"), "{shown}");
        assert!(shown.contains("endpoints"), "{shown}");
        let shown = screen(150, 12, &Figures { warnings: Vec::new(), ..figures(None) }, None);
        assert!(shown.contains("endpoints; 1 more below") && shown.contains("unhealthy: peers"), "{shown}");
        for size in [(1, 1), (3, 2), (20, 5)] {
            screen(size.0, size.1, &figures(Some("wrong".into())), None);
        }
    }

    #[test]
    fn whole_columns_are_left_out_and_no_figure_is_cut() {
        let mut figures = figures(None);
        figures.rows[0].now.endpoint = "frankfurt-h100-cluster-number-17".into();
        for row in &mut figures.rows {
            (row.rtt_s, row.now.in_flight, row.sent_per_s) = (Some(0.186), 12_345.0, 1_234.5);
        }
        for (width, height) in [(80, 24), (100, 24), (160, 50)] {
            let shown = screen(width, height, &figures, None);
            let row =
                shown.lines().find(|l| l.contains("frankfurt-h100-cluster-…")).unwrap_or_else(|| panic!("{shown}"));
            assert!(row.contains("unhealthy: peers") && row.contains("12345") && row.contains("1234.5"), "{shown}");
            assert_eq!(row.contains("186 ms"), shown.contains("RTT"), "{shown}");
            assert_eq!(row.contains("new_and_existing"), shown.contains("accepts"), "{shown}");
        }
        let shown = screen(80, 24, &figures, None);
        assert!(shown.contains("sent/s") && shown.contains("failed/s") && !shown.contains("accepts"), "{shown}");
        let shown = screen(160, 50, &figures, None);
        assert!(super::HEADER.iter().all(|h| shown.contains(h.trim_start_matches('>'))), "{shown}");
    }

    #[test]
    fn lines_break_between_words() {
        assert_eq!(
            wrapped("USD/h    metered 0.50, provisioned 12.00", 25),
            ["USD/h    metered 0.50,", "provisioned 12.00"]
        );
        assert_eq!(wrapped("abcdef g", 3), ["abc", "def", "g"]);
        assert_eq!(wrapped("", 3), [""]);
    }
}
