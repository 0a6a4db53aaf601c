//! `identity.tokens`: the latest word of the chain on a token.

use serde::Serialize;
use store::Tx;
use uuid::Uuid;

use super::{Folded, json};
use crate::Result;

/// A row of `identity.tokens`.
#[derive(Debug, Serialize)]
struct TokenRow<'a> {
    agent_id: Uuid,
    chain_id: u64,
    registry: String,
    token_id: String,
    owner: Option<String>,
    approved: Option<String>,
    wallet: Option<String>,
    uri_hash: Option<String>,
    document_version: Option<i32>,
    founding: Option<&'a str>,
    complete: bool,
    burned: bool,
    claimed: bool,
    onchain: &'a std::collections::BTreeMap<String, String>,
    owner_block: Option<i64>,
    owner_log: Option<i32>,
    wallet_block: Option<i64>,
    wallet_log: Option<i32>,
    uri_block: Option<i64>,
    uri_log: Option<i32>,
    first_block: i64,
    last_block: i64,
    last_log: i32,
    last_tx: String,
}

fn token_row(one: &Folded) -> Option<TokenRow<'_>> {
    let named = one.subject.token?;
    let token = &one.head.token;
    let (last, last_tx) = token.last?;
    let uri = token.uri.as_ref();
    let document = one
        .head
        .document
        .as_ref()
        .filter(|document| uri.is_some_and(|named| named.uri.hash == document.uri));
    Some(TokenRow {
        agent_id: one.subject.id.0,
        chain_id: named.chain,
        registry: bytea(named.registry.as_slice()),
        token_id: named.id.to_string(),
        owner: token.owner.map(|(owner, _)| bytea(owner.as_slice())),
        approved: token.approved.map(|approved| bytea(approved.as_slice())),
        wallet: token
            .wallet
            .and_then(|(wallet, _)| wallet)
            .map(|wallet| bytea(wallet.as_slice())),
        uri_hash: uri.map(|named| bytea(&named.uri.hash)),
        document_version: document.map(|document| document.version),
        founding: token.founding.as_deref(),
        complete: token.founding.is_some(),
        burned: token.burned,
        claimed: token.claimed.any(),
        onchain: &token.onchain,
        owner_block: token.owner.map(|(_, at)| at.block),
        owner_log: token.owner.map(|(_, at)| at.log),
        wallet_block: token.wallet.map(|(_, at)| at.block),
        wallet_log: token.wallet.map(|(_, at)| at.log),
        uri_block: uri.map(|named| named.place.major),
        uri_log: uri.map(|named| named.place.minor),
        first_block: token.first.map_or(last.block, |at| at.block),
        last_block: last.block,
        last_log: last.log,
        last_tx: bytea(last_tx.as_slice()),
    })
}

fn bytea(bytes: &[u8]) -> String {
    format!("\\x{}", hex::encode(bytes))
}

pub(super) async fn write(tx: &mut Tx, folded: &[Folded]) -> Result<()> {
    let rows: Vec<TokenRow<'_>> = folded
        .iter()
        .filter(|one| one.head.exists)
        .filter_map(token_row)
        .collect();
    sqlx::query!(
        "INSERT INTO identity.tokens AS t
         SELECT * FROM json_populate_recordset(NULL::identity.tokens, $1::text::json)
         ON CONFLICT (agent_id) DO UPDATE
            SET owner = EXCLUDED.owner, approved = EXCLUDED.approved, wallet = EXCLUDED.wallet,
                uri_hash = EXCLUDED.uri_hash, document_version = EXCLUDED.document_version,
                founding = EXCLUDED.founding, complete = EXCLUDED.complete,
                burned = EXCLUDED.burned, claimed = EXCLUDED.claimed, onchain = EXCLUDED.onchain,
                owner_block = EXCLUDED.owner_block, owner_log = EXCLUDED.owner_log,
                wallet_block = EXCLUDED.wallet_block, wallet_log = EXCLUDED.wallet_log,
                uri_block = EXCLUDED.uri_block, uri_log = EXCLUDED.uri_log,
                first_block = EXCLUDED.first_block, last_block = EXCLUDED.last_block,
                last_log = EXCLUDED.last_log, last_tx = EXCLUDED.last_tx
          WHERE t IS DISTINCT FROM EXCLUDED",
        json(&rows)?,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
