//! Claims: the agent of a key and the agent of a token are the same one's, as both sides signed. A
//! link, not a merger: it holds while the token has the founding and the owner that signed
//! (`identity.v_claims`), so a sale ends it and a reorg of the sale brings it back, without code.

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
    /// Serial of the statement.
    pub statement: i64,
}

/// Keeps claims.
pub(crate) async fn put(tx: &mut Tx, claims: &[NewClaim]) -> Result<()> {
    for claim in claims {
        sqlx::query!(
            "INSERT INTO identity.claims (key_agent, token_agent, at, founding, owner, statement)
             VALUES ($1, $2, $3, $4, $5, $6)",
            claim.key_agent,
            claim.token_agent,
            claim.at,
            claim.founding,
            claim.owner.as_slice(),
            claim.statement,
        )
        .execute(tx.conn())
        .await?;
    }
    Ok(())
}
