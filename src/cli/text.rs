//! Text for people: tables, details, times.
//!
//! **Invariant:** what came over the network passes [`plain`] before it reaches
//! a terminal, so that a label cannot move the cursor or change a colour.

use comfy_table::{Table, presets};
use prost_types::Timestamp;

/// The text with every control character written out.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || is_direction(character) {
            plain.extend(character.escape_default());
        } else {
            plain.push(character);
        }
    }
    plain
}

/// Characters that make text read otherwise than it is stored (UAX #9).
fn is_direction(character: char) -> bool {
    matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Rows under a header, two spaces between the columns.
pub(super) fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    for row in rows {
        table.add_row(row.map(|cell| or_dash(&plain(&cell))));
    }
    finish(&mut table)
}

/// Names and values, one a line; those without a value are left out.
pub(super) fn details(lines: impl IntoIterator<Item = (&'static str, String)>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    for (name, value) in lines {
        if !value.is_empty() {
            table.add_row([name.to_owned(), plain(&value)]);
        }
    }
    finish(&mut table)
}

fn finish(table: &mut Table) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    format!("{}\n", table.trim_fmt())
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

/// `name=value` pairs in one line.
pub(super) fn pairs<'a>(pairs: impl IntoIterator<Item = (&'a String, &'a String)>) -> String {
    let pairs: Vec<_> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join(", ")
}

/// A time to the second in RFC 3339; empty where there is none.
pub(super) fn time(time: Option<&Timestamp>) -> String {
    rfc3339(time.map(|time| Timestamp { nanos: 0, ..*time }).as_ref()).unwrap_or_default()
}

/// A time in RFC 3339.
pub(super) fn rfc3339(time: Option<&Timestamp>) -> Option<String> {
    // The years 1 to 9999, which is what the format can say.
    let time = time.filter(|time| (-62_135_596_800..=253_402_300_799).contains(&time.seconds))?;
    Some(time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_no_borders_and_no_trailing_spaces() {
        let rows = [["a".to_owned(), "enabled".to_owned()], ["long-name".to_owned(), String::new()]];
        assert_eq!(table(["ID", "STATE"], rows), "ID         STATE\na          enabled\nlong-name  -\n");
        assert_eq!(table(["ID"], []), "ID\n");
    }

    #[test]
    fn details_leave_out_what_is_not_there() {
        let lines = [("ID", "a".to_owned()), ("ALIASES", String::new()), ("STATE", "enabled".to_owned())];
        assert_eq!(details(lines), "ID     a\nSTATE  enabled\n");
    }

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        assert_eq!(plain("a\u{1b}[31m\n\u{202e}ü"), "a\\u{1b}[31m\\n\\u{202e}ü");
        assert!(!table(["ID"], [["\u{1b}".to_owned()]]).contains('\u{1b}'));
    }

    #[test]
    fn times_are_rfc_3339() {
        let at = Timestamp { seconds: 1_767_225_600, nanos: 500_000_000 };
        assert_eq!(time(Some(&at)), "2026-01-01T00:00:00Z");
        assert_eq!(rfc3339(Some(&at)).as_deref(), Some("2026-01-01T00:00:00.500Z"));
        assert_eq!(rfc3339(Some(&Timestamp { seconds: i64::MIN, nanos: 0 })), None);
    }
}
