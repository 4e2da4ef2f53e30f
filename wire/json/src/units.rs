//! What text counts in tokens, by its script: a first estimate, made while it is walked over.

/// Parts of a token that [`Tally`] counts in.
pub const UNITS: u64 = 20;

/// What an ASCII character counts: a quarter of a token.
pub(super) const ASCII: u64 = UNITS / 4;

/// What a byte of UTF-8 counts, in [`UNITS`] of a token, by the script that a first byte shows. A character takes a quarter
/// of a token in Latin and Greek, half of one in Cyrillic, Hebrew, Arabic and the Indic scripts, 0.7 in Chinese, Japanese and
/// Korean, and one beyond them (emoji). Bytes after the first count nothing. A sum of comparisons, which the compiler turns
/// into vector instructions.
pub(super) fn units(byte: u8) -> u8 {
    5 * u8::from(byte < 0x80)
        + 5 * u8::from(byte >= 0xC0)
        + 5 * u8::from(byte >= 0xD0)
        + 4 * u8::from(byte >= 0xE3)
        + 6 * u8::from(byte >= 0xF0)
}

/// What a run of text counts. Bytes are added up side by side, as many rows as the sums of single bytes hold.
pub(super) fn text_units(run: &[u8]) -> u64 {
    const LANES: usize = 32;
    const ROWS: usize = 12;
    let (blocks, rest) = run.as_chunks::<{ LANES * ROWS }>();
    let mut total: u64 = rest.iter().map(|&b| u64::from(units(b))).sum();
    for block in blocks {
        let mut sums = [0_u8; LANES];
        for row in block.as_chunks::<LANES>().0 {
            sums.iter_mut().zip(row).for_each(|(sum, &b)| *sum += units(b));
        }
        total += sums.iter().map(|&sum| u64::from(sum)).sum::<u64>();
    }
    total
}

/// The first byte in UTF-8 of a character that an escape spells.
pub(super) fn first_byte(code: u16) -> u8 {
    match code {
        0..0x80 => code as u8,
        0x80..0x800 => 0xC0 | (code >> 6) as u8,
        _ => 0xE0 | (code >> 12) as u8,
    }
}
