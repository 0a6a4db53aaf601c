use serde_json::json;
use sqlx::PgPool;
use store::{Cause, Clock};

use super::*;

fn change(what: &str, value: serde_json::Value, former: Option<&str>, undone: bool) -> HeadChange {
    HeadChange {
        position: 1,
        at: DateTime::UNIX_EPOCH,
        agent_id: Uuid::nil(),
        what: what.to_owned(),
        value,
        cause: "log".to_owned(),
        owner: None,
        former_owner: former.map(str::to_owned),
        undone,
    }
}

fn document(version: u32, value: serde_json::Value, undone: bool) -> HeadChange {
    HeadChange {
        cause: format!("eip155:1/0x01/0/document:{version}"),
        ..change("document", value, None, undone)
    }
}

#[test]
fn a_change_is_an_alert_where_it_concerns_who_keeps_the_agent() {
    let to = json!("0x01");
    for (change, alert) in [
        (
            change("owner_address", to.clone(), None, false),
            Some(Alert::NewAgent),
        ),
        (
            change("owner_address", to.clone(), Some("0x02"), false),
            Some(Alert::Transfer),
        ),
        (
            change("owner_address", json!(null), Some("0x02"), false),
            Some(Alert::Transfer),
        ),
        (
            change("owner_address", to, Some("0x02"), true),
            Some(Alert::Retracted),
        ),
        (
            change("agent_wallet", json!(null), None, false),
            Some(Alert::Wallet),
        ),
        (
            change("agent_uri", json!(""), None, false),
            Some(Alert::Uri),
        ),
        (
            change("metadata_state", json!("mismatch"), None, false),
            Some(Alert::Metadata),
        ),
        (
            change("liveness", json!("inactive"), None, false),
            Some(Alert::Status),
        ),
        (
            change("load", json!("BUSY"), None, false),
            Some(Alert::Status),
        ),
        (
            change("load", json!("BUSY"), None, true),
            Some(Alert::Retracted),
        ),
        (
            change("endpoint_url", json!("https://x"), None, false),
            Some(Alert::Endpoint),
        ),
        (
            change("public_key", json!("ed25519:x"), None, false),
            Some(Alert::Key),
        ),
        (
            change("public_key", json!("ed25519:x"), None, true),
            Some(Alert::Retracted),
        ),
        (
            change("approved", json!(null), None, false),
            Some(Alert::Approval),
        ),
        (
            change("claim", json!("eip155:1:0x01/2"), None, false),
            Some(Alert::Claim),
        ),
        (document(2, json!("5a"), false), Some(Alert::Document)),
        (document(12, json!("5a"), true), Some(Alert::Retracted)),
        (document(1, json!("5a"), false), None),
        (document(1, json!("5a"), true), None),
        (document(11, json!("5a"), false), Some(Alert::Document)),
        (document(2, json!(null), false), None),
        (change("name", json!("x"), None, false), None),
        (change("name", json!("x"), None, true), None),
    ] {
        assert_eq!(Alert::of(&change), alert, "{change:?}");
        assert_eq!(
            Alert::COLUMNS.contains(&change.what.as_str()),
            alert.is_some() || change.what == "document"
        );
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn targets_are_found_kept_once_and_each_principal_has_its_own(
    pool: PgPool,
) -> anyhow::Result<()> {
    let db = Db::from_pool(pool, Clock::manual(DateTime::UNIX_EPOCH));
    let owner = "0x00000000000000000000000000000000000000Ab";
    let found = target(&db, owner).await?;
    assert!(matches!(found, Target::Owner(_)));
    let unborn = target(&db, "did:vexel:agent1").await?;
    assert_eq!(unborn, Target::Agent(AgentId::of_did("did:vexel:agent1").0));
    for wrong in ["", "nobody", "1:5", &"x".repeat(600)] {
        assert!(target(&db, wrong).await.is_err(), "{wrong}");
    }
    let mut tx = db.begin(Cause::Job("test")).await?;
    for principal in ["operator", "key:a"] {
        for (target, given) in [
            (found, owner),
            (unborn, "did:vexel:agent1"),
            (found, "again"),
        ] {
            let watch = add(&mut tx, principal, "mine", target, given).await?;
            assert_ne!(
                watch.target, "again",
                "what is watched stays as it was given"
            );
        }
    }
    assert!(
        add(&mut tx, "operator", "no name", found, owner)
            .await
            .is_err()
    );
    tx.commit().await?;
    let limit = Limit::new(1)?;
    let first = list(&db, "operator", None, None, limit).await?;
    let second = list(
        &db,
        "operator",
        Some("mine"),
        first.next_cursor.as_deref(),
        limit,
    )
    .await?;
    assert_eq!(second.next_cursor, None);
    let mut given = [&first.items[0].target, &second.items[0].target];
    given.sort();
    assert_eq!(given, [owner, "did:vexel:agent1"]);

    let mut tx = db.begin(Cause::Job("test")).await?;
    assert_eq!(
        remove(&mut tx, "operator", "mine", Some((Some(found), owner))).await?,
        1
    );
    assert!(
        remove(&mut tx, "operator", "mine", Some((Some(found), owner)))
            .await
            .is_err()
    );
    tx.commit().await?;
    let left = targets(&db, "operator", "mine").await?;
    assert_eq!((left.owners.len(), left.agents.len()), (0, 1));
    assert_eq!(
        targets(&db, "key:a", "mine").await?.owners,
        [owner.to_lowercase()]
    );
    assert!(targets(&db, "operator", "other").await.is_err());
    Ok(())
}
