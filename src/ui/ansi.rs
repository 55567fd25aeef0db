//! What a program printed, as markup: colours of terminals (SGR, ECMA-48 8.3.117) as classes, all other
//! control sequences left out, and text as text.

use maud::{Markup, html};

/// How the text looks from here on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Look {
    bold: bool,
    /// A colour from 1 to 16; 0: the usual one.
    colour: u8,
}

impl Look {
    fn class(self) -> String {
        let colour = if self.colour > 0 { format!("c{}", self.colour) } else { String::new() };
        let bold = if self.bold { " b" } else { "" };
        format!("{colour}{bold}").trim().to_owned()
    }

    /// Applies the parameters of one SGR sequence.
    fn apply(&mut self, parameters: &str) {
        let mut numbers = parameters.split(';').map(|text| text.parse::<u16>().unwrap_or(0));
        while let Some(number) = numbers.next() {
            match number {
                0 => *self = Self::default(),
                1 => self.bold = true,
                22 => self.bold = false,
                30..=37 => self.colour = u8::try_from(number - 29).unwrap_or(0),
                90..=97 => self.colour = u8::try_from(number - 81).unwrap_or(0),
                39 => self.colour = 0,
                // Extended colours have parameters of their own: 5;n and 2;r;g;b.
                38 | 48 => match numbers.next() {
                    Some(5) => drop(numbers.next()),
                    Some(2) => drop(numbers.by_ref().take(3).count()),
                    _ => {}
                },
                _ => {}
            }
        }
    }
}

/// The output as markup.
pub(super) fn shown(bytes: &[u8]) -> Markup {
    let text = String::from_utf8_lossy(bytes);
    html! {
        @for (look, piece) in pieces(&text) {
            @if look == Look::default() { (piece) } @else { span class=(look.class()) { (piece) } }
        }
    }
}

/// The output as text alone.
pub(super) fn plain(bytes: &[u8]) -> String {
    pieces(&String::from_utf8_lossy(bytes)).into_iter().map(|(_, text)| text).collect()
}

fn pieces(text: &str) -> Vec<(Look, String)> {
    let mut pieces: Vec<(Look, String)> = Vec::new();
    let mut look = Look::default();
    let mut rest = text;
    while let Some(at) = rest.find('\u{1b}') {
        let (before, escape) = rest.split_at(at);
        push(&mut pieces, look, before);
        let (sequence, after) = sequence(&escape[1..]);
        if let Some(parameters) = sequence.strip_prefix('[').and_then(|all| all.strip_suffix('m')) {
            look.apply(parameters);
        }
        rest = after;
    }
    push(&mut pieces, look, rest);
    pieces
}

fn push(pieces: &mut Vec<(Look, String)>, look: Look, text: &str) {
    let shown = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    let text: String = text.chars().filter(shown).collect();
    match pieces.last_mut() {
        Some((last, own)) if *last == look => own.push_str(&text),
        _ if text.is_empty() => {}
        _ => pieces.push((look, text)),
    }
}

/// The control sequence behind an escape, and what follows it.
fn sequence(text: &str) -> (&str, &str) {
    let end = match text.chars().next() {
        // CSI: parameters, then one final character.
        Some('[') => text
            .char_indices()
            .skip(1)
            .find(|(_, c)| !(' '..='?').contains(c))
            .map(|(at, c)| if ('@'..='~').contains(&c) { at + c.len_utf8() } else { at }),
        // OSC and other strings: up to BEL or ST.
        Some(']' | 'P' | '^' | '_' | 'X') => text
            .find('\u{7}')
            .map(|at| at + 1)
            .into_iter()
            .chain(text.find("\u{1b}\\").map(|at| at + 2))
            .min(),
        Some(other) => Some(other.len_utf8()),
        None => Some(0),
    };
    text.split_at(end.unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_become_classes_and_markup_stays_text() {
        for (printed, markup) in [
            ("plain\n", "plain\n"),
            ("<b>&", "&lt;b&gt;&amp;"),
            ("\u{1b}[31mred\u{1b}[0m off", "<span class=\"c2\">red</span> off"),
            (
                "\u{1b}[1;92mgo\u{1b}[22m on",
                "<span class=\"c11 b\">go</span><span class=\"c11\"> on</span>",
            ),
            ("\u{1b}[38;5;200mx\u{1b}[48;2;1;2;3my", "xy"),
            ("a\u{1b}[2Kb\u{1b}[10;5Hc", "abc"),
            ("\u{1b}]0;title\u{7}shown", "shown"),
            ("\u{1b}]8;;x\u{1b}\\link", "link"),
            ("cut \u{1b}[3", "cut "),
            ("cut \u{1b}", "cut "),
            ("\u{1b}[31\nm", "\nm"),
            ("50\r100\r\n", "50100\n"),
        ] {
            assert_eq!(shown(printed.as_bytes()).into_string(), markup, "{printed:?}");
        }
        assert_eq!(shown(b"\xff\x1b[32mok").into_string(), "\u{fffd}<span class=\"c3\">ok</span>");
    }
}
