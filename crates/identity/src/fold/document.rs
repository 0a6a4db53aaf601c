//! Documents: all that a registration file says, while it is in force.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{DocumentState, Run, State};
use crate::{fact::DocumentVersion, registration::ClaimedName};

impl State {
    pub(super) fn apply_document(&mut self, version: &DocumentVersion, run: &mut Run<'_>) {
        let Some(named) = &self.token.uri else { return };
        let current = named.uri.hash == version.uri;
        let newer = self.document.as_ref().is_none_or(|document| {
            document.uri != version.uri || document.version < version.version
        });
        // A later version counts only on top of the one that stands, and only while its URI does.
        let based = self
            .document
            .as_ref()
            .is_some_and(|document| document.uri == version.uri);
        if !current || !(version.standing || (based && newer)) {
            return;
        }
        let cause = format!("{}/document:{}", named.cause, version.version);
        if version.standing {
            self.columns.clear_document();
        }
        self.columns.apply_document(&version.fields);
        self.apply_document_capabilities(version, run);
        if version.standing || version.fields.contains_key("services") {
            let services = version.fields.get("services").unwrap_or(&Value::Null);
            self.claim(ClaimedName::of_services(services), run);
        }
        self.document = Some(DocumentState {
            uri: version.uri,
            version: version.version,
            cid: version.cid.clone(),
            raw: version.raw.clone(),
            since: run.time(),
            cause: cause.clone(),
        });
        run.delta.document = true;
        run.change_for(
            self,
            &cause,
            "document",
            json!(version.sha256.map(hex::encode)),
        );
        if let Some(Value::Bool(active)) = version.fields.get("active") {
            self.apply_active(*active, &cause, run);
        }
    }

    /// An empty URI names no document: what the old one said is gone at once.
    pub(super) fn clear_document(&mut self, run: &mut Run<'_>) {
        if self.document.is_some() {
            self.columns.clear_document();
            self.list_capabilities(&serde_json::Map::new(), run);
            self.claim(BTreeSet::new(), run);
            self.document = None;
            run.delta.document = true;
        }
    }

    /// Puts what a file claims in place of what the one before did.
    fn claim(&mut self, names: BTreeSet<ClaimedName>, run: &mut Run<'_>) {
        if self.claimed != names {
            self.claimed = names;
            run.delta.names = true;
        }
    }
}
