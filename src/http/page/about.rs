//! What a document says in itself: its title, what a link to it shows, and a summary for who has no script.

use std::fmt::Write as _;

use identity::agent::Agent;

/// The longest description that a link shows.
const LONGEST: usize = 200;

/// What a document is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    title: String,
    text: String,
    /// Names and values.
    facts: Vec<(&'static str, String)>,
    /// Whether search engines are to keep it.
    is_found: bool,
}

impl About {
    /// The office itself.
    pub fn office() -> Self {
        Self {
            title: "Chancery".to_owned(),
            text: "The record office for on-chain agents.".to_owned(),
            facts: Vec::new(),
            is_found: true,
        }
    }

    /// A name that finds no agent.
    pub fn nobody() -> Self {
        Self {
            title: "No agent has this name · Chancery".to_owned(),
            text: "No agent here has this name.".to_owned(),
            facts: Vec::new(),
            is_found: false,
        }
    }

    /// An agent.
    pub fn agent(agent: &Agent) -> Self {
        let told = |text: &Option<String>| text.clone().unwrap_or_else(|| "not known".to_owned());
        let description = agent.description.as_deref().unwrap_or("An on-chain agent.");
        Self {
            title: format!("{} · Chancery", agent.name),
            text: cut(description),
            facts: vec![
                ("DID", agent.did.clone()),
                ("Status", agent.runtime_status.as_str().to_owned()),
                ("Owner", told(&agent.owner_address)),
                ("Registration file", told(&agent.metadata_state)),
                ("Verification", told(&agent.metadata_verification)),
                ("Proof", told(&agent.level)),
            ],
            is_found: true,
        }
    }

    /// For the head.
    pub fn head(&self) -> String {
        let (title, text) = (escape(&self.title), escape(&self.text));
        let mut head = format!(
            "<title>{title}</title>\n\
             <meta name=\"description\" content=\"{text}\">\n\
             <meta property=\"og:type\" content=\"website\">\n\
             <meta property=\"og:title\" content=\"{title}\">\n\
             <meta property=\"og:description\" content=\"{text}\">"
        );
        if !self.is_found {
            head.push_str("\n<meta name=\"robots\" content=\"noindex\">");
        }
        head
    }

    /// For who has no script.
    pub fn summary(&self) -> String {
        let mut html = format!(
            "<h1>{}</h1>\n<p>{}</p>",
            escape(&self.title),
            escape(&self.text)
        );
        if !self.facts.is_empty() {
            html.push_str("\n<dl>");
            for (name, value) in &self.facts {
                let _ = write!(html, "\n<dt>{name}</dt><dd>{}</dd>", escape(value));
            }
            html.push_str("\n</dl>");
        }
        html
    }
}

fn cut(text: &str) -> String {
    let mut short: String = text.chars().take(LONGEST).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// Strangers wrote it: it is text, wherever it stands.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_write_is_text() {
        let about = About {
            title: "\"><script>alert(1)</script>".to_owned(),
            text: "it's <b>bold</b> & 'quoted'".to_owned(),
            facts: vec![("DID", "<!--summary-->".to_owned())],
            is_found: false,
        };
        for html in [about.head(), about.summary()] {
            for danger in ["<script", "<b>", "\"\"", "<!--"] {
                assert!(!html.contains(danger), "{danger}: {html}");
            }
        }
        assert!(about.head().contains("&quot;&gt;&lt;script&gt;"));
        assert!(about.head().contains("noindex"));
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let long = "é".repeat(LONGEST + 1);
        let short = cut(&long);
        assert_eq!(short.chars().count(), LONGEST + 1);
        assert!(short.ends_with('…'));
        assert_eq!(cut("short"), "short");
    }
}
