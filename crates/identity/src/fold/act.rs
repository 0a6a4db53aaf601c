//! Acts: what operators did, plain SQL included.

use serde_json::{Value, json};

use super::{
    Life, Run, State, columns,
    status::{Class, StatusState},
};
use crate::fact::{Act, ActKind, RuntimeStatus};

impl State {
    pub(super) fn apply_act(&mut self, act: &Act, run: &mut Run<'_>) {
        let speaks = match (&act.founding, &self.token.founding) {
            (Some(named), Some(in_force)) => named == in_force,
            (Some(_), None) => false,
            (None, _) => self.token.foundings <= 1,
        };
        if !speaks || (!self.exists && act.kind != ActKind::Insert) {
            return;
        }
        match act.kind {
            ActKind::Insert => self.insert(act, run),
            ActKind::Update => self.update(act, run),
            ActKind::Delete => {
                self.deleted = true;
                run.change(self, "deleted", json!(true));
            }
            ActKind::Restore => {
                self.deleted = false;
                run.delta.capabilities = true;
                run.delta.document = true;
                run.delta.names = true;
                run.change(self, "deleted", json!(false));
            }
            ActKind::Capability => self.apply_act_capabilities(&act.changes, run),
        }
    }

    /// An INSERT says the whole row, its times included, and begins a new history: a DELETE took the
    /// rows of the life before it along.
    fn insert(&mut self, act: &Act, run: &mut Run<'_>) {
        *self = Self {
            end: self.end,
            chain_time: self.chain_time,
            off_chain: true,
            exists: true,
            vexel: std::mem::take(&mut self.vexel).waiting(),
            ..Self::default()
        };
        self.status = StatusState::default();
        run.delta.life = Life {
            beat: None,
            changed: true,
        };
        run.delta.history.clear();
        run.delta.dimensions.clear();
        run.delta.capabilities = true;
        run.delta.document = true;
        run.delta.names = true;
        self.columns.apply_act(&act.changes);
        for (column, value) in &act.changes {
            let said = !value.is_null() && !columns::is_time(column) && !columns::is_status(column);
            if said {
                run.change(self, column, columns::journal_value(value.clone()));
            }
        }
        let text = |column: &str| act.changes.get(column).and_then(Value::as_str);
        for (column, default) in [("admin_status", "ACTIVE"), ("load", "AVAILABLE")] {
            if let Some(value) = text(column).filter(|value| *value != default) {
                self.set_dimension(column, value, None, run);
            }
        }
        let status = text("runtime_status").and_then(RuntimeStatus::parse);
        let status = status.unwrap_or(RuntimeStatus::Active);
        self.reset_status(status, "Agent registered", run);
        let time = |column: &str| columns::time_of(&act.changes, column).or(Some(run.time()));
        self.created_at = time("created_at");
        self.updated_at = time("updated_at");
        self.last_active_at = time("last_active_at");
        self.judge_vexel(run);
    }

    fn update(&mut self, act: &Act, run: &mut Run<'_>) {
        if let Some(did) = act.changes.get("did").and_then(Value::as_str) {
            self.former
                .extend(self.columns.text("did").map(str::to_owned));
            self.former.remove(did);
            run.delta.names = true;
        }
        self.columns.apply_act(&act.changes);
        for (column, value) in &act.changes {
            match column.as_str() {
                "runtime_status" => {
                    if let Some(status) = value.as_str().and_then(RuntimeStatus::parse) {
                        self.set_status(status, Class::Strong, act.reason.clone(), run);
                    }
                }
                "admin_status" | "load" | "liveness" => {
                    let text = value.as_str().unwrap_or_default();
                    self.set_dimension(column, text, act.reason.clone(), run);
                }
                "created_at" => {
                    self.created_at = columns::time_of(&act.changes, column).or(self.created_at);
                    run.change(self, column, columns::journal_value(value.clone()));
                }
                _ => run.change(self, column, columns::journal_value(value.clone())),
            }
        }
    }
}
