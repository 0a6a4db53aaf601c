//! Under which name and by which key this journal is signed: fixed at its first seal, because
//! everybody who verified it once knows it by those.

use chrono::{DateTime, Utc};
use store::{Db, Tx};

use crate::{
    error::{Error, Result},
    key::LogKey,
    vkey::VerifierKey,
};

/// Origin and verifier key, as the first seal fixed them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The log's name.
    pub origin: String,
    /// The verifier key, in the text form of c2sp.org/signed-note.
    pub vkey: String,
    /// When it was fixed.
    pub fixed_at: DateTime<Utc>,
}

/// The journal's identity; `None` before the first seal.
pub async fn find(db: &Db) -> Result<Option<Identity>> {
    Ok(sqlx::query_as!(
        Identity,
        "SELECT origin, vkey, fixed_at FROM journal.identity"
    )
    .fetch_optional(db.pool())
    .await?)
}

/// The verifier key that `key` has under the configured origin, else under its own default one.
pub fn verifier(key: &LogKey, origin: Option<&str>) -> Result<VerifierKey> {
    let default = key.default_origin();
    Ok(key.verifier(origin.unwrap_or(&default))?)
}

/// Errors with [`Error::OtherIdentity`] where the journal was begun under another name or by another
/// key. To be asked at start, so that an operator learns it then and not at the first seal.
pub async fn check(db: &Db, vkey: &VerifierKey) -> Result<()> {
    find(db)
        .await?
        .map_or(Ok(()), |identity| same(&identity, vkey))
}

/// Fixes the identity, or checks that it is this one.
pub(crate) async fn fix(tx: &mut Tx, vkey: &VerifierKey) -> Result<()> {
    let now = tx.now();
    sqlx::query!(
        "INSERT INTO journal.identity (origin, vkey, fixed_at) VALUES ($1, $2, $3)
         ON CONFLICT (only_row) DO NOTHING",
        vkey.name(),
        vkey.to_string(),
        now,
    )
    .execute(tx.conn())
    .await?;
    let identity = sqlx::query_as!(
        Identity,
        "SELECT origin, vkey, fixed_at FROM journal.identity"
    )
    .fetch_one(tx.conn())
    .await?;
    same(&identity, vkey)
}

fn same(identity: &Identity, vkey: &VerifierKey) -> Result<()> {
    if identity.origin == vkey.name() && identity.vkey == vkey.to_string() {
        return Ok(());
    }
    Err(Error::OtherIdentity {
        stored_origin: identity.origin.clone(),
        stored_vkey: identity.vkey.clone(),
        origin: vkey.name().to_owned(),
        vkey: vkey.to_string(),
    })
}
