//! Names beside what they name.

/// Something with a name: the points it is drawn through, and how far its name keeps from them.
pub(super) struct Named {
    pub(super) points: Vec<(f64, f64)>,
    pub(super) width: f64,
    pub(super) gap: f64,
    /// Places further off where the name may stand, the better ones first; a line should lead there.
    pub(super) aside: Vec<(f64, f64)>,
}

/// Where a name stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Placed {
    pub(super) x: f64,
    pub(super) y: f64,
    /// Class that says which end of the text is at `x`.
    pub(super) anchor: &'static str,
    /// Whether it stands aside.
    pub(super) aside: bool,
}

/// Pixels of a character.
pub(super) const CHARACTER: f64 = 6.9;
/// Pixels of a line of text.
const HEIGHT: f64 = 13.0;
/// Points along a line where its name is tried.
const TRIED: usize = 30;

type Box = (f64, f64, f64, f64);

fn overlap(a: Box, b: Box) -> bool {
    a.0 < b.2 && b.0 < a.2 && a.1 < b.3 && b.1 < a.3
}

/// Places each name where it covers least: no other name if possible, and few points of anything.
pub(super) fn place(named: &[Named], within: Box) -> Vec<Option<Placed>> {
    // A mark is about as large as its name keeps away from it.
    let mark = |(x, y): (f64, f64), r: f64| (x - r, y - r, x + r, y + r);
    let all: Vec<Box> = named.iter().flat_map(|n| dense(&n.points).into_iter().map(|p| mark(p, n.gap - 5.0))).collect();
    let mut taken: Vec<Box> = Vec::new();
    let mut out = Vec::new();
    for one in named {
        let every = (one.points.len() / TRIED).max(1);
        let middle = one.points.len() / 2;
        let mut best: Option<(f64, Box, Placed)> = None;
        let beside = one.points.iter().enumerate().step_by(every).map(|(i, point)| {
            let off_middle = i.abs_diff(middle) as f64 / one.points.len() as f64;
            (*point, off_middle, false)
        });
        // Where there is room aside, nothing need be covered.
        let weight = if one.aside.is_empty() { 1.0 } else { 100.0 };
        let aside = one.aside.iter().enumerate().map(|(i, point)| (*point, 3.0 + i as f64 / 10.0, true));
        for (point, off, aside) in beside.chain(aside) {
            for (place, covers) in around(point, one.width, if aside { 0.0 } else { one.gap }) {
                let inside =
                    covers.0 >= within.0 && covers.1 >= within.1 && covers.2 <= within.2 && covers.3 <= within.3;
                if !inside {
                    continue;
                }
                let names = taken.iter().filter(|t| overlap(**t, covers)).count();
                let marks = all.iter().filter(|m| overlap(**m, covers)).count();
                let cost = names as f64 * 1e4 + marks as f64 * weight + off;
                // To be better by less than that is chance of the last digit.
                if best.is_none_or(|(least, ..)| cost < least - 1e-9) {
                    best = Some((cost, covers, Placed { aside, ..place }));
                }
            }
        }
        taken.extend(best.map(|(_, covers, _)| covers));
        out.push(best.map(|(.., place)| place));
    }
    out
}

/// The points of a line close enough together that none crosses a name unseen.
fn dense(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut out: Vec<(f64, f64)> = points.last().copied().into_iter().collect();
    for pair in points.windows(2) {
        let ((x1, y1), (x2, y2)) = (pair[0], pair[1]);
        let parts = (((x2 - x1).hypot(y2 - y1) / 4.0).ceil() as usize).clamp(1, 100);
        out.extend((0..parts).map(|k| k as f64 / parts as f64).map(|s| (x1 + s * (x2 - x1), y1 + s * (y2 - y1))));
    }
    out
}

/// A name to the right of a point, to its left, above it and below it.
fn around((x, y): (f64, f64), width: f64, gap: f64) -> [(Placed, Box); 4] {
    let at = |x: f64, y: f64, anchor, left: f64| {
        (Placed { x, y, anchor, aside: false }, (left, y - HEIGHT + 2.0, left + width, y + 3.0))
    };
    [
        at(x + gap, y + 4.0, "start", x + gap),
        at(x - gap, y + 4.0, "end", x - gap - width),
        at(x, y - gap, "mid", x - width / 2.0),
        at(x, y + gap + HEIGHT - 3.0, "mid", x - width / 2.0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cover_neither_each_other_nor_lines() {
        let line = |y: f64| Named {
            points: (0..=20).map(|i| (f64::from(i) * 10.0, y)).collect(),
            width: 60.0,
            gap: 6.0,
            aside: vec![],
        };
        let placed = place(&[line(50.0), line(60.0)], (0.0, 0.0, 200.0, 100.0));
        let (a, b) = (placed[0].unwrap(), placed[1].unwrap());
        assert!(a.y < 50.0 && b.y > 60.0, "{a:?} {b:?}");
    }

    #[test]
    fn names_of_a_crowd_go_aside_rather_than_over_its_marks() {
        let dot = |i: u32| {
            let x = 100.0 + f64::from(i) * 8.0;
            Named { points: vec![(x, 50.0)], width: 60.0, gap: 12.0, aside: vec![(x, 90.0), (x, 110.0), (x, 10.0)] }
        };
        let placed = place(&[0, 1, 2, 3, 4, 5].map(dot), (0.0, 0.0, 300.0, 130.0));
        assert!(placed.iter().any(|p| p.unwrap().aside), "{placed:?}");
    }

    #[test]
    fn a_name_with_no_room_is_left_out() {
        let tight = Named { points: vec![(5.0, 5.0)], width: 60.0, gap: 6.0, aside: vec![] };
        assert_eq!(place(&[tight], (0.0, 0.0, 10.0, 10.0)), [None]);
    }
}
