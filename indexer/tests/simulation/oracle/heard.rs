//! What VEXEL's contracts say of an agent, as far as it is the agent's own word.
//!
//! The address that was registered must be the agent's when that happened (or its first owner's, where it was not known
//! then), and still be when the contract speaks. What the contract says by itself counts once the agent has beaten in a
//! later transaction than the one that registered it.

use std::collections::BTreeSet;

use kernel::{Address, B256};
use serde_json::json;

use super::{Life, Place};
use crate::vexel::{Heard, Word};

/// What is remembered of words before.
#[derive(Debug, Default)]
pub(super) struct Heart {
    place: Option<Enrolled>,
    /// Whom the registry that founded the agent has as its owner.
    registry: Option<Address>,
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct Enrolled {
    account: Address,
    tx: B256,
    ours: bool,
    /// Nobody knew the agent yet.
    waits: bool,
    heard: bool,
    /// It beat in a later transaction.
    beaten: bool,
}

/// Owner and wallet of the token, where the agent has one.
type OfToken = [Option<Address>; 2];

impl Heart {
    /// What a new life begins with.
    pub(super) fn waiting(self) -> Self {
        Self {
            place: self.place.filter(|enrolled| enrolled.waits),
            registry: None,
        }
    }
}

impl Life {
    fn is_ours(&self, account: Address, of_token: OfToken) -> bool {
        let of_row: Option<Address> = self
            .text("owner_address")
            .and_then(|address| address.parse().ok());
        of_token.contains(&Some(account)) || of_row == Some(account)
    }

    /// The registered address, while it speaks for the agent, and whether the agent has beaten since.
    fn speaker(&self, of_token: OfToken) -> Option<bool> {
        let enrolled = self.heart.place.as_ref()?;
        let speaks = enrolled.ours && !enrolled.waits && self.is_ours(enrolled.account, of_token);
        speaks.then_some(enrolled.beaten)
    }

    pub(super) fn hear(&mut self, heard: &Heard, tx: B256, place: Place) {
        let of_token = [heard.owner, heard.wallet];
        match &heard.word {
            Word::Enrolled(account) => {
                let enrolled = Enrolled {
                    account: *account,
                    tx,
                    ours: self.exists && self.is_ours(*account, of_token),
                    waits: !self.exists,
                    heard: false,
                    beaten: false,
                };
                self.heart.place.get_or_insert(enrolled);
            }
            Word::Beat => {
                if let Some(enrolled) = &mut self.heart.place {
                    enrolled.heard = true;
                    enrolled.beaten |= enrolled.tx != tx;
                }
                if self.speaker(of_token).is_some() {
                    self.notes.insert("a beat in VEXEL's contract");
                    self.liveness = Some("active".to_owned());
                    self.weak(true, place);
                } else {
                    self.notes
                        .insert("a word of VEXEL's that speaks for nobody");
                }
            }
            Word::Inactive if self.speaker(of_token) == Some(true) => {
                self.notes.insert("a threshold of VEXEL's that is over");
                if self.liveness.as_deref() == Some("active") {
                    self.liveness = Some("inactive".to_owned());
                }
                if self.status.as_deref() == Some("ACTIVE") {
                    self.weak(false, place);
                }
            }
            Word::Deactivated if self.speaker(of_token) == Some(true) => {
                if !self.is_final {
                    self.notes
                        .insert("an agent that VEXEL's contract deactivates");
                    self.is_final = true;
                    self.set_status("TERMINATED", place);
                }
            }
            Word::Inactive | Word::Deactivated => {}
            Word::Registered(owner, name) => self.registered(*owner, name, of_token, place),
            word => self.registry_says(word, of_token, place),
        }
    }

    /// By the registry: it founds an agent once, and its owner may do so again.
    fn registered(&mut self, owner: Address, name: &str, of_token: OfToken, place: Place) {
        let again = self.heart.registry.is_some() && self.is_ours(owner, of_token);
        if self.exists && !again {
            return;
        }
        self.heart.registry = Some(owner);
        for (column, value) in [
            ("owner_address", format!("{owner:#x}")),
            ("name", name.to_owned()),
            ("description", "of VEXEL".to_owned()),
        ] {
            self.columns.insert(column.to_owned(), json!(value));
        }
        if !again {
            self.notes.insert("an agent of VEXEL's registry");
            self.exists = true;
            self.set_status("ACTIVE", place);
            self.judge(of_token);
        }
    }

    /// By the registry, about an agent that it founded, while its owner there is the agent's.
    fn registry_says(&mut self, word: &Word, of_token: OfToken, place: Place) {
        let owner = self.heart.registry;
        if !owner.is_some_and(|owner| self.is_ours(owner, of_token)) {
            return;
        }
        match word {
            Word::Updated(name) => {
                self.columns.insert("name".to_owned(), json!(name));
            }
            Word::Status(code) => {
                let words = ["ACTIVE", "SLEEP", "TERMINATED"];
                if let Some(word) = words.get(usize::from(*code)).filter(|_| !self.is_final) {
                    self.set_status(word, place);
                }
            }
            Word::Capability(name, value) => {
                let said = (Some(json!(value)), place);
                self.acted.insert(name.clone(), said);
            }
            _ => {}
        }
    }

    /// An agent that begins is asked whether what was said of it before was its own word.
    pub(super) fn judge(&mut self, of_token: OfToken) {
        let Some(mut enrolled) = self.heart.place.take() else {
            return;
        };
        if enrolled.waits {
            enrolled.waits = false;
            enrolled.ours |= self.is_ours(enrolled.account, of_token);
            if enrolled.ours && enrolled.heard {
                self.notes.insert("a beat before its agent was known");
                self.liveness = Some("active".to_owned());
            }
        }
        self.heart.place = Some(enrolled);
    }
}

/// What a life showed that a world may be without.
pub(super) type Notes = BTreeSet<&'static str>;
