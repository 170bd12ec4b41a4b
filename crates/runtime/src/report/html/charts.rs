//! Charts as SVG: bars in rows, bars with intervals, lines. Each with a title and a description for those who do not see it.

use super::escape;

const WIDTH: f64 = 900.0;
const LABEL: f64 = 190.0;
const ROW: f64 = 24.0;
/// A row of a group of bars: thinner, with a gap after the group.
const THIN: f64 = 15.0;
const GAP: f64 = 10.0;
/// Bars under one label from which on rows are thin.
const MANY: usize = 4;
/// The most that a letter takes.
const LETTER: f64 = 7.0;
const TOP: f64 = 12.0;
/// Colours told apart; more series begin again.
const COLOURS: usize = 10;
/// Rows of one chart; the table beside it has all.
const MAX_ROWS: usize = 120;
/// Letters of a label; the table beside it has all.
const MAX_LETTERS: usize = 26;

/// One bar.
pub(super) struct Bar {
    /// What stands at its left; the same label is written once.
    pub(super) label: String,
    /// How long it is.
    pub(super) value: f64,
    /// What it says at its end.
    pub(super) text: String,
    /// Its interval.
    pub(super) range: Option<(f64, f64)>,
    /// Which series it belongs to.
    pub(super) series: usize,
}

/// One line.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// Bars from the left, one below the other.
pub(super) fn bars(id: &str, title: &str, description: &str, bars: &[Bar]) -> String {
    let shown = bars.get(..bars.len().min(MAX_ROWS)).unwrap_or(bars);
    let most = shown.iter().map(|bar| bar.range.map_or(bar.value, |(_, high)| high.max(bar.value))).fold(0.0, f64::max);
    if shown.is_empty() || most <= 0.0 {
        return String::new();
    }
    let longest = shown.iter().map(|bar| bar.text.chars().count()).max().unwrap_or(0);
    let scale = (WIDTH - LABEL - 12.0 - LETTER * longest as f64) / most;
    let in_groups = shown.chunk_by(|one, other| one.label == other.label).any(|group| group.len() >= MANY);
    let (row, gap) = if in_groups { (THIN, GAP) } else { (ROW, 0.0) };
    let groups = shown.chunk_by(|one, other| one.label == other.label).count();
    let height = TOP * 2.0 + row * shown.len() as f64 + gap * groups.saturating_sub(1) as f64;
    let mut out = open(id, title, description, height);
    out += &format!("<line class=\"axis\" x1=\"{LABEL}\" x2=\"{LABEL}\" y1=\"{TOP}\" y2=\"{:.1}\"/>", height - TOP);
    let mut before = shown.first().map_or("", |first| first.label.as_str());
    let mut is_first = true;
    let mut y = TOP - row;
    for bar in shown {
        y += row + if bar.label == before { 0.0 } else { gap };
        let middle = y + row / 2.0;
        let length = bar.value.max(0.0) * scale;
        if is_first || bar.label != before {
            out += &format!(
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LABEL - 8.0,
                middle + 4.0,
                escape(&shorten(&bar.label))
            );
        }
        (before, is_first) = (&bar.label, false);
        out += &format!(
            "<rect class=\"s{}\" x=\"{LABEL}\" y=\"{:.1}\" width=\"{length:.1}\" height=\"{:.1}\"/>",
            bar.series % COLOURS,
            y + row / 6.0,
            row * 2.0 / 3.0
        );
        let mut end = length;
        if let Some((low, high)) = bar.range {
            let (low, high) = (LABEL + low.max(0.0) * scale, LABEL + high * scale);
            out += &format!(
                "<path class=\"range\" fill=\"none\" d=\"M{low:.1} {middle:.1}H{high:.1}M{low:.1} {:.1}v8M{high:.1} {:.1}v8\"/>",
                middle - 4.0,
                middle - 4.0
            );
            end = end.max(high - LABEL);
        }
        out += &format!("<text x=\"{:.1}\" y=\"{:.1}\">{}</text>", LABEL + end + 6.0, middle + 4.0, escape(&bar.text));
    }
    out.push_str("</svg>");
    out
}

/// Lines over a shared axis, with their names beside their ends. `y` are shares.
pub(super) fn lines(id: &str, title: &str, description: &str, unit: &str, lines: &[Line]) -> String {
    const HEIGHT: f64 = 320.0;
    const LEFT: f64 = 60.0;
    const NAMES: f64 = 200.0;
    let points = || lines.iter().flat_map(|line| &line.points);
    let (right, top) = points().fold((0.0_f64, 0.0_f64), |(x, y), point| (x.max(point.0), y.max(point.1)));
    if right <= 0.0 || top <= 0.0 {
        return String::new();
    }
    let x = |value: f64| LEFT + value / right * (WIDTH - LEFT - NAMES);
    let y = |value: f64| HEIGHT - 40.0 - value / top * (HEIGHT - 60.0);
    let mut out = open(id, title, description, HEIGHT);
    for part in 0..=4 {
        let value = top * f64::from(part) / 4.0;
        out += &format!(
            "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/><text class=\"soft\" x=\"{:.1}\" y=\"{:.1}\" \
             text-anchor=\"end\">{:.1} %</text>",
            WIDTH - NAMES,
            y(value),
            y(value),
            LEFT - 6.0,
            y(value) + 4.0,
            value * 100.0
        );
    }
    let mut marks: Vec<f64> = points().map(|point| point.0).collect();
    marks.sort_unstable_by(f64::total_cmp);
    marks.dedup();
    for mark in marks {
        out += &format!(
            "<text class=\"soft\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{mark} {}</text>",
            x(mark),
            HEIGHT - 18.0,
            escape(unit)
        );
    }
    // Names that would lie on each other are moved down.
    let mut ends: Vec<(f64, usize)> =
        lines.iter().enumerate().filter_map(|(at, line)| Some((y(line.points.last()?.1), at))).collect();
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut lowest = 0.0_f64;
    for (end, at) in ends {
        let Some(line) = lines.get(at) else { continue };
        let path: Vec<String> = line.points.iter().map(|(px, py)| format!("{:.1},{:.1}", x(*px), y(*py))).collect();
        let place = end.max(lowest + 15.0);
        lowest = place;
        out += &format!("<polyline class=\"l{}\" fill=\"none\" stroke-width=\"2\" points=\"{}\"/>", at % COLOURS, path.join(" "));
        for point in &line.points {
            out += &format!("<circle class=\"s{}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\"/>", at % COLOURS, x(point.0), y(point.1));
        }
        out +=
            &format!("<text x=\"{:.1}\" y=\"{:.1}\">{}</text>", WIDTH - NAMES + 8.0, place + 4.0, escape(&shorten(&line.name)));
    }
    out.push_str("</svg>");
    out
}

/// Names of series with their colours.
pub(super) fn legend(names: &[String]) -> String {
    let mut out = String::from("<p class=\"soft\">");
    for (at, name) in names.iter().enumerate() {
        out += &format!(
            "<svg style=\"display:inline;width:12px;height:12px;margin:0 4px 0 12px\" viewBox=\"0 0 12 12\" aria-hidden=\"true\"><rect \
             class=\"s{}\" width=\"12\" height=\"12\"/></svg>{}",
            at % COLOURS,
            escape(name)
        );
    }
    out.push_str("</p>");
    out
}

fn open(id: &str, title: &str, description: &str, height: f64) -> String {
    format!(
        "<svg role=\"img\" aria-labelledby=\"{id}-t {id}-d\" viewBox=\"0 0 {WIDTH} {height:.0}\"><title id=\"{id}-t\">{}</title><desc \
         id=\"{id}-d\">{}</desc>",
        escape(title),
        escape(description)
    )
}

fn shorten(label: &str) -> String {
    if label.chars().count() <= MAX_LETTERS {
        return label.to_owned();
    }
    label.chars().take(MAX_LETTERS - 1).chain(['…']).collect()
}
