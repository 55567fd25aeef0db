//! Tables: aligned columns without lines, like those of kubectl.

/// Number of spaces between two columns.
const GAP: usize = 3;
/// Maximum width of a cell in terminal columns, except in the last column.
const CELL_MAX: usize = 60;

/// Rows with a heading.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// What the rows are, in the plural.
    what: &'static str,
    heading: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table of `what`, such as `tasks`, with these columns.
    #[must_use]
    pub fn new(what: &'static str, heading: &[&'static str]) -> Self {
        Self { what, heading: heading.to_vec(), rows: Vec::new() }
    }

    /// What the rows are, in the plural.
    #[must_use]
    pub const fn what(&self) -> &'static str {
        self.what
    }

    /// Adds a row. Each cell is shown on one line, and long cells are cut so that the other columns
    /// stay visible.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut row: Vec<String> = cells.into_iter().map(|cell| harmless(&cell, ' ')).collect();
        if let Some((_last, before)) = row.split_last_mut() {
            before.iter_mut().for_each(cut);
        }
        self.rows.push(row);
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Renders the table as text, one row per line.
    #[must_use]
    pub fn render(&self, headers: bool) -> String {
        let heading: Vec<String> = self.heading.iter().map(|&name| name.to_owned()).collect();
        let shown: Vec<&Vec<String>> =
            headers.then_some(&heading).into_iter().chain(&self.rows).collect();
        let mut widths = vec![0; self.heading.len()];
        for row in &shown {
            for (width, cell) in widths.iter_mut().zip(row.iter()) {
                *width = (*width).max(columns(cell));
            }
        }
        let mut out = String::new();
        for row in shown {
            let mut line = String::new();
            for (width, cell) in widths.iter().zip(row) {
                line.push_str(cell);
                line.push_str(&" ".repeat(width - columns(cell) + GAP));
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

/// Renders name and value pairs, one per line, with aligned values. Empty values are omitted.
#[must_use]
pub fn fields(pairs: &[(&str, String)]) -> String {
    let pairs: Vec<_> = pairs.iter().filter(|(_, value)| !value.is_empty()).collect();
    let width = pairs.iter().map(|(name, _)| columns(name)).max().unwrap_or(0) + GAP;
    let mut out = String::new();
    for (name, value) in pairs {
        let space = " ".repeat(width - columns(name));
        let lines: Vec<String> = value.trim_end().lines().map(|line| harmless(line, '?')).collect();
        let value = lines.join(&format!("\n{}", " ".repeat(width)));
        out.push_str(&format!("{name}{space}{value}\n"));
    }
    out
}

/// Replaces control characters, which a terminal would interpret.
fn harmless(text: &str, instead: char) -> String {
    text.chars().map(|c| if c.is_control() { instead } else { c }).collect()
}

/// Truncates a text to [`CELL_MAX`] columns.
fn cut(text: &mut String) {
    if columns(text) <= CELL_MAX {
        return;
    }
    let mut ends = text.char_indices().map(|(at, c)| at + c.len_utf8());
    let fits = |end: &usize| text.get(..*end).is_some_and(|head| columns(head) < CELL_MAX);
    let end = ends.by_ref().take_while(fits).last().unwrap_or(0);
    text.truncate(end);
    text.push('…');
}

/// The approximate width of a text in terminal columns: East Asian characters and pictographs take
/// two, combining marks none.
fn columns(text: &str) -> usize {
    let wide = |c: char| {
        matches!(u32::from(c),
            0x1100..=0x115F | 0x2E80..=0xA4CF | 0xAC00..=0xD7A3 | 0xF900..=0xFAFF
            | 0xFE30..=0xFE6F | 0xFF00..=0xFF60 | 0xFFE0..=0xFFE6 | 0x1F300..=0x1FAFF
            | 0x20000..=0x3FFFD)
    };
    text.chars()
        .map(|c| match c {
            c if unicode_normalization::char::is_combining_mark(c) => 0,
            c if wide(c) => 2,
            _ => 1,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new("tasks", &["NAME", "STATE", "NEXT"]);
        table.row(["a", "active", "12:00"].map(str::to_owned));
        table.row(["报表", "x\ny", ""].map(str::to_owned));
        assert_eq!(table.render(true), "NAME   STATE    NEXT\na      active   12:00\n报表   x y\n");
        assert_eq!(table.render(false), "a      active   12:00\n报表   x y\n");
        assert_eq!(Table::new("tasks", &["A"]).render(false), "");
    }

    #[test]
    fn long_cells_are_cut_but_for_the_last() {
        let mut table = Table::new("tasks", &["NAME", "STATE", "OWNER"]);
        table.row(["x".repeat(200), "报".repeat(100), "y".repeat(100)]);
        table.row(["z".repeat(60), String::new(), String::new()]);
        let shown = [
            format!("{}…   {}…   {}\n", "x".repeat(59), "报".repeat(29), "y".repeat(100)),
            format!("{}\n", "z".repeat(60)),
        ];
        let table = table.render(false);
        assert_eq!(table.lines().map(|line| format!("{line}\n")).collect::<Vec<_>>(), shown);
    }

    #[test]
    fn fields_are_aligned_and_empty_ones_left_out() {
        let pairs = [("name", "a".to_owned()), ("x", String::new()), ("to", "b\nc".to_owned())];
        assert_eq!(fields(&pairs), "name   a\nto     b\n       c\n");
        assert_eq!(fields(&[("a", "x\u{1b}[2J\u{9b}\r\ny".to_owned())]), "a   x?[2J?\n    y\n");
    }
}
