//! The grammar of a filter, whatever its fields are.

use super::{COMPARISONS, DEPTH, FilterError, Operator, Part, Wrong};

/// A filter that was understood.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expression<C> {
    /// All of these; never empty.
    All(Vec<Self>),
    /// One of these; never empty.
    Any(Vec<Self>),
    Not(Box<Self>),
    Is(C),
}

impl<C> Expression<C> {
    pub(super) fn holds(&self, comparison: &impl Fn(&C) -> bool) -> bool {
        match self {
            Self::All(all) => all.iter().all(|one| one.holds(comparison)),
            Self::Any(any) => any.iter().any(|one| one.holds(comparison)),
            Self::Not(inner) => !inner.holds(comparison),
            Self::Is(this) => comparison(this),
        }
    }
}

/// Reads all of `text`; `None` where there is nothing in it. `comparison` makes a
/// comparison of a field, an operator and a value.
pub(super) fn parse<C>(
    text: &str,
    comparison: impl Fn(&str, Operator, &str) -> Result<C, Wrong>,
) -> Result<Option<Expression<C>>, FilterError> {
    let mut parser = Parser { text, rest: text, comparison, count: 0 };
    parser.skip();
    if parser.rest.is_empty() {
        return Ok(None);
    }
    let expression = parser.expression(0)?;
    if parser.rest.is_empty() {
        Ok(Some(expression))
    } else {
        Err(parser.expected(parser.rest, "`AND`, `OR` or the end"))
    }
}

struct Parser<'a, F> {
    text: &'a str,
    /// What is still to be read, without spaces in front.
    rest: &'a str,
    comparison: F,
    count: usize,
}

impl<'a, F> Parser<'a, F> {
    fn expression<C>(&mut self, depth: usize) -> Result<Expression<C>, FilterError>
    where
        F: Fn(&str, Operator, &str) -> Result<C, Wrong>,
    {
        let mut all = vec![self.factor(depth)?];
        while self.keyword("AND") {
            all.push(self.factor(depth)?);
        }
        Ok(single(all, Expression::All))
    }

    fn factor<C>(&mut self, depth: usize) -> Result<Expression<C>, FilterError>
    where
        F: Fn(&str, Operator, &str) -> Result<C, Wrong>,
    {
        let mut any = vec![self.term(depth)?];
        while self.keyword("OR") {
            any.push(self.term(depth)?);
        }
        Ok(single(any, Expression::Any))
    }

    fn term<C>(&mut self, depth: usize) -> Result<Expression<C>, FilterError>
    where
        F: Fn(&str, Operator, &str) -> Result<C, Wrong>,
    {
        let negated = self.keyword("NOT") || self.symbol("-");
        let begun = self.rest;
        let term = if self.symbol("(") {
            if depth == DEPTH {
                return Err(self.expected(begun, format!("no more than {DEPTH} parentheses in each other")));
            }
            let inner = self.expression(depth + 1)?;
            if !self.symbol(")") {
                return Err(self.expected(self.rest, "`AND`, `OR` or `)`"));
            }
            inner
        } else {
            self.comparison()?
        };
        Ok(if negated { Expression::Not(Box::new(term)) } else { term })
    }

    fn comparison<C>(&mut self) -> Result<Expression<C>, FilterError>
    where
        F: Fn(&str, Operator, &str) -> Result<C, Wrong>,
    {
        let at_field = self.rest;
        let field = self.word(|next| !(next.is_ascii_alphanumeric() || "._/-".contains(next)));
        if field.is_empty() {
            return Err(self.expected(at_field, "a comparison: a field, an operator and a value"));
        }
        self.count += 1;
        if self.count > COMPARISONS {
            return Err(self.expected(at_field, format!("no more than {COMPARISONS} comparisons")));
        }
        let at_operator = self.rest;
        let Some(operator) = Operator::ALL.into_iter().find(|operator| self.symbol(operator.text())) else {
            return Err(self.expected(at_operator, "one of `=`, `!=`, `<`, `<=`, `>`, `>=` and `:`"));
        };
        let at_value = self.rest;
        let value = self.value()?;
        (self.comparison)(field, operator, &value).map(Expression::Is).map_err(|wrong| {
            let at = match wrong.part {
                Part::Field => at_field,
                Part::Operator => at_operator,
                Part::Value => at_value,
            };
            self.expected(at, wrong.expected)
        })
    }

    fn value(&mut self) -> Result<String, FilterError> {
        let begun = self.rest;
        let Some(quote) = self.rest.chars().next().filter(|first| matches!(first, '"' | '\'')) else {
            let word = self.word(|next| next.is_whitespace() || matches!(next, '(' | ')'));
            if word.is_empty() {
                return Err(self.expected(begun, "a value"));
            }
            return Ok(word.to_owned());
        };
        let mut value = String::new();
        let mut characters = self.rest.char_indices().skip(1);
        while let Some((at, next)) = characters.next() {
            match next {
                '\\' => match characters.next() {
                    Some((_, escaped @ ('"' | '\'' | '\\'))) => value.push(escaped),
                    _ => {
                        let from = self.rest.get(at..).unwrap_or_default();
                        return Err(self.expected(from, "`\\` before a quote or another `\\`"));
                    }
                },
                next if next == quote => {
                    self.rest = self.rest.get(at + quote.len_utf8()..).unwrap_or_default();
                    self.skip();
                    return Ok(value);
                }
                next => value.push(next),
            }
        }
        Err(self.expected(begun, "a quoted value that ends with its quote"))
    }

    /// A word by itself: what follows it is a space, a parenthesis or the end.
    fn keyword(&mut self, word: &str) -> bool {
        let Some(after) = self.rest.strip_prefix(word) else { return false };
        let ends = after.chars().next().is_none_or(|next| next.is_whitespace() || matches!(next, '(' | ')'));
        ends && self.symbol(word)
    }

    fn symbol(&mut self, symbol: &str) -> bool {
        let Some(after) = self.rest.strip_prefix(symbol) else { return false };
        self.rest = after;
        self.skip();
        true
    }

    /// Everything up to where `ends` says so.
    fn word(&mut self, ends: impl Fn(char) -> bool) -> &'a str {
        let (word, rest) = self.rest.split_at(self.rest.find(ends).unwrap_or(self.rest.len()));
        self.rest = rest;
        self.skip();
        word
    }

    fn skip(&mut self) {
        self.rest = self.rest.trim_start();
    }

    /// `from` is what was left of the text where something else was expected.
    fn expected(&self, from: &str, expected: impl Into<String>) -> FilterError {
        let before = self.text.get(..self.text.len() - from.len()).unwrap_or_default();
        FilterError { at: before.chars().count() + 1, expected: expected.into() }
    }
}

fn single<C>(
    mut several: Vec<Expression<C>>,
    joined: impl Fn(Vec<Expression<C>>) -> Expression<C>,
) -> Expression<C> {
    match several.pop() {
        Some(only) if several.is_empty() => only,
        Some(last) => {
            several.push(last);
            joined(several)
        }
        None => joined(several),
    }
}
