//! Statements as the fold takes them, read set-based.

use std::collections::{BTreeMap, HashMap};

use did::ed25519;
use kernel::hex_0x;
use serde_json::{Value, json};
use store::Tx;
use uuid::Uuid;

use super::{Action, Signer, Statement};
use crate::{
    Result,
    fact::{StatementFact, Who},
};

/// A statement with its position.
#[derive(Debug, Clone)]
pub(crate) struct StatementRow {
    /// Among off-chain facts.
    pub serial: i64,
    /// Microseconds.
    pub at: i64,
    /// Who signed first.
    pub who: Who,
    /// What.
    pub fact: StatementFact,
}

/// Whether there is any statement at all.
pub(crate) async fn any(tx: &mut Tx) -> Result<bool> {
    let any = sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM identity.statements) AS "any!""#);
    Ok(any.fetch_one(tx.conn()).await?)
}

/// Of which of `agents` statements speak.
pub(crate) async fn among(tx: &mut Tx, agents: &[Uuid]) -> Result<Vec<Uuid>> {
    Ok(sqlx::query_scalar!(
        "SELECT DISTINCT agent_id FROM identity.statements WHERE agent_id = ANY($1)",
        agents
    )
    .fetch_all(tx.conn())
    .await?)
}

/// Statements of each agent above its serial, ascending.
pub(crate) async fn load(
    tx: &mut Tx,
    from: &[(Uuid, i64)],
) -> Result<HashMap<Uuid, Vec<StatementRow>>> {
    let (ids, above): (Vec<Uuid>, Vec<i64>) = from.iter().copied().unzip();
    let rows = sqlx::query!(
        "SELECT s.serial, s.agent_id, s.kind, s.at, s.bytes, s.signer, s.signature, s.cosigner, s.cosignature,
                s.checked, s.changes, s.founding, s.transfer
           FROM unnest($1::uuid[], $2::bigint[]) AS wanted(id, above)
           JOIN identity.statements s ON s.agent_id = wanted.id AND s.serial > wanted.above
          ORDER BY s.serial",
        &ids,
        &above,
    )
    .fetch_all(tx.conn())
    .await?;
    let mut out: HashMap<Uuid, Vec<StatementRow>> = HashMap::new();
    for row in rows {
        let Some(action) = Action::parse(&row.kind) else {
            continue;
        };
        let mut signatures = vec![signature_shown(&row.signer, &row.signature, &row.checked)];
        if let Some((by, signature)) = row.cosigner.zip(row.cosignature) {
            signatures.push(signature_shown(&by, &signature, &row.checked));
        }
        let statement = Statement::from_key_bytes(&row.bytes);
        let evidence = json!({
            "statement": statement.map(|statement| statement.json()),
            "signatures": signatures,
        });
        out.entry(row.agent_id).or_default().push(StatementRow {
            serial: row.serial,
            at: row.at.timestamp_micros(),
            who: who(&row.signer),
            fact: StatementFact {
                action,
                changes: match row.changes {
                    Value::Object(map) => map.into_iter().collect(),
                    _ => BTreeMap::new(),
                },
                evidence,
                founding: row.founding,
                transfer: row.transfer,
            },
        });
    }
    Ok(out)
}

/// A signature as the journal and the API show it: `{by, signature, checked?}`.
pub(super) fn signature_shown(by: &str, signature: &[u8], checked: &Value) -> Value {
    let text = if by.starts_with("did:") {
        ed25519::signature_wire(signature)
    } else {
        hex_0x(signature)
    };
    let mut shown = json!({ "by": by, "signature": text });
    if let Some(checked) = checked.get(by) {
        shown["checked"] = checked.clone();
    }
    shown
}

fn who(signer: &str) -> Who {
    match Signer::parse(signer) {
        Ok(Signer::Account { address, .. }) => Who::Account(address),
        _ => Who::Named(signer.to_owned()),
    }
}
