//! Statements: what owners and keys signed. Of their class is all but the end of a key's agent, which
//! nothing lifts but a new registration by its key.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    Life, Run, State,
    columns::journal_value,
    status::{Class, StatusState},
};
use crate::{
    fact::{RuntimeStatus, StatementFact},
    statement::Action,
};

/// Changes that are no columns.
const BESIDE: [&str; 4] = ["capabilities", "owner_chain", "reason", "token"];

impl State {
    pub(super) fn apply_statement(&mut self, said: &StatementFact, run: &mut Run<'_>) {
        let founding = match (&said.founding, &self.token.founding) {
            (Some(named), Some(in_force)) => named == in_force,
            (Some(_), None) => false,
            (None, _) => self.token.foundings <= 1,
        };
        // An owner's word about a token counts while he is the owner by the transfer that made him one.
        let owned = said.transfer.is_none()
            || (said.transfer.as_ref() == self.token.transfer() && !self.token.burned);
        let founds = said.action == Action::Register;
        if !founding || !owned || !(self.exists || founds) {
            return;
        }
        if founds {
            self.begin_anew(&mut run.delta.life);
            run.delta.capabilities = true;
            run.delta.document = true;
        }
        run.change(self, "statement", said.evidence.clone());
        self.set_columns(said, run);
        let text = |name: &str| said.changes.get(name).and_then(Value::as_str);
        let reason = text("reason").map(str::to_owned);
        match said.action {
            Action::Register => self.begin(run, "Agent registered"),
            Action::Status => {
                if let Some(status) = text("runtime_status").and_then(RuntimeStatus::parse) {
                    self.set_status(status, Class::Strong, reason.clone(), run);
                }
                if let Some(load) = text("load") {
                    self.set_dimension("load", load, reason, run);
                }
            }
            Action::Deregister => {
                let reason = reason.unwrap_or_else(|| "Deregistered".to_owned());
                if self.keyed {
                    self.end_for_good(&reason, run);
                } else {
                    self.set_status(RuntimeStatus::Terminated, Class::Strong, Some(reason), run);
                }
            }
            Action::Claim => {
                run.change(self, "claim", json!(text("token")));
            }
            Action::Update | Action::Rotate | Action::Transfer => {}
        }
    }

    /// A registration resets every column; the counts of history go on, and so do the names that the
    /// agent once had. What the operator said of it stands: else whoever is suspended would deregister, and
    /// register again, for nothing.
    fn begin_anew(&mut self, life: &mut Life) {
        let before = std::mem::take(self);
        let admin = before.status.admin.clone();
        *self = Self {
            end: before.end,
            chain_time: before.chain_time,
            off_chain: true,
            stated: true,
            deleted: before.deleted,
            former: before.former,
            keyed: true,
            status: StatusState {
                admin,
                ..before.status.reset(life)
            },
            vexel: before.vexel.waiting(),
            ..Self::default()
        };
    }

    fn set_columns(&mut self, said: &StatementFact, run: &mut Run<'_>) {
        if let Some(Value::String(did)) = said.changes.get("did") {
            let before = self.columns.text("did").map(str::to_owned);
            self.former.extend(before);
            self.former.remove(did);
            run.delta.names = true;
        }
        for (column, value) in &said.changes {
            let is_status = column == "runtime_status" || column == "load";
            if BESIDE.contains(&column.as_str()) || is_status {
                continue;
            }
            self.columns.apply_statement(column, value);
            run.change(self, column, journal_value(value.clone()));
        }
        if let Some(Value::Object(named)) = said.changes.get("capabilities") {
            let said = named
                .iter()
                .map(|(name, value)| {
                    let said = if value.is_null() {
                        Value::Null
                    } else {
                        json!({ "value": value })
                    };
                    (name.clone(), said)
                })
                .collect();
            self.apply_act_capabilities(&said, run);
        }
    }
}

impl Action {
    /// What the journal says of a column because of a statement that does this and makes these changes: what the fold
    /// above makes of it, for who holds an entry against the statement in it. `None`: nothing.
    pub(crate) fn says(self, changes: &BTreeMap<String, Value>, column: &str) -> Option<Value> {
        if let Some(name) = column.strip_prefix("capability:") {
            let named = changes.get("capabilities")?.get(name)?;
            return Some(journal_value(named.clone()));
        }
        match (column, self) {
            ("runtime_status", Self::Register) => Some(json!(RuntimeStatus::Active.as_str())),
            ("runtime_status", Self::Deregister) => Some(json!(RuntimeStatus::Terminated.as_str())),
            ("claim", Self::Claim) => changes.get("token").cloned(),
            (column, _) if BESIDE.contains(&column) => None,
            (column, _) => changes.get(column).cloned().map(journal_value),
        }
    }
}
