use store::{Cause, Clock};

use super::*;
use crate::Keyring;

fn wish(name: &str) -> NewKey {
    NewKey {
        principal: Some(Principal::Operator),
        client_id: None,
        name: name.to_owned(),
        scopes: vec!["agents:write".to_owned()],
        expires_at: None,
        per_minute: PER_MINUTE,
        per_hour: PER_HOUR,
        created_by: Principal::Operator,
        description: None,
    }
}

fn database(pool: sqlx::PgPool) -> (Db, Clock) {
    let clock = Clock::manual(DateTime::from_timestamp(1_800_000_000, 0).unwrap());
    (Db::from_pool(pool, clock.clone()), clock)
}

async fn make(db: &Db, new: &NewKey) -> Result<Issued> {
    let mut tx = db.begin(Cause::Request(Principal::Operator)).await?;
    let issued = create(&mut tx, new).await?;
    tx.commit().await?;
    Ok(issued)
}

#[sqlx::test(migrations = "../../migrations")]
async fn of_a_key_only_its_digest_is_kept(pool: sqlx::PgPool) -> anyhow::Result<()> {
    let (db, _) = database(pool);
    let issued = make(&db, &wish("deploy")).await?;
    let row = sqlx::query_scalar!(r#"SELECT to_jsonb(k)::text AS "row!" FROM access.api_keys k"#);
    let row = row.fetch_one(db.pool()).await?;
    assert!(!row.contains(&issued.key), "{row}");
    assert!(row.contains(&hex::encode(kernel::sha256(issued.key.as_bytes()))));
    assert_eq!(issued.record.client_id, "operator");
    assert_eq!(get(&db, &issued.record.key_id, None).await?, issued.record);
    assert!(matches!(
        get(&db, &issued.record.key_id, Some("0x00")).await,
        Err(Error::NotFound(_))
    ));
    Ok(())
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_does_not_fit_is_refused(pool: sqlx::PgPool) -> anyhow::Result<()> {
    let (db, clock) = database(pool);
    let changed = |change: &dyn Fn(&mut NewKey)| {
        let mut new = wish("x");
        change(&mut new);
        new
    };
    let now = clock.now();
    for new in [
        changed(&|new| new.name = "  ".to_owned()),
        changed(&|new| new.name = "x".repeat(256)),
        changed(&|new| new.name = format!("x{}", " ".repeat(255))),
        changed(&|new| new.client_id = Some("x".repeat(65))),
        changed(&|new| new.description = Some("x".repeat(513))),
        changed(&|new| new.scopes = vec!["a:b".to_owned(); 33]),
        changed(&|new| new.scopes = vec![String::new()]),
        changed(&|new| new.per_minute = 0),
        changed(&|new| new.per_hour = -1),
        changed(&|new| new.expires_at = Some(now)),
    ] {
        assert!(
            matches!(make(&db, &new).await, Err(Error::Invalid(_))),
            "{new:?}"
        );
    }
    Ok(())
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_rotated_key_and_its_successor_hold_together_for_a_while(
    pool: sqlx::PgPool,
) -> anyhow::Result<()> {
    let (db, clock) = database(pool);
    let ring = Keyring::default();
    let first = make(&db, &wish("deploy")).await?;
    let turn = async |key_id: &str, overlap| -> Result<Issued> {
        let mut tx = db.begin(Cause::Request(Principal::Operator)).await?;
        let issued = rotate(&mut tx, key_id, overlap).await?;
        tx.commit().await?;
        Ok(issued)
    };
    let overlap = TimeDelta::hours(1);
    let second = turn(&first.record.key_id, overlap).await?;
    assert_ne!(second.key, first.key);
    assert_eq!(second.record.replaces.as_ref(), Some(&first.record.key_id));
    assert_eq!(second.record.scopes, first.record.scopes);
    assert_eq!(second.record.principal, first.record.principal);
    assert!(matches!(
        turn(&first.record.key_id, overlap).await,
        Err(Error::Conflict(_))
    ));
    for (after, holds) in [(TimeDelta::zero(), true), (overlap, false)] {
        clock.advance(after);
        let old = ring.find(&db, &first.key).await?;
        assert_eq!(old.is_some(), holds, "after {after}");
        assert!(ring.find(&db, &second.key).await?.is_some());
    }
    for wrong in [TimeDelta::seconds(-1), TimeDelta::days(31)] {
        let refused = turn(&second.record.key_id, wrong).await;
        assert!(matches!(refused, Err(Error::Invalid(_))), "{wrong}");
    }
    assert!(matches!(
        turn(&first.record.key_id, overlap).await,
        Err(Error::Conflict(_))
    ));
    assert!(matches!(
        turn("key_unknown", overlap).await,
        Err(Error::NotFound(_))
    ));
    Ok(())
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_list_is_turned_page_by_page_and_is_its_owners(pool: sqlx::PgPool) -> anyhow::Result<()> {
    let (db, _) = database(pool);
    let account: kernel::Address = "0x00000000000000000000000000000000000000aa".parse()?;
    let mut of_account = wish("mine");
    of_account.principal = Some(Principal::Account(account));
    of_account.created_by = Principal::Account(account);
    for new in [wish("one"), of_account, wish("two")] {
        make(&db, &new).await?;
    }
    let one = Limit::new(1)?;
    let page = list(&db, &Filter::default(), None, one).await?;
    assert_eq!(page.items[0].name, "two");
    let cursor = page.next_cursor.map(|cursor| cursor.parse()).transpose()?;
    let page = list(&db, &Filter::default(), cursor, one).await?;
    assert_eq!(page.items[0].name, "mine");
    let filter = Filter {
        principal: Some(format!("{account:#x}")),
        ..Filter::default()
    };
    let mine = list(&db, &filter, None, Limit::default()).await?;
    assert_eq!(mine.items.len(), 1);
    assert_eq!(mine.items[0].created_by, filter.principal);
    let inactive = Filter {
        active: Some(false),
        ..Filter::default()
    };
    assert!(list(&db, &inactive, None, one).await?.items.is_empty());
    Ok(())
}

#[sqlx::test(migrations = "../../migrations")]
async fn nobody_but_the_operator_makes_keys_without_end(pool: sqlx::PgPool) -> anyhow::Result<()> {
    let (db, _) = database(pool);
    let mut new = wish("mine");
    let did = Principal::Key("did:key:z6Mk".to_owned());
    (new.principal, new.created_by) = (Some(did.clone()), did);
    for _ in 0..MOST_KEYS {
        make(&db, &new).await?;
    }
    assert!(matches!(make(&db, &new).await, Err(Error::Conflict(_))));
    // Rotated keys hold beside their successors for a while, so they are counted too.
    let newest = list(&db, &Filter::default(), None, Limit::new(1)?).await?;
    let mut tx = db.begin(Cause::Request(Principal::Operator)).await?;
    let one_more = rotate(&mut tx, &newest.items[0].key_id, TimeDelta::hours(1)).await;
    assert!(matches!(one_more, Err(Error::Conflict(_))));
    tx.rollback().await?;
    new.created_by = Principal::Operator;
    make(&db, &new).await?;
    Ok(())
}
