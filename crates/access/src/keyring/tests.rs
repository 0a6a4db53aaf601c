use store::{Cause, Clock};

use super::*;
use crate::key::{self, NewKey};

fn database(pool: sqlx::PgPool) -> (Db, Clock) {
    let clock = Clock::manual(DateTime::from_timestamp(1_800_000_000, 0).unwrap());
    (Db::from_pool(pool, clock.clone()), clock)
}

async fn key(db: &Db) -> anyhow::Result<key::Issued> {
    let new = NewKey {
        principal: None,
        client_id: Some("ci".to_owned()),
        name: "tests".to_owned(),
        scopes: vec!["agents:write".to_owned()],
        expires_at: Some(db.clock().now() + TimeDelta::hours(1)),
        per_minute: 5,
        per_hour: 7,
        created_by: Principal::Operator,
        made_with: None,
        description: None,
    };
    let mut tx = db.begin(Cause::Job("test")).await?;
    let issued = key::create(&mut tx, &new).await?;
    tx.commit().await?;
    Ok(issued)
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_revoked_key_is_believed_for_half_a_second_at_most(
    pool: sqlx::PgPool,
) -> anyhow::Result<()> {
    let (db, clock) = database(pool);
    let (here, elsewhere) = (Keyring::default(), Keyring::default());
    let issued = key(&db).await?;
    let known = here.find(&db, &issued.key).await?.expect("in force");
    assert_eq!(
        known.principal,
        Principal::Key(issued.record.key_id.clone())
    );
    assert_eq!((known.per_minute, known.per_hour), (5, 7));
    assert!(known.is_operators);
    assert!(elsewhere.find(&db, &issued.key).await?.is_some());
    let mut tx = db.begin(Cause::Job("test")).await?;
    key::revoke(&mut tx, &issued.record.key_id, None).await?;
    tx.commit().await?;
    clock.advance(TimeDelta::milliseconds(499));
    assert!(elsewhere.find(&db, &issued.key).await?.is_some());
    clock.advance(TimeDelta::milliseconds(1));
    assert_eq!(elsewhere.find(&db, &issued.key).await?, None);
    assert_eq!(here.find(&db, "ains_nobody").await?, None);
    let issued = key(&db).await?;
    assert_eq!(here.find(&db, &issued.key).await?, None, "just made");
    here.look_again();
    assert!(here.find(&db, &issued.key).await?.is_some());
    // A key that is not known is asked for sooner: it may be new.
    let second = key(&db).await?;
    clock.advance(TimeDelta::milliseconds(50));
    assert!(elsewhere.find(&db, &second.key).await?.is_some());
    clock.advance(TimeDelta::hours(1));
    assert_eq!(here.find(&db, &second.key).await?, None, "it is over");
    Ok(())
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_key_that_was_revoked_and_deleted_is_believed_no_more(
    pool: sqlx::PgPool,
) -> anyhow::Result<()> {
    let (db, clock) = database(pool);
    let ring = Keyring::default();
    let issued = key(&db).await?;
    assert!(ring.find(&db, &issued.key).await?.is_some());
    let mut tx = db.begin(Cause::Job("test")).await?;
    key::revoke(&mut tx, &issued.record.key_id, None).await?;
    tx.commit().await?;
    // The ring did not look between the two.
    sqlx::query!("DELETE FROM access.api_keys")
        .execute(db.pool())
        .await?;
    clock.advance(FRESH);
    assert_eq!(ring.find(&db, &issued.key).await?, None);
    Ok(())
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_database_that_went_back_is_read_anew(pool: sqlx::PgPool) -> anyhow::Result<()> {
    let (db, clock) = database(pool);
    let ring = Keyring::default();
    let (first, second) = (key(&db).await?, key(&db).await?);
    assert!(ring.find(&db, &second.key).await?.is_some());
    // As it was before the second key was made.
    let restored = "ALTER TABLE access.api_keys DISABLE TRIGGER USER;
                    DELETE FROM access.api_keys WHERE revision = (SELECT revision FROM access.revision);
                    ALTER TABLE access.api_keys ENABLE TRIGGER USER;
                    UPDATE access.revision SET revision = revision - 1";
    sqlx::raw_sql(restored).execute(db.pool()).await?;
    clock.advance(FRESH);
    assert_eq!(ring.find(&db, &second.key).await?, None);
    assert!(ring.find(&db, &first.key).await?.is_some());
    Ok(())
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_key_is_known_by_its_id_for_as_long_as_it_holds(
    pool: sqlx::PgPool,
) -> anyhow::Result<()> {
    let (db, clock) = database(pool);
    let ring = Keyring::default();
    let (first, second) = (key(&db).await?, key(&db).await?);
    let mut known = Vec::new();
    for key in [&first, &second] {
        known.push(ring.find(&db, &key.key).await?.expect("in force"));
    }
    // Another process made one since the ring was read, and believed it.
    let third = key(&db).await?;
    let unread = Known::look_up(&db, &third.key).await?.expect("in force");
    assert!(unread.is_operators && ring.holds(&db, &unread).await?);
    assert!(!ring.held().by_id.contains_key(&unread.key_id));
    let holds = async |place: usize| ring.holds(&db, &known[place]).await;
    assert!(holds(0).await? && holds(1).await?);
    let mut tx = db.begin(Cause::Job("test")).await?;
    key::revoke(&mut tx, &first.record.key_id, None).await?;
    let overlap = TimeDelta::minutes(1);
    key::rotate(&mut tx, &second.record.key_id, overlap, None).await?;
    tx.commit().await?;
    clock.advance(FRESH);
    assert!(!holds(0).await?, "revoked");
    assert!(holds(1).await?, "for a minute");
    clock.advance(overlap);
    assert!(!holds(1).await?, "over sooner than when it was made");
    Ok(())
}

#[sqlx::test(migrations = "../../migrations")]
async fn plain_sql_revokes_too_and_use_changes_nothing(pool: sqlx::PgPool) -> anyhow::Result<()> {
    let (db, clock) = database(pool);
    let ring = Keyring::default();
    let issued = key(&db).await?;
    assert!(ring.find(&db, &issued.key).await?.is_some());
    let revision = async || {
        let number = sqlx::query_scalar!("SELECT revision FROM access.revision");
        number.fetch_one(db.pool()).await
    };
    let before = revision().await?;
    sqlx::query!("UPDATE access.api_keys SET last_used_at = now()")
        .execute(db.pool())
        .await?;
    assert_eq!(revision().await?, before);
    sqlx::query!("DELETE FROM access.api_keys")
        .execute(db.pool())
        .await?;
    clock.advance(FRESH);
    assert_eq!(ring.find(&db, &issued.key).await?, None);
    Ok(())
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_changed_is_read_and_nothing_else(pool: sqlx::PgPool) -> anyhow::Result<()> {
    let (db, clock) = database(pool);
    let ring = Keyring::default();
    let issued = key(&db).await?;
    let scopes = async || -> anyhow::Result<Vec<String>> {
        clock.advance(FRESH);
        let known = ring.find(&db, &issued.key).await?;
        Ok(known.expect("in force").scopes.clone())
    };
    assert_eq!(scopes().await?, ["agents:write"]);
    // Nobody is told of this change, so that it shows when the key is read again.
    let unseen = r#"ALTER TABLE access.api_keys DISABLE TRIGGER USER;
                    UPDATE access.api_keys SET scopes = '["keys:read"]';
                    ALTER TABLE access.api_keys ENABLE TRIGGER USER"#;
    sqlx::raw_sql(unseen).execute(db.pool()).await?;
    let second = key(&db).await?;
    assert_eq!(scopes().await?, ["agents:write"], "another one was made");
    assert!(ring.find(&db, &second.key).await?.is_some());
    let renamed = "UPDATE access.api_keys SET key_id = 'key_renamed' WHERE key_id = $1";
    sqlx::query(renamed)
        .bind(&second.record.key_id)
        .execute(db.pool())
        .await?;
    assert_eq!(scopes().await?, ["keys:read"], "one has another name");
    let known = ring.find(&db, &second.key).await?.expect("in force");
    assert_eq!(&*known.key_id, "key_renamed");
    assert_eq!(ring.held().by_id.len(), 2);
    // What is over takes no room once anything changes.
    clock.advance(TimeDelta::hours(1));
    let third = key(&db).await?;
    assert!(ring.find(&db, &third.key).await?.is_some());
    assert_eq!(ring.held().by_digest.len(), 1);
    assert_eq!(ring.held().by_id.len(), 1);
    Ok(())
}

#[sqlx::test(migrations = "../../migrations")]
async fn keys_that_others_made_are_in_nobodys_memory(pool: sqlx::PgPool) -> anyhow::Result<()> {
    let (db, clock) = database(pool);
    let ring = Keyring::default();
    let somebody = Principal::Key("did:key:z6Mk".to_owned());
    let new = NewKey {
        principal: Some(somebody.clone()),
        client_id: None,
        name: "tests".to_owned(),
        scopes: Vec::new(),
        expires_at: Some(clock.now() + TimeDelta::hours(1)),
        per_minute: 5,
        per_hour: 7,
        created_by: somebody.clone(),
        made_with: None,
        description: None,
    };
    let make = async || -> anyhow::Result<key::Issued> {
        let mut tx = db.begin(Cause::Job("test")).await?;
        let issued = key::create(&mut tx, &new).await?;
        tx.commit().await?;
        Ok(issued)
    };
    let (first, second) = (make().await?, make().await?);
    assert_eq!(ring.find(&db, &first.key).await?, None);
    assert!(ring.held().by_id.is_empty());
    let known = Known::look_up(&db, &first.key).await?.expect("in force");
    assert_eq!(known.principal, somebody);
    assert!(!known.is_operators);
    assert!(ring.holds(&db, &known).await?);
    let mut tx = db.begin(Cause::Job("test")).await?;
    key::revoke(&mut tx, &first.record.key_id, None).await?;
    tx.commit().await?;
    assert!(!ring.holds(&db, &known).await?);
    assert_eq!(Known::look_up(&db, &first.key).await?, None);
    let known = Known::look_up(&db, &second.key).await?.expect("in force");
    clock.advance(TimeDelta::hours(1));
    assert!(!ring.holds(&db, &known).await?, "it is over");
    assert_eq!(Known::look_up(&db, &second.key).await?, None);
    assert_eq!(Known::look_up(&db, "ains_nobody").await?, None);
    Ok(())
}

#[sqlx::test(migrations = "../../migrations")]
async fn without_the_database_no_key_is_believed(pool: sqlx::PgPool) -> anyhow::Result<()> {
    let (db, clock) = database(pool);
    let ring = Keyring::default();
    let issued = key(&db).await?;
    assert!(ring.find(&db, &issued.key).await?.is_some());
    db.close().await;
    assert!(ring.find(&db, &issued.key).await?.is_some(), "fresh");
    clock.advance(FRESH);
    let refused = ring.find(&db, &issued.key).await.unwrap_err();
    assert_eq!(refused.kind(), kernel::Kind::Unavailable);
    Ok(())
}
