//! Rust sources as the laws read them: comments gone, string literals apart, tests marked.
//!
//! This is a scanner of a hundred lines and no parser: it knows comments, literals and braces, and
//! that is all that the laws ask about.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// A string literal, escapes left as they are written.
#[derive(Debug)]
pub struct Literal {
    /// Byte offset in the file.
    pub at: usize,
    /// What stands between the quotes.
    pub text: String,
}

/// A function with a body.
#[derive(Debug)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Byte offset of `fn`.
    pub at: usize,
    /// Byte offset after the closing brace.
    pub end: usize,
}

/// One file.
#[derive(Debug)]
pub struct Source {
    /// Path from the root of the repository.
    pub path: String,
    /// The file as it is.
    pub text: String,
    /// The same bytes, but comments, the insides of literals and `#[cfg(test)]` items are blank.
    pub code: String,
    /// String literals outside of tests.
    pub literals: Vec<Literal>,
    /// Whether the whole file is a test.
    pub is_test: bool,
    /// Files that this one declares under `#[cfg(test)]`.
    test_files: Vec<PathBuf>,
}

impl Source {
    /// Reads a source that is given as text.
    pub fn new(path: &str, text: &str) -> Self {
        let (code, literals) = blank(text);
        let mut source = Self {
            path: path.to_owned(),
            text: text.to_owned(),
            code,
            literals,
            is_test: path.contains("/tests/") || path.contains("/benches/"),
            test_files: Vec::new(),
        };
        source.blank_tests();
        source
    }

    /// The crate: `crates/store` -> `store`; the binary is `chancery`.
    pub fn krate(&self) -> &str {
        match self.path.split('/').collect::<Vec<_>>().as_slice() {
            ["crates", name, ..] => name,
            ["indexer", ..] => "indexer",
            _ => "chancery",
        }
    }

    /// Line of a byte offset, from 1.
    pub fn line(&self, at: usize) -> usize {
        self.text[..at].matches('\n').count() + 1
    }

    /// `path:line`.
    pub fn place(&self, at: usize) -> String {
        format!("{}:{}", self.path, self.line(at))
    }

    /// Offsets where `word` stands in the code, not as a part of a longer name.
    pub fn words(&self, word: &str) -> Vec<usize> {
        let is_name =
            |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
        let bytes = self.code.as_bytes();
        let opens = word.as_bytes().first().is_some_and(|b| is_name(Some(b)));
        let closes = word.as_bytes().last().is_some_and(|b| is_name(Some(b)));
        self.code
            .match_indices(word)
            .map(|(at, _)| at)
            .filter(|at| !(opens && *at > 0 && is_name(bytes.get(at - 1))))
            .filter(|at| !(closes && is_name(bytes.get(at + word.len()))))
            .collect()
    }

    /// All functions that have a body, nested ones too.
    pub fn functions(&self) -> Vec<Function> {
        let body_of = |at: usize| {
            let open = self.item_end(at)?;
            if self.code.as_bytes()[open] != b'{' {
                return None;
            }
            let name: String = self.code[at + 2..]
                .trim_start()
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            (!name.is_empty()).then(|| Function {
                name,
                at,
                end: self.closing(open),
            })
        };
        self.words("fn").into_iter().filter_map(body_of).collect()
    }

    /// Where an item's head ends: at its `{` or `;`.
    fn item_end(&self, from: usize) -> Option<usize> {
        let mut depth = 0_i32;
        for (offset, byte) in self.code.bytes().enumerate().skip(from) {
            match byte {
                b'(' | b'[' => depth += 1,
                b')' | b']' => depth -= 1,
                b'{' | b';' if depth == 0 => return Some(offset),
                _ => {}
            }
        }
        None
    }

    /// The offset after the brace that closes the one at `open`.
    fn closing(&self, open: usize) -> usize {
        let mut depth = 0_i32;
        for (offset, byte) in self.code.bytes().enumerate().skip(open) {
            match byte {
                b'{' => depth += 1,
                b'}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return offset + 1;
            }
        }
        self.code.len()
    }

    fn blank_tests(&mut self) {
        while let Some(at) = self.code.find("#[cfg(test)]") {
            let Some(end) = self.item_end(at) else { break };
            let end = if self.code.as_bytes()[end] == b'{' {
                self.closing(end)
            } else {
                end + 1
            };
            if self.code[..end].ends_with(';') {
                self.note_test_file(at, end);
            }
            let blanked: String = self.code[at..end]
                .chars()
                .map(|c| if c == '\n' { '\n' } else { ' ' })
                .collect();
            self.code.replace_range(at..end, &blanked);
            self.literals
                .retain(|literal| !(at..end).contains(&literal.at));
        }
    }

    fn note_test_file(&mut self, at: usize, end: usize) {
        let Some(name) = self.code[at..end].rsplit("mod ").next() else {
            return;
        };
        let name = name.trim_end_matches(';').trim();
        let file = Path::new(&self.path);
        let parent = file.parent().unwrap_or(Path::new(""));
        let stem = file
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default();
        let folder = if ["lib", "main", "mod"].contains(&stem) {
            parent.to_owned()
        } else {
            parent.join(stem)
        };
        let named = self
            .literals
            .iter()
            .find(|literal| (at..end).contains(&literal.at));
        self.test_files.push(match named {
            Some(path) => parent.join(&path.text),
            None => folder.join(format!("{name}.rs")),
        });
    }
}

/// Blanks comments and literals; gives the string literals.
fn blank(text: &str) -> (String, Vec<Literal>) {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut literals = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let (inside, next, is_string) = match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                let end = text[at..].find('\n').map_or(bytes.len(), |n| at + n);
                (at..end, end, false)
            }
            b'/' if bytes.get(at + 1) == Some(&b'*') => {
                let end = block_comment_end(bytes, at);
                (at..end, end, false)
            }
            b'"' => {
                let end = string_end(bytes, at + 1);
                (at + 1..end, end + 1, true)
            }
            b'r' if raw_start(bytes, at).is_some() => {
                let (from, hashes) = raw_start(bytes, at).unwrap_or((at, 0));
                let close = format!("\"{}", "#".repeat(hashes));
                let end = text[from..].find(&close).map_or(bytes.len(), |n| from + n);
                (from..end, end + close.len(), true)
            }
            b'\'' => match char_end(text, at) {
                Some(end) => (at + 1..end, end + 1, false),
                None => (at..at, at + 1, false), // A lifetime.
            },
            _ => (at..at, at + 1, false),
        };
        let inside = inside.start..inside.end.min(bytes.len());
        if is_string {
            literals.push(Literal {
                at: inside.start,
                text: text[inside.clone()].to_owned(),
            });
        }
        for byte in &mut code[inside] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = next;
    }
    (String::from_utf8_lossy(&code).into_owned(), literals)
}

fn block_comment_end(bytes: &[u8], start: usize) -> usize {
    let (mut depth, mut at) = (0, start);
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => {
                depth += 1;
                at += 2;
            }
            b"*/" => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    bytes.len()
}

fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at.min(bytes.len())
}

/// After the opening quote of a raw string, and how many `#` it has.
fn raw_start(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let before = at.checked_sub(1).map(|i| bytes[i]);
    if before.is_some_and(|b| (b.is_ascii_alphanumeric() && b != b'b') || b == b'_') {
        return None;
    }
    let hashes = bytes[at + 1..].iter().take_while(|b| **b == b'#').count();
    (bytes.get(at + 1 + hashes) == Some(&b'"')).then_some((at + 2 + hashes, hashes))
}

/// The closing quote of a character literal; `None` for a lifetime.
fn char_end(text: &str, at: usize) -> Option<usize> {
    let rest = &text[at + 1..];
    if let Some(escaped) = rest.strip_prefix('\\') {
        // At least one character is escaped, and it may itself be a quote.
        let first = escaped.chars().next()?.len_utf8();
        return escaped[first..].find('\'').map(|n| at + 2 + first + n);
    }
    let first = rest.chars().next()?;
    rest[first.len_utf8()..]
        .starts_with('\'')
        .then_some(at + 1 + first.len_utf8())
}

/// The repository's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Reads a file of the repository.
pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every Rust source of the workspace below `src` folders, tests marked.
pub fn sources() -> Vec<Source> {
    let mut paths = BTreeSet::new();
    walk(&root().join("src"), &mut paths);
    walk(&root().join("indexer"), &mut paths);
    walk(&root().join("crates"), &mut paths);
    let mut sources: Vec<Source> = paths
        .iter()
        .map(|path| {
            let relative = path
                .strip_prefix(root())
                .unwrap_or(path)
                .to_string_lossy()
                .into_owned();
            Source::new(&relative, &fs::read_to_string(path).unwrap_or_default())
        })
        .collect();
    let tests: BTreeSet<PathBuf> = sources
        .iter()
        .flat_map(|source| source.test_files.iter().cloned())
        .collect();
    for source in &mut sources {
        source.is_test |= tests.contains(Path::new(&source.path));
    }
    sources
}

fn walk(folder: &Path, found: &mut BTreeSet<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.insert(path);
        }
    }
}
