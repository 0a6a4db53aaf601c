//! `identity.tokens`: the latest word of the chain on a token. New rows go in by COPY.

use kernel::U256;
use serde::{Serialize, Serializer};
use store::{Tx, copy::Rows};
use uuid::Uuid;

use super::{Folded, json};
use crate::Result;

/// Bytes, in JSON as Postgres reads them from text.
#[derive(Debug, Clone, Copy)]
struct Bytea<'a>(&'a [u8]);

impl Serialize for Bytea<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("\\x{}", hex::encode(self.0)))
    }
}

/// A number of any size, in JSON as text.
#[derive(Debug, Clone, Copy)]
struct Numeric(U256);

impl Serialize for Numeric {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_string())
    }
}

/// A row of `identity.tokens`.
#[derive(Debug, Serialize)]
struct TokenRow<'a> {
    agent_id: Uuid,
    chain_id: u64,
    registry: Bytea<'a>,
    token_id: Numeric,
    owner: Option<Bytea<'a>>,
    approved: Option<Bytea<'a>>,
    wallet: Option<Bytea<'a>>,
    uri_hash: Option<Bytea<'a>>,
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
    last_tx: Bytea<'a>,
}

fn token_row(one: &Folded) -> Option<TokenRow<'_>> {
    let named = one.subject.token.as_ref()?;
    let token = &one.head.token;
    let (last, last_tx) = token.last.as_ref()?;
    let uri = token.uri.as_ref();
    let document = one
        .head
        .document
        .as_ref()
        .filter(|document| uri.is_some_and(|named| named.uri.hash == document.uri));
    Some(TokenRow {
        agent_id: one.subject.id.0,
        chain_id: named.chain,
        registry: Bytea(named.registry.as_slice()),
        token_id: Numeric(named.id),
        owner: token
            .owner
            .as_ref()
            .map(|(owner, _)| Bytea(owner.as_slice())),
        approved: token
            .approved
            .as_ref()
            .map(|approved| Bytea(approved.as_slice())),
        wallet: token
            .wallet
            .as_ref()
            .and_then(|(wallet, _)| wallet.as_ref())
            .map(|wallet| Bytea(wallet.as_slice())),
        uri_hash: uri.map(|named| Bytea(&named.uri.hash)),
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
        last_tx: Bytea(last_tx.as_slice()),
    })
}

/// Columns of [`put`].
pub(super) const COLUMNS: i16 = 24;

/// Puts a new token's row.
pub(super) fn put(rows: &mut Rows, one: &Folded) -> Result<()> {
    let Some(row) = token_row(one) else {
        return Ok(());
    };
    let bytea = |rows: &mut Rows, value: Option<Bytea<'_>>| {
        rows.maybe(value.map(|bytes| bytes.0), Rows::bytea);
    };
    rows.row()
        .uuid(row.agent_id)
        .bigint(row.chain_id.cast_signed())
        .bytea(row.registry.0)
        .numeric(row.token_id.0);
    for value in [row.owner, row.approved, row.wallet, row.uri_hash] {
        bytea(rows, value);
    }
    rows.maybe(row.document_version, Rows::integer)
        .maybe(row.founding, Rows::text)
        .boolean(row.complete)
        .boolean(row.burned)
        .boolean(row.claimed)
        .jsonb(row.onchain)?
        .maybe(row.owner_block, Rows::bigint)
        .maybe(row.owner_log, Rows::integer)
        .maybe(row.wallet_block, Rows::bigint)
        .maybe(row.wallet_log, Rows::integer)
        .maybe(row.uri_block, Rows::bigint)
        .maybe(row.uri_log, Rows::integer)
        .bigint(row.first_block)
        .bigint(row.last_block)
        .integer(row.last_log)
        .bytea(row.last_tx.0);
    Ok(())
}

/// Copies new rows.
pub(super) async fn copy(tx: &mut Tx, rows: &mut Rows) -> Result<()> {
    let statement = "COPY identity.tokens
            (agent_id, chain_id, registry, token_id, owner, approved, wallet, uri_hash,
             document_version, founding, complete, burned, claimed, onchain, owner_block, owner_log,
             wallet_block, wallet_log, uri_block, uri_log, first_block, last_block, last_log, last_tx)
        FROM STDIN (FORMAT binary)";
    Ok(rows.copy(tx, statement).await?)
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
