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
        made_with: None,
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
        let rotated = rotate(&mut tx, key_id, overlap, None).await?;
        tx.commit().await?;
        Ok(rotated.issued)
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
async fn of_a_line_of_rotation_two_keys_hold_however_many_rotate_at_once(
    pool: sqlx::PgPool,
) -> anyhow::Result<()> {
    let (db, clock) = database(pool);
    let first = make(&db, &wish("deploy")).await?;
    let child = make_with(&db, "child", &first).await?;
    let second = turn(&db, &first, Some(&first)).await?;
    let tries = (0..8).map(|_| {
        let (db, key_id) = (db.clone(), second.record.key_id.clone());
        tokio::spawn(async move {
            let mut tx = db.begin(Cause::Request(Principal::Operator)).await?;
            let rotated = rotate(&mut tx, &key_id, LONGEST_OVERLAP, None).await?;
            tx.commit().await?;
            Ok::<_, Error>(rotated)
        })
    });
    let mut through = Vec::new();
    for one in tries.collect::<Vec<_>>() {
        match one.await? {
            Ok(rotated) => through.push(rotated),
            Err(error) => assert!(matches!(error, Error::Conflict(_)), "{error}"),
        }
    }
    assert_eq!(through.len(), 1);
    let third = &through[0];
    assert_eq!(third.ended.as_ref(), Some(&first.record.key_id));
    let over = get(&db, &first.record.key_id, None).await?;
    assert_eq!(over.expires_at, Some(clock.now()));
    assert!(over.active && over.revoked_at.is_none(), "{over:?}");
    let ring = Keyring::default();
    assert_eq!(ring.find(&db, &first.key).await?, None);
    for key in [&second, &third.issued, &child] {
        assert!(ring.find(&db, &key.key).await?.is_some(), "{key:?}");
    }
    // What was over before is not told again, and stays over since then.
    clock.advance(LONGEST_OVERLAP);
    let mut tx = db.begin(Cause::Request(Principal::Operator)).await?;
    let key_id = &third.issued.record.key_id;
    let fourth = rotate(&mut tx, key_id, TimeDelta::zero(), None).await?;
    tx.commit().await?;
    assert_eq!(fourth.ended, None);
    let over = get(&db, &second.record.key_id, None).await?;
    assert_eq!(over.expires_at, Some(clock.now()), "when its overlap was");
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
    let one_more = rotate(&mut tx, &newest.items[0].key_id, TimeDelta::hours(1), None).await;
    assert!(matches!(one_more, Err(Error::Conflict(_))));
    tx.rollback().await?;
    new.created_by = Principal::Operator;
    make(&db, &new).await?;
    Ok(())
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_others_make_lasts_ninety_days_at_most(pool: sqlx::PgPool) -> anyhow::Result<()> {
    let (db, clock) = database(pool);
    let did = Principal::Key("did:key:z6Mk".to_owned());
    let mine = |expires_at| NewKey {
        principal: Some(did.clone()),
        created_by: did.clone(),
        expires_at,
        ..wish("mine")
    };
    let last = clock.now() + LONGEST_OF_OTHERS;
    let issued = make(&db, &mine(None)).await?;
    assert_eq!(issued.record.expires_at, Some(last));
    make(&db, &mine(Some(last))).await?;
    let longer = mine(Some(last + TimeDelta::seconds(1)));
    let refused = make(&db, &longer).await.unwrap_err();
    assert!(matches!(refused, Error::Denied(_)), "{refused}");
    assert!(refused.to_string().contains("90 days"), "{refused}");
    // With the key that asks, where that ends sooner.
    let soon = clock.now() + TimeDelta::days(1);
    let maker = make(&db, &mine(Some(soon))).await?;
    let child = NewKey {
        made_with: Some(maker.record.key_id),
        ..mine(None)
    };
    assert_eq!(make(&db, &child).await?.record.expires_at, Some(soon));
    // Of one that had no end the successor has.
    sqlx::query("UPDATE access.api_keys SET expires_at = NULL")
        .execute(db.pool())
        .await?;
    clock.advance(TimeDelta::days(1));
    let next = turn(&db, &issued, None).await?;
    let last = clock.now() + LONGEST_OF_OTHERS;
    assert_eq!(next.record.expires_at, Some(last));
    // The operator's last as long as he likes.
    assert_eq!(make(&db, &wish("his")).await?.record.expires_at, None);
    Ok(())
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_contract_on_a_chain_with_a_long_id_makes_keys_too(
    pool: sqlx::PgPool,
) -> anyhow::Result<()> {
    let (db, _) = database(pool);
    let contract = Principal::Contract {
        chain: i64::MAX.unsigned_abs(),
        address: "0x00000000000000000000000000000000000000aa".parse()?,
    };
    let new = NewKey {
        principal: Some(contract.clone()),
        created_by: contract.clone(),
        ..wish("mine")
    };
    let record = make(&db, &new).await?.record;
    let name = principal::text(&contract);
    assert_eq!(Some(&record.client_id), name.as_ref());
    assert_eq!((&record.created_by, &record.principal), (&name, &name));
    Ok(())
}

/// A key that was asked for with another one.
async fn make_with(db: &Db, name: &str, maker: &Issued) -> Result<Issued> {
    let made_with = Some(maker.record.key_id.clone());
    make(
        db,
        &NewKey {
            made_with,
            ..wish(name)
        },
    )
    .await
}

async fn turn(db: &Db, key: &Issued, asked_with: Option<&Issued>) -> Result<Issued> {
    let mut tx = db.begin(Cause::Request(Principal::Operator)).await?;
    let asked_with = asked_with.map(|key| key.record.key_id.as_str());
    let overlap = TimeDelta::hours(1);
    let rotated = rotate(&mut tx, &key.record.key_id, overlap, asked_with).await?;
    tx.commit().await?;
    Ok(rotated.issued)
}

/// The names of the keys that end with this one.
async fn end(db: &Db, key: &Issued, asked_with: Option<&Issued>) -> Result<Vec<String>> {
    let mut tx = db.begin(Cause::Request(Principal::Operator)).await?;
    let asked_with = asked_with.map(|key| key.record.key_id.as_str());
    let ended = revoke(&mut tx, &key.record.key_id, asked_with).await?;
    tx.commit().await?;
    assert!(!get(db, &key.record.key_id, None).await?.active);
    let mut names = Vec::new();
    for key_id in ended {
        let key = get(db, &key_id, None).await?;
        assert!(!key.active && key.revoked_at.is_some(), "{key:?}");
        names.push(key.name);
    }
    names.sort_unstable();
    Ok(names)
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_key_ends_with_the_one_that_it_was_made_with(pool: sqlx::PgPool) -> anyhow::Result<()> {
    let (db, _) = database(pool);
    let first = make(&db, &wish("first")).await?;
    let child = make_with(&db, "child", &first).await?;
    assert_eq!(child.record.made_with.as_ref(), Some(&first.record.key_id));
    make_with(&db, "grandchild", &child).await?;
    let other = make(&db, &wish("other")).await?;
    assert_eq!(end(&db, &child, None).await?, ["grandchild"]);
    make_with(&db, "second child", &first).await?;
    assert_eq!(
        end(&db, &first, None).await?,
        ["second child"],
        "what had ended is not told again"
    );
    let refused = make_with(&db, "late", &first).await.unwrap_err();
    assert!(refused.is_unproven(), "{refused}");
    let refused = turn(&db, &other, Some(&first)).await.unwrap_err();
    assert!(refused.is_unproven(), "{refused}");
    let refused = end(&db, &other, Some(&first)).await.unwrap_err();
    assert!(refused.is_unproven(), "{refused}");
    assert!(get(&db, &other.record.key_id, None).await?.active);
    Ok(())
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_successor_takes_over_what_its_predecessor_made(
    pool: sqlx::PgPool,
) -> anyhow::Result<()> {
    let (db, clock) = database(pool);
    let root = make(&db, &wish("root")).await?;
    let old = make_with(&db, "old", &root).await?;
    let child = make_with(&db, "child", &old).await?;
    let new = turn(&db, &old, None).await?;
    assert_eq!(new.record.made_with, old.record.made_with);
    assert!(end(&db, &old, None).await?.is_empty());
    let child = get(&db, &child.record.key_id, None).await?;
    assert!(child.active);
    assert_eq!(child.made_with, Some(new.record.key_id.clone()));
    // That a key is over by itself ends nothing.
    let newer = turn(&db, &new, None).await?;
    clock.advance(TimeDelta::hours(2));
    assert_eq!(end(&db, &root, None).await?, ["child", "old"]);
    let newer = get(&db, &newer.record.key_id, None).await?;
    assert!(!newer.active, "it goes by the name of the old one");
    Ok(())
}

#[sqlx::test(migrations = "../../migrations")]
async fn who_rotates_a_stolen_key_with_itself_does_not_keep_it(
    pool: sqlx::PgPool,
) -> anyhow::Result<()> {
    let (db, _) = database(pool);
    let stolen = make(&db, &wish("stolen")).await?;
    let child = make_with(&db, "child", &stolen).await?;
    let next = turn(&db, &stolen, Some(&stolen)).await?;
    assert_eq!(next.record.made_with, Some(stolen.record.key_id.clone()));
    // A program that changes to its new key may end the old one with it.
    assert!(end(&db, &stolen, Some(&next)).await?.is_empty());
    assert!(get(&db, &child.record.key_id, None).await?.active);
    // Whoever else does so ends both, also where it was done before.
    assert_eq!(end(&db, &stolen, None).await?, ["child", "stolen"]);
    // Nor does it help to rotate another one's key.
    let thief = make(&db, &wish("thief")).await?;
    let other = make(&db, &wish("other")).await?;
    turn(&db, &other, Some(&thief)).await?;
    assert_eq!(end(&db, &thief, None).await?, ["other"]);
    assert!(get(&db, &other.record.key_id, None).await?.active);
    Ok(())
}

#[sqlx::test(migrations = "../../migrations")]
async fn keys_that_rotate_each_other_end_together(pool: sqlx::PgPool) -> anyhow::Result<()> {
    let (db, _) = database(pool);
    let parent = make(&db, &wish("parent")).await?;
    let child = make_with(&db, "child", &parent).await?;
    let next = turn(&db, &parent, Some(&child)).await?;
    assert_eq!(next.record.made_with, Some(child.record.key_id.clone()));
    // What asked for the successor stays below the old key, so that this one's end reaches both.
    assert_eq!(end(&db, &parent, None).await?, ["child", "parent"]);
    Ok(())
}

#[sqlx::test(migrations = "../../migrations")]
async fn nor_does_a_detour_save_what_a_stolen_key_made(pool: sqlx::PgPool) -> anyhow::Result<()> {
    let (db, _) = database(pool);
    let stolen = make(&db, &wish("stolen")).await?;
    let other = make(&db, &wish("other")).await?;
    let next = turn(&db, &other, Some(&stolen)).await?;
    assert_eq!(next.record.made_with, Some(stolen.record.key_id.clone()));
    turn(&db, &stolen, Some(&next)).await?;
    assert_eq!(end(&db, &stolen, None).await?, ["other", "stolen"]);
    Ok(())
}

/// Keys of the operator's in force that `maker` made.
async fn fill(db: &Db, maker: &Issued, principal: Option<&str>, count: i64) -> anyhow::Result<()> {
    sqlx::query(
        "INSERT INTO access.api_keys (key_id, key_hash, client_id, name, principal, created_by, made_with)
         SELECT $1 || n, encode(sha256(($1 || n)::bytea), 'hex'), 'x', 'x', $2, 'operator', $1
           FROM generate_series(1, $3) AS n",
    )
    .bind(&maker.record.key_id)
    .bind(principal)
    .bind(count)
    .execute(db.pool())
    .await?;
    Ok(())
}

#[sqlx::test(migrations = "../../migrations")]
async fn nor_do_keys_make_keys_without_end(pool: sqlx::PgPool) -> anyhow::Result<()> {
    let (db, clock) = database(pool);
    let first = make(&db, &wish("first")).await?;
    let second = make(&db, &wish("second")).await?;
    fill(&db, &first, Some("operator"), MOST_KEYS - 1).await?;
    // Of many at once one gets the last place.
    let tries = (0..8).map(|_| {
        let (db, second) = (db.clone(), second.clone());
        tokio::spawn(async move { make_with(&db, "x", &second).await })
    });
    let mut through = 0;
    for one in tries.collect::<Vec<_>>() {
        match one.await? {
            Ok(_) => through += 1,
            Err(error) => assert!(error.to_string().contains("revoke one"), "{error}"),
        }
    }
    assert_eq!(through, 1);
    let refused = turn(&db, &second, Some(&second)).await;
    assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
    // The operator himself may, and what is over leaves its place.
    turn(&db, &second, None).await?;
    make(&db, &wish("third")).await?;
    end(&db, &first, None).await?;
    make_with(&db, "x", &second).await?;
    // Nor for clients, of whom each would have its own places.
    let tool = make(&db, &wish("tool")).await?;
    fill(&db, &tool, None, MOST_MADE).await?;
    let client = NewKey {
        principal: None,
        made_with: Some(tool.record.key_id.clone()),
        ..wish("client")
    };
    let refused = make(&db, &client).await.unwrap_err();
    assert!(refused.to_string().contains("revoke one"), "{refused}");
    sqlx::query("UPDATE access.api_keys SET expires_at = $1 WHERE key_id = $2 || '1'")
        .bind(clock.now())
        .bind(&tool.record.key_id)
        .execute(db.pool())
        .await?;
    make(&db, &client).await?;
    Ok(())
}

/// Until somebody waits for a lock in this database.
async fn somebody_waits(db: &Db) -> anyhow::Result<()> {
    let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity
                                 WHERE datname = current_database() AND wait_event_type = 'Lock')";
    for _ in 0..100_000 {
        if sqlx::query_scalar(waits).fetch_one(db.pool()).await? {
            return Ok(());
        }
    }
    anyhow::bail!("nobody waits")
}

#[sqlx::test(migrations = "../../migrations")]
async fn no_key_is_made_while_its_maker_ends(pool: sqlx::PgPool) -> anyhow::Result<()> {
    let (db, _) = database(pool);
    let first = make(&db, &wish("first")).await?;
    // It is being made while its maker is revoked: revoking waits, and finds it.
    let mut making = db.begin(Cause::Request(Principal::Operator)).await?;
    let child = NewKey {
        made_with: Some(first.record.key_id.clone()),
        ..wish("child")
    };
    create(&mut making, &child).await?;
    let ending = tokio::spawn({
        let (db, first) = (db.clone(), first.clone());
        async move { end(&db, &first, None).await }
    });
    somebody_waits(&db).await?;
    making.commit().await?;
    assert_eq!(ending.await??, ["child"]);
    // It is asked for while its maker is being revoked: making waits, and is refused.
    let second = make(&db, &wish("second")).await?;
    let mut ending = db.begin(Cause::Request(Principal::Operator)).await?;
    revoke(&mut ending, &second.record.key_id, None).await?;
    let making = tokio::spawn({
        let (db, second) = (db.clone(), second.clone());
        async move { make_with(&db, "late", &second).await }
    });
    somebody_waits(&db).await?;
    ending.commit().await?;
    let refused = making.await?.unwrap_err();
    assert!(refused.is_unproven(), "{refused}");
    Ok(())
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_client_stays_who_it_is_when_its_key_is_rotated(
    pool: sqlx::PgPool,
) -> anyhow::Result<()> {
    let (db, _) = database(pool);
    let client = NewKey {
        principal: None,
        ..wish("client")
    };
    let first = make(&db, &client).await?;
    assert_eq!(first.record.principal, Some(first.record.key_id.clone()));
    let second = turn(&db, &first, None).await?;
    let third = turn(&db, &second, Some(&second)).await?;
    let ring = Keyring::default();
    assert_eq!(ring.find(&db, &first.key).await?, None, "two hold");
    for key in [&second, &third] {
        let known = ring.find(&db, &key.key).await?.expect("in force");
        let whose = Principal::Key(first.record.key_id.clone());
        assert_eq!(known.principal, whose, "{key:?}");
    }
    let other = make(&db, &client).await?;
    assert_ne!(other.record.principal, first.record.principal);
    // One that plain SQL made says for whom it acts once it has a successor.
    sqlx::query("UPDATE access.api_keys SET principal = NULL WHERE key_id = $1")
        .bind(&other.record.key_id)
        .execute(db.pool())
        .await?;
    let next = turn(&db, &other, None).await?;
    assert_eq!(next.record.principal, Some(other.record.key_id));
    Ok(())
}

#[sqlx::test(migrations = "../../migrations")]
async fn keys_that_are_long_over_are_forgotten_and_what_they_made_is_not(
    pool: sqlx::PgPool,
) -> anyhow::Result<()> {
    let (db, clock) = database(pool);
    let root = make(&db, &wish("root")).await?;
    let first = make_with(&db, "rotates itself", &root).await?;
    let second = turn(&db, &first, Some(&first)).await?;
    let third = turn(&db, &second, Some(&second)).await?;
    let revoked = make(&db, &wish("revoked")).await?;
    end(&db, &revoked, None).await?;
    let left = async || -> anyhow::Result<Vec<String>> {
        let mut tx = db.begin(Cause::Job("test")).await?;
        expire(&mut tx).await?;
        tx.commit().await?;
        let page = list(&db, &Filter::default(), None, Limit::default()).await?;
        Ok(page.items.into_iter().map(|key| key.key_id).collect())
    };
    clock.advance(KEPT);
    assert_eq!(left().await?.len(), 5);
    clock.advance(TimeDelta::seconds(1));
    assert_eq!(
        left().await?.len(),
        3,
        "neither the revoked one nor the first"
    );
    clock.advance(TimeDelta::hours(1));
    assert_eq!(
        left().await?,
        [third.record.key_id, root.record.key_id.clone()]
    );
    // As the one that asked for it was made with the root, so is the last one now.
    assert_eq!(end(&db, &root, None).await?, ["rotates itself"]);
    Ok(())
}
