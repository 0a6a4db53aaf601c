//! `Signature-Input`: a structured field (RFC 9651) with one inner list of names and its parameters.

use super::refused;
use crate::Result;

/// Components, and parameters, that one signature may have.
const MOST: usize = 32;

/// What a signature says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Its name in both headers.
    pub label: String,
    /// What it covers, in its order; each once.
    pub components: Vec<String>,
    parameters: Vec<(String, Value)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Number(i64),
    Text(String),
}

impl Input {
    /// Reads `label=("name" ...);created=1;keyid="..."`.
    pub fn parse(text: &str) -> Result<Self> {
        let mut rest = Rest(text.trim());
        let label = rest.key("a signature's label")?;
        rest.expect("=(")?;
        let mut components: Vec<String> = Vec::new();
        loop {
            rest.spaces();
            if rest.take(")") {
                break;
            }
            if components.len() == MOST {
                return Err(refused(format!(
                    "a signature covers at most {MOST} components"
                )));
            }
            let name = rest.text()?;
            if name.chars().any(|c| c.is_ascii_uppercase()) {
                return Err(refused("names of components are in lower case"));
            }
            if components.contains(&name) {
                return Err(refused(format!("`{name}` is covered twice")));
            }
            components.push(name);
            if !rest.0.starts_with([' ', ')']) {
                return Err(refused(
                    "components take no parameters here, and are apart by one space",
                ));
            }
        }
        let mut parameters: Vec<(String, Value)> = Vec::new();
        while rest.take(";") {
            rest.spaces();
            let name = rest.key("a parameter's name")?;
            rest.expect("=")?;
            let value = rest.value()?;
            if parameters.len() == MOST || parameters.iter().any(|(known, _)| *known == name) {
                return Err(refused(format!(
                    "the parameter `{name}` is there twice, or there are too many"
                )));
            }
            parameters.push((name, value));
        }
        if !rest.0.is_empty() {
            return Err(refused(
                "one signature at a time: Signature-Input goes on behind it",
            ));
        }
        Ok(Self {
            label,
            components,
            parameters,
        })
    }

    /// A parameter that is a text.
    pub fn text_of(&self, name: &str) -> Option<&str> {
        match self.parameter(name)? {
            Value::Text(text) => Some(text),
            Value::Number(_) => None,
        }
    }

    /// A parameter that is a number.
    pub fn number(&self, name: &str) -> Option<i64> {
        match self.parameter(name)? {
            Value::Number(number) => Some(*number),
            Value::Text(_) => None,
        }
    }

    fn parameter(&self, name: &str) -> Option<&Value> {
        let found = self.parameters.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value)
    }

    /// Its one canonical form, which is signed along.
    pub fn text(&self) -> String {
        let components: Vec<String> = self.components.iter().map(|name| quoted(name)).collect();
        let parameters = self.parameters.iter().map(|(name, value)| match value {
            Value::Number(number) => format!(";{name}={number}"),
            Value::Text(value) => format!(";{name}={}", quoted(value)),
        });
        let parameters: String = parameters.collect();
        format!("({}){parameters}", components.join(" "))
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// What is not read yet.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn take(&mut self, word: &str) -> bool {
        match self.0.strip_prefix(word) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, word: &str) -> Result<()> {
        if self.take(word) {
            return Ok(());
        }
        Err(refused(
            "Signature-Input is `label=(\"@method\" ...);created=...;expires=...;keyid=\"...\";nonce=\"...\"`",
        ))
    }

    fn spaces(&mut self) {
        self.0 = self.0.trim_start_matches(' ');
    }

    /// Characters as long as they fit.
    fn run(&mut self, fits: impl Fn(char) -> bool) -> &'a str {
        let end = self.0.find(|c| !fits(c)).unwrap_or(self.0.len());
        let (run, rest) = self.0.split_at(end);
        self.0 = rest;
        run
    }

    fn key(&mut self, what: &str) -> Result<String> {
        let key = self.run(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-.*".contains(c));
        if key.starts_with(|c: char| c.is_ascii_lowercase() || c == '*') {
            return Ok(key.to_owned());
        }
        Err(refused(format!("{what} is a word in lower case")))
    }

    fn text(&mut self) -> Result<String> {
        self.expect("\"")?;
        let mut text = String::new();
        let mut chars = self.0.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.0 = &self.0[at + 1..];
                    return Ok(text);
                }
                '\\' => match chars.next() {
                    Some((_, c @ ('"' | '\\'))) => text.push(c),
                    _ => break,
                },
                ' '..='~' => text.push(c),
                _ => break,
            }
        }
        Err(refused(
            "a text of Signature-Input does not end, or is not of ASCII",
        ))
    }

    fn value(&mut self) -> Result<Value> {
        if self.0.starts_with('"') {
            return self.text().map(Value::Text);
        }
        let digits = self.run(|c| c.is_ascii_digit() || c == '-');
        let number = digits.parse().ok().filter(|_| digits.len() <= 16);
        let number =
            number.ok_or_else(|| refused("a parameter is a number or a text in quotes"))?;
        Ok(Value::Number(number))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn its_canonical_form_is_what_is_signed() {
        let input =
            Input::parse(r#"sig1=( "@method"  "date" );created=1;keyid="a\"b\\c""#).unwrap();
        assert_eq!(
            input.text(),
            r#"("@method" "date");created=1;keyid="a\"b\\c""#
        );
        assert_eq!(input.text_of("keyid"), Some(r#"a"b\c"#));
        assert_eq!(
            (input.number("created"), input.number("keyid")),
            (Some(1), None)
        );
        assert_eq!(Input::parse("s=()").unwrap().text(), "()");
    }

    #[test]
    fn everything_else_is_refused() {
        for wrong in [
            "",
            "sig1",
            "sig1=",
            "Sig1=()",
            "1=()",
            "sig1=(",
            "sig1=(\"a\"",
            "sig1=(a)",
            "sig1=(\"a\"\"b\")",
            "sig1=(\"a\" \"a\")",
            "sig1=(\"A\")",
            "sig1=(\"a\";sf)",
            "sig1=();created",
            "sig1=();created=",
            "sig1=();created=x",
            "sig1=();created=1.5",
            "sig1=();created=1;created=2",
            "sig1=();created=99999999999999999999",
            "sig1=();nonce=\"a",
            "sig1=();nonce=\"\\a\"",
            "sig1=();nonce=\"ä\"",
            "sig1=(), sig2=()",
        ] {
            assert!(Input::parse(wrong).is_err(), "{wrong}");
        }
        let many = (0..40)
            .map(|i| format!("\"h{i}\""))
            .collect::<Vec<_>>()
            .join(" ");
        assert!(Input::parse(&format!("s=({many})")).is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            let _ = Input::parse(&text);
        }

        #[test]
        fn what_is_written_is_read(
            names in proptest::collection::hash_set("[a-z@][a-z-]{0,9}", 0..5),
            nonce in "[ -~]{0,20}",
            created in 0_i64..9_999_999_999,
        ) {
            let names: Vec<String> = names.into_iter().collect();
            let list = names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(" ");
            let text = format!("({list});nonce={};created={created}", quoted(&nonce));
            let input = Input::parse(&format!("s={text}")).unwrap();
            prop_assert_eq!(input.text(), text);
            prop_assert_eq!(&input.components, &names);
            prop_assert_eq!(input.text_of("nonce"), Some(nonce.as_str()));
        }
    }
}
