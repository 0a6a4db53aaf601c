//! Status: four dimensions, four classes of facts, one history row per change (`model.md` §4).

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Run, State, is_default};
use crate::fact::{RuntimeStatus, What};

/// What a fact may do to `runtime_status`. Later wins within what its class may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// By somebody whom contract or grants let speak: anything but lifting a final end.
    Strong,
    /// The file's `active`: never lifts TERMINATED.
    Weak,
}

/// The dimensions as they are, and how many history rows they have had.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StatusState {
    /// `None` until the first fact.
    #[serde(skip_serializing_if = "is_default")]
    pub runtime: Option<RuntimeStatus>,
    /// Whether nothing but a reset lifts it.
    #[serde(skip_serializing_if = "is_default")]
    pub fixed: bool,
    /// Rows of `agent_status_history` so far.
    #[serde(skip_serializing_if = "is_default")]
    pub history: i32,
    /// Rows of `status_changes` so far, and the value, by dimension.
    #[serde(skip_serializing_if = "is_default")]
    pub liveness: (i32, Option<String>),
    /// See `liveness`.
    #[serde(skip_serializing_if = "is_default")]
    pub admin: (i32, Option<String>),
    /// See `liveness`.
    #[serde(skip_serializing_if = "is_default")]
    pub load: (i32, Option<String>),
}

/// A row of `agent_status_history`.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryRow {
    /// Ordinal in the agent's history.
    pub seq: i32,
    /// Status before; `None` in the first row.
    pub previous: Option<RuntimeStatus>,
    /// Status after.
    pub new: RuntimeStatus,
    /// When.
    pub at: DateTime<Utc>,
    /// Why.
    pub reason: Option<String>,
    /// Where it stands on chain, where it does.
    pub metadata: Option<Value>,
    /// The fact.
    pub cause: String,
    /// Whose doing.
    pub who: String,
}

/// A row of `status_changes`.
#[derive(Debug, Clone, PartialEq)]
pub struct DimensionRow {
    /// Ordinal in the agent's history of this dimension.
    pub seq: i32,
    /// `liveness`, `admin_status` or `load`.
    pub dimension: &'static str,
    /// Value before.
    pub previous: Option<String>,
    /// Value after.
    pub new: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Why.
    pub reason: Option<String>,
    /// The fact.
    pub cause: String,
    /// Whose doing.
    pub who: String,
}

/// What a run of facts says of an agent's life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Life {
    /// The last beat on chain, unless a later word says that it holds no more.
    pub beat: Option<DateTime<Utc>>,
    /// Whether liveness may differ from before the run.
    pub changed: bool,
}

impl StatusState {
    /// A new life: values are forgotten, the ordinals go on, and so does what history last said.
    pub(super) fn reset(self, life: &mut Life) -> Self {
        life.beat = None;
        life.changed |= self.liveness.1.is_some();
        Self {
            fixed: false,
            liveness: (self.liveness.0, None),
            admin: (self.admin.0, None),
            load: (self.load.0, None),
            ..self
        }
    }
}

impl State {
    /// A reset says a status whatever was before.
    pub(super) fn reset_status(&mut self, status: RuntimeStatus, reason: &str, run: &mut Run<'_>) {
        self.status.fixed = false;
        self.write_status(status, Some(reason.to_owned()), &run.fact.cause, run);
        self.last_active_at = Some(run.time());
    }

    /// A burn, a contract's deactivation, or the deregistration of a key's agent: TERMINATED, and nothing but a reset
    /// lifts it.
    pub(super) fn end_for_good(&mut self, reason: &str, run: &mut Run<'_>) {
        self.status.fixed = true;
        let reason = Some(reason.to_owned());
        self.write_status(RuntimeStatus::Terminated, reason, &run.fact.cause, run);
    }

    pub(super) fn set_status(
        &mut self,
        status: RuntimeStatus,
        class: Class,
        reason: Option<String>,
        run: &mut Run<'_>,
    ) {
        self.set_status_for(status, class, reason, &run.fact.cause, run);
    }

    fn set_status_for(
        &mut self,
        status: RuntimeStatus,
        class: Class,
        reason: Option<String>,
        cause: &str,
        run: &mut Run<'_>,
    ) {
        let lifts = self.status.runtime == Some(RuntimeStatus::Terminated)
            && status != RuntimeStatus::Terminated;
        if self.status.fixed || (lifts && class == Class::Weak) {
            return;
        }
        self.write_status(status, reason, cause, run);
    }

    /// The file's `active`.
    pub(super) fn apply_active(&mut self, active: bool, cause: &str, run: &mut Run<'_>) {
        let status = if active {
            RuntimeStatus::Active
        } else {
            RuntimeStatus::Sleep
        };
        let reason = format!("registration file says active: {active}");
        self.set_status_for(status, Class::Weak, Some(reason), cause, run);
    }

    fn write_status(
        &mut self,
        status: RuntimeStatus,
        reason: Option<String>,
        cause: &str,
        run: &mut Run<'_>,
    ) {
        run.change_for(self, cause, "runtime_status", json!(status.as_str()));
        if self.status.runtime == Some(status) {
            return;
        }
        if status == RuntimeStatus::Active {
            self.last_active_at = Some(run.time());
        }
        let default = matches!(run.fact.what, What::Act(_) | What::Statement(_))
            .then(|| "Status changed".to_owned());
        run.delta.history.push(HistoryRow {
            seq: self.status.history,
            previous: self.status.runtime,
            new: status,
            at: run.time(),
            reason: reason.or(default),
            metadata: position(run),
            cause: cause.to_owned(),
            who: run.fact.who.to_string(),
        });
        self.status.history += 1;
        self.status.runtime = Some(status);
    }

    /// A heartbeat on chain moves liveness only.
    pub(super) fn beat(&mut self, run: &mut Run<'_>) {
        self.last_heartbeat = Some(run.time());
        run.delta.life.beat = self.last_heartbeat;
        if self.status.liveness.1.as_deref() != Some("active") {
            self.set_dimension("liveness", "active", Some("heartbeat".to_owned()), run);
        }
    }

    pub(super) fn set_dimension(
        &mut self,
        dimension: &str,
        value: &str,
        reason: Option<String>,
        run: &mut Run<'_>,
    ) {
        let (dimension, slot) = match dimension {
            "liveness" => {
                run.delta.life.changed = true;
                ("liveness", &mut self.status.liveness)
            }
            "admin_status" => ("admin_status", &mut self.status.admin),
            _ => ("load", &mut self.status.load),
        };
        let previous = slot.1.replace(value.to_owned());
        if previous.as_deref() != Some(value) {
            run.delta.dimensions.push(DimensionRow {
                seq: slot.0,
                dimension,
                previous,
                new: value.to_owned(),
                at: run.fact.place.time(),
                reason,
                cause: run.fact.cause.clone(),
                who: run.fact.who.to_string(),
            });
            slot.0 += 1;
        }
        run.change(self, dimension, json!(value));
    }
}

/// VEXEL's `metadata` of a history row: where on chain the cause stands.
fn position(run: &Run<'_>) -> Option<Value> {
    match &run.fact.what {
        What::Chain(chain) => Some(json!({
            "block": run.fact.place.major,
            "log_index": run.fact.place.minor,
            "tx": format!("{:#x}", chain.tx_hash),
        })),
        What::Document(_) | What::Act(_) | What::Statement(_) => None,
    }
}
