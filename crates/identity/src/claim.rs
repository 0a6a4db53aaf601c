//! Claims: the agent of a key and the agent of a token are the same one's, as both sides signed. A
//! link, not a merger: it holds in the life of the key's agent that signed, and while the token has the founding and the
//! owner that signed, by the transfer that made him one (`identity.v_claims`). So a sale ends it, also where he buys the
//! token back, and a reorg of the sale brings it back, without code.

use chrono::{DateTime, Utc};
use kernel::Address;
use store::Tx;
use uuid::Uuid;

use crate::Result;

/// A claim to be kept.
#[derive(Debug, Clone)]
pub(crate) struct NewClaim {
    /// The agent of the key.
    pub key_agent: Uuid,
    /// The agent of the token.
    pub token_agent: Uuid,
    /// When.
    pub at: DateTime<Utc>,
    /// The mint that it rests on.
    pub founding: String,
    /// The owner who signed.
    pub owner: Address,
    /// `<tx hash>/<owner>` of the log that made him the owner.
    pub transfer: Option<String>,
    /// Serial of the statement.
    pub statement: i64,
}

/// Keeps claims.
pub(crate) async fn put(tx: &mut Tx, claims: &[NewClaim]) -> Result<()> {
    for claim in claims {
        sqlx::query!(
            "INSERT INTO identity.claims (key_agent, token_agent, at, founding, owner, transfer, statement)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            claim.key_agent,
            claim.token_agent,
            claim.at,
            claim.founding,
            claim.owner.as_slice(),
            claim.transfer.as_deref(),
            claim.statement,
        )
        .execute(tx.conn())
        .await?;
    }
    Ok(())
}
