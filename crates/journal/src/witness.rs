//! The newest head that an instance showed or published, kept outside of the database. What was shown once, somebody
//! may have; a database that does not have it was set back, and to seal on from there would fork the log.

use store::Db;

use crate::{
    audit::{self, HeadError},
    checkpoint::Checkpoint,
    error::{Error, Result},
    head,
    note::NoteError,
    vkey::VerifierKey,
};

/// Whether the database has the head that was kept as `note`; a head of another log says nothing.
///
/// Errors with [`Error::Behind`] or [`Error::Forked`] where it has not, and with [`Error::Damaged`] where the note
/// cannot be read.
pub async fn check(db: &Db, key: &VerifierKey, note: &str) -> Result<()> {
    match audit::head(note, key) {
        Ok(kept) => hold(db, &kept, "this instance has shown").await,
        Err(HeadError::Note(NoteError::Unsigned)) => Ok(()),
        Err(error) => Err(Error::Damaged(format!(
            "what was kept of the newest head that was shown (journal.checkpoint in the data directory): {error}; \
             remove it where this database is certainly the newest one"
        ))),
    }
}

/// Whether the database has this head, which the log's key signed. `witness` goes before "a head of" in the error:
/// who has it.
///
/// Errors with [`Error::Behind`] or [`Error::Forked`] where it has not.
pub async fn hold(db: &Db, kept: &Checkpoint, witness: &str) -> Result<()> {
    let ours = head::head(db).await?.map_or(0, |head| head.size);
    if ours < kept.size {
        return Err(Error::Behind {
            witness: witness.to_owned(),
            kept: kept.size,
            ours,
        });
    }
    let same = head::checkpoint(db, kept.size).await?;
    if same.is_some_and(|same| same.root == kept.root) {
        Ok(())
    } else {
        Err(Error::Forked {
            witness: witness.to_owned(),
            size: kept.size,
        })
    }
}

#[cfg(test)]
mod tests {
    use sqlx::PgPool;

    use super::*;
    use crate::testing::{db, say, seal_all, sealer};

    #[sqlx::test(migrations = "../../migrations")]
    async fn a_database_must_have_what_was_shown(pool: PgPool) {
        let (db, sealer) = (db(pool), sealer());
        let key = sealer.vkey();
        say(&db, 0..3, "a").await;
        seal_all(&db, &sealer).await;
        let first = head::head(&db).await.unwrap().unwrap();
        check(&db, key, &first.note).await.unwrap();
        say(&db, 3..5, "a").await;
        seal_all(&db, &sealer).await;
        check(&db, key, &first.note).await.unwrap();

        let sign = |size: u64, root| {
            let origin = key.name().to_owned();
            let extensions = Vec::new();
            let head = crate::checkpoint::Checkpoint {
                origin,
                size,
                root,
                extensions,
            };
            let key = crate::LogKey::from_seed(&[7; 32]);
            key.sign(sealer.vkey(), head.to_string())
                .unwrap()
                .to_string()
        };
        let behind = check(&db, key, &sign(6, first.root)).await.unwrap_err();
        assert!(
            matches!(
                behind,
                Error::Behind {
                    kept: 6,
                    ours: 5,
                    ..
                }
            ),
            "{behind}"
        );
        assert_eq!(behind.kind(), kernel::Kind::Conflict);
        for size in [3, 4, 5] {
            let forked = check(&db, key, &sign(size, [1; 32])).await.unwrap_err();
            assert!(matches!(forked, Error::Forked { .. }), "{forked}");
        }
        let other = crate::LogKey::from_seed(&[8; 32]);
        let other = other.verifier("example.com/other").unwrap();
        check(&db, &other, &first.note).await.unwrap();
        let torn = check(&db, key, &first.note[..20]).await.unwrap_err();
        assert!(matches!(torn, Error::Damaged(_)), "{torn}");
    }
}
