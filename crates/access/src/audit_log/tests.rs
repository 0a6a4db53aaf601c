use serde_json::json;
use store::Clock;

use super::*;

fn database(pool: sqlx::PgPool) -> (Db, Clock) {
    let clock = Clock::manual(DateTime::from_timestamp(1_800_000_000, 0).unwrap());
    (Db::from_pool(pool, clock.clone()), clock)
}

async fn all(db: &Db) -> anyhow::Result<Vec<Record>> {
    let page = list(db, &Filter::default(), None, Limit::default()).await?;
    Ok(page.items)
}

#[sqlx::test(migrations = "../../migrations")]
async fn texts_are_cut_to_their_columns(pool: sqlx::PgPool) -> anyhow::Result<()> {
    let (db, clock) = database(pool);
    let log = AuditLog::default();
    let long = || Some("é\0".repeat(1000));
    let event = Event {
        client_id: long(),
        key_id: long(),
        action: "a\0".repeat(1000),
        resource_type: long(),
        resource_id: long(),
        ip_address: long(),
        user_agent: long(),
        error_message: long(),
        extra_metadata: Some(json!({"\0": "\0"})),
    };
    log.note(EventType::Authentication, clock.now(), event);
    log.note(EventType::RateLimitExceeded, clock.now(), Event::default());
    log.flush(&db).await?;
    log.flush(&db).await?;
    let records = all(&db).await?;
    assert_eq!(records.len(), 2);
    let (plain, long) = (&records[0], &records[1]);
    assert!(plain.success && !long.success);
    assert_eq!(plain.extra_metadata, json!({}));
    assert_eq!(plain.event_type, "rate_limit_exceeded");
    let chars = |text: &Option<String>| text.as_ref().unwrap().chars().count();
    assert_eq!(chars(&long.ip_address), 45);
    assert_eq!(chars(&long.user_agent), 512);
    assert_eq!(long.created_at, clock.now());
    Ok(())
}

#[sqlx::test(migrations = "../../migrations")]
async fn personal_data_goes_first_and_the_rest_later(pool: sqlx::PgPool) -> anyhow::Result<()> {
    let (db, clock) = database(pool);
    let log = AuditLog::default();
    let event = Event {
        ip_address: Some("192.0.2.1".to_owned()),
        user_agent: Some("curl".to_owned()),
        ..Event::default()
    };
    log.note(EventType::Authentication, clock.now(), event);
    log.flush(&db).await?;
    let expire = async || -> anyhow::Result<Vec<Record>> {
        let mut tx = db.begin(Cause::Job("test")).await?;
        super::expire(&mut tx, TimeDelta::days(30), TimeDelta::days(365)).await?;
        tx.commit().await?;
        all(&db).await
    };
    clock.advance(TimeDelta::days(30));
    assert_eq!(expire().await?[0].ip_address.as_deref(), Some("192.0.2.1"));
    clock.advance(TimeDelta::seconds(1));
    let records = expire().await?;
    assert_eq!(
        (&records[0].ip_address, &records[0].user_agent),
        (&None, &None)
    );
    clock.advance(TimeDelta::days(335));
    assert!(expire().await?.is_empty());
    Ok(())
}

#[sqlx::test(migrations = "../../migrations")]
async fn events_are_found_by_what_they_are(pool: sqlx::PgPool) -> anyhow::Result<()> {
    let (db, clock) = database(pool);
    let log = AuditLog::default();
    for (kind, client, failed) in [
        (EventType::Authentication, "one", true),
        (EventType::Authentication, "two", false),
        (EventType::AgentRegistered, "one", false),
    ] {
        let event = Event {
            client_id: Some(client.to_owned()),
            error_message: failed.then(|| "wrong".to_owned()),
            ..Event::default()
        };
        log.note(kind, clock.now(), event);
    }
    log.flush(&db).await?;
    let count = async |filter: Filter| -> anyhow::Result<usize> {
        Ok(list(&db, &filter, None, Limit::default())
            .await?
            .items
            .len())
    };
    let filter = Filter::default;
    let client_id = Some("one".to_owned());
    assert_eq!(
        count(Filter {
            client_id,
            ..filter()
        })
        .await?,
        2
    );
    let event_type = Some("authentication".to_owned());
    assert_eq!(
        count(Filter {
            event_type,
            ..filter()
        })
        .await?,
        2
    );
    assert_eq!(
        count(Filter {
            success: Some(false),
            ..filter()
        })
        .await?,
        1
    );
    let first = list(&db, &filter(), None, Limit::new(1)?).await?;
    let cursor = first.next_cursor.expect("more").parse()?;
    let rest = list(&db, &filter(), Some(cursor), Limit::default()).await?;
    assert_eq!(rest.items.len(), 2);
    assert_eq!(rest.next_cursor, None);
    Ok(())
}

#[test]
fn a_flood_of_events_is_bounded() {
    let log = AuditLog::default();
    for _ in 0..=MOST_WAITING {
        log.note(
            EventType::Authentication,
            DateTime::default(),
            Event::default(),
        );
    }
    assert_eq!(log.waiting.lock().unwrap().len(), MOST_WAITING);
}
