//! Who may say that an agent lives: its own key; of a token's agent, which has none, the keys that claimed it; and, as in
//! contracts (`model.md` §4), its wallet and its owner.

use std::collections::HashMap;

use kernel::Address;
use store::Db;
use uuid::Uuid;

use crate::Result;

/// Keys of claims on one token that are tried, the newest first: an Ed25519 signature does not say whose it is, and each
/// try costs.
const MOST_KEYS: i64 = 4;

/// Of one agent.
#[derive(Debug, Clone, Default)]
pub(super) struct Speakers {
    /// Ed25519 keys, in bytes.
    pub keys: Vec<Vec<u8>>,
    /// Accounts whose key is theirs alone: a contract signs nothing that could be looked at here.
    pub accounts: Vec<Address>,
}

/// Who speaks for these agents of tokens, beside their owners: keys of claims that hold, and the wallet.
pub(super) async fn of_tokens(db: &Db, agents: &[Uuid]) -> Result<HashMap<Uuid, Speakers>> {
    let rows = sqlx::query!(
        r#"SELECT t.agent_id AS "id!", t.wallet,
                  ARRAY(SELECT k.public_key FROM identity.v_claims c
                          JOIN identity.keys k ON k.agent_id = c.key_agent AND k.until IS NULL
                         WHERE c.token_agent = t.agent_id
                         ORDER BY c.statement DESC LIMIT $2) AS "keys!"
             FROM identity.tokens t WHERE t.agent_id = ANY($1)"#,
        agents,
        MOST_KEYS,
    )
    .fetch_all(db.pool())
    .await?;
    let speakers = rows.into_iter().map(|row| {
        let wallet = row.wallet.as_deref();
        let accounts = wallet.and_then(|wallet| Address::try_from(wallet).ok());
        let speakers = Speakers {
            keys: row.keys,
            accounts: accounts.into_iter().collect(),
        };
        (row.id, speakers)
    });
    Ok(speakers.collect())
}
