//! Columns that fit: whole ones are left out, so that no figure is ever cut.

/// The greatest width of each column, its header included, in characters.
#[must_use]
pub fn widths(header: &[&str], rows: &[Vec<String>]) -> Vec<usize> {
    let of = |(i, header): (usize, &&str)| {
        let cells = rows.iter().filter_map(|row| row.get(i)).map(|cell| cell.chars().count());
        cells.chain([header.chars().count()]).max().unwrap_or(0)
    };
    header.iter().enumerate().map(of).collect()
}

/// Which columns stay in `room` characters, `gap` apart: those of the highest rank go first, and of one rank the last.
/// Columns of rank 0 stay.
#[must_use]
pub fn fitting(widths: &[usize], ranks: &[u8], gap: usize, room: usize) -> Vec<usize> {
    let mut kept: Vec<usize> = (0..widths.len()).collect();
    let rank = |i: usize| ranks.get(i).copied().unwrap_or(0);
    let taken = |kept: &[usize]| kept.iter().map(|i| widths[*i] + gap).sum::<usize>().saturating_sub(gap);
    while taken(&kept) > room {
        let Some(least) = kept.iter().copied().filter(|i| rank(*i) > 0).max_by_key(|i| (rank(*i), *i)) else { break };
        kept.retain(|i| *i != least);
    }
    kept
}

/// As many whole parts of a line as fit, the first ones.
#[must_use]
pub fn parts_that_fit(parts: &[String], room: usize) -> usize {
    let mut taken = 0;
    let fits = |part: &&String| {
        taken += part.chars().count();
        taken <= room
    };
    parts.iter().take_while(fits).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_columns_go_by_rank() {
        let (widths, ranks) = ([5, 4, 3, 2], [0, 2, 1, 2]);
        assert_eq!(fitting(&widths, &ranks, 1, 17), [0, 1, 2, 3]);
        assert_eq!(fitting(&widths, &ranks, 1, 16), [0, 1, 2]);
        assert_eq!(fitting(&widths, &ranks, 1, 13), [0, 2]);
        assert_eq!(fitting(&widths, &ranks, 1, 1), [0], "what everything else is about stays");
    }

    #[test]
    fn widths_are_those_of_the_widest() {
        assert_eq!(widths(&["a", "bcd"], &[vec!["12".into(), "1".into()], vec!["é".into()]]), [2, 3]);
        assert_eq!(parts_that_fit(&["abc".into(), "de".into(), "f".into()], 5), 2);
    }
}
