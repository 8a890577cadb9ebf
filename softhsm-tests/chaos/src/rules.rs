//! What is to happen, and when.

use std::str::SplitWhitespace;

/// What happens at a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Answer(u64),
    AnswerAfter(u64),
    Sleep(u64),
    Hang,
    Crash,
    Length(i64),
    Empty,
    Flip,
    Drop(u64),
    Set(u64, Vec<u8>),
    Lie(u64, Vec<u8>),
    CloseSessions,
    Logout,
    Renumber,
}

/// At which of the calls since the rule was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum When {
    Every,
    Nth(u64),
    From(u64),
    /// So many of a thousand, by a generator that begins with this.
    Chance(u64, u64),
}

impl When {
    /// Whether it is now, at the call of this number.
    pub(crate) fn is_now(&mut self, call: u64) -> bool {
        match self {
            Self::Every => true,
            Self::Nth(nth) => call == *nth,
            Self::From(first) => call >= *first,
            Self::Chance(permille, state) => {
                // Xorshift: the same calls in every run of a test.
                *state ^= *state << 13;
                *state ^= *state >> 7;
                *state ^= *state << 17;
                *state % 1000 < *permille
            }
        }
    }
}

/// A line of the control socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    On { function: String, when: When, effect: Effect },
    Off(u64),
    Clear,
    Release,
    Count(String),
    Hanging(u64),
    Remove,
    Insert,
    Sessions(u64),
    PinTries(u64),
    Serial(Option<String>),
}

impl Command {
    /// Reads a line.
    pub(crate) fn parse(line: &str) -> Result<Self, String> {
        let mut words = line.split_whitespace();
        let command = word(&mut words)?;
        let parsed = match command {
            "on" => {
                let function = word(&mut words)?.to_owned();
                let when = match word(&mut words)? {
                    "every" => When::Every,
                    "nth" => When::Nth(number(&mut words)?),
                    "from" => When::From(number(&mut words)?),
                    // Zero would stay zero.
                    "chance" => When::Chance(number(&mut words)?, number(&mut words)?.max(1)),
                    other => return Err(format!("`{other}` is no time")),
                };
                Self::On { function, when, effect: effect(&mut words)? }
            }
            "off" => Self::Off(number(&mut words)?),
            "clear" => Self::Clear,
            "release" => Self::Release,
            "count" => Self::Count(word(&mut words)?.to_owned()),
            "hanging" => Self::Hanging(number(&mut words)?),
            "remove" => Self::Remove,
            "insert" => Self::Insert,
            "sessions" => Self::Sessions(number(&mut words)?),
            "pin-tries" => Self::PinTries(number(&mut words)?),
            "serial" => Self::Serial(Some(word(&mut words)?.to_owned()).filter(|text| text != "-")),
            other => return Err(format!("`{other}` is no command")),
        };
        match words.next() {
            None => Ok(parsed),
            Some(more) => Err(format!("`{more}` is one word too many")),
        }
    }
}

fn effect(words: &mut SplitWhitespace<'_>) -> Result<Effect, String> {
    Ok(match word(words)? {
        "answer" => Effect::Answer(number(words)?),
        "answer-after" => Effect::AnswerAfter(number(words)?),
        "sleep" => Effect::Sleep(number(words)?),
        "hang" => Effect::Hang,
        "crash" => Effect::Crash,
        "length" => {
            let delta = word(words)?;
            Effect::Length(delta.parse().map_err(|_| format!("`{delta}` is no number"))?)
        }
        "empty" => Effect::Empty,
        "flip" => Effect::Flip,
        "drop" => Effect::Drop(number(words)?),
        "set" => Effect::Set(number(words)?, bytes(words)?),
        "lie" => Effect::Lie(number(words)?, bytes(words)?),
        "close-sessions" => Effect::CloseSessions,
        "logout" => Effect::Logout,
        "renumber" => Effect::Renumber,
        other => return Err(format!("`{other}` is no effect")),
    })
}

fn word<'a>(words: &mut SplitWhitespace<'a>) -> Result<&'a str, String> {
    words.next().ok_or_else(|| "something is missing at the end of the line".to_owned())
}

fn number(words: &mut SplitWhitespace<'_>) -> Result<u64, String> {
    let text = word(words)?;
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| format!("`{text}` is no number"))
}

/// Pairs of hexadecimal digits; `-`: none.
fn bytes(words: &mut SplitWhitespace<'_>) -> Result<Vec<u8>, String> {
    let text = word(words)?;
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let (pairs, rest) =
        if text == "-" { (Vec::new(), 0) } else { (text.as_bytes().chunks(2).collect(), text.len() % 2) };
    let bytes: Option<Vec<u8>> = pairs.into_iter().map(pair).collect();
    bytes.filter(|_| rest == 0).ok_or_else(|| format!("`{text}` is not in pairs of hexadecimal digits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_read_as_it_is_written_down() {
        let on = |when, effect| Ok(Command::On { function: "C_Sign".to_owned(), when, effect });
        assert_eq!(Command::parse("on C_Sign every answer 0x30"), on(When::Every, Effect::Answer(0x30)));
        assert_eq!(Command::parse("on C_Sign nth 3 length -1"), on(When::Nth(3), Effect::Length(-1)));
        assert_eq!(
            Command::parse("on C_Sign from 2 lie 0x103 01ff"),
            on(When::From(2), Effect::Lie(0x103, vec![1, 255]))
        );
        assert_eq!(
            Command::parse("on C_Sign chance 5 0 set 1 -"),
            on(When::Chance(5, 1), Effect::Set(1, vec![]))
        );
        assert_eq!(Command::parse(" serial - "), Ok(Command::Serial(None)));
        for line in [
            "",
            "on",
            "on C_Sign",
            "on C_Sign nth",
            "on C_Sign every set 1 0",
            "on C_Sign every set 1 0g",
            "off x",
            "clear 1",
        ] {
            assert!(Command::parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_chance_comes_as_often_as_it_says() {
        let mut when = When::Chance(100, 7);
        let hits = (0..10_000).filter(|call| when.is_now(*call)).count();
        assert!((800..1200).contains(&hits), "{hits}");
    }
}
