//! A person: acts through a door, and plain SQL, at once or in a transaction that stays open for a while.

use identity::fact::RuntimeStatus;
use kernel::{AgentId, Kind, Principal};
use sqlx::{Connection as _, PgConnection, Row};
use store::Cause;
use uuid::Uuid;

use super::{
    dice::Dice,
    vexel::usual_owner,
    words::inserted,
    world::{Verdict, World},
};

const STATUSES: [&str; 3] = ["ACTIVE", "SLEEP", "TERMINATED"];

/// Some agent that has a row.
async fn somebody(world: &World, dice: &mut Dice) -> Option<Uuid> {
    let at = dice.roll(1 << 32);
    let ids = sqlx::query("SELECT id FROM identity.agents ORDER BY id");
    let ids = ids.fetch_all(&world.database.pool).await.expect("agents");
    let at = usize::try_from(at).expect("small");
    (!ids.is_empty()).then(|| ids[at % ids.len()].get(0))
}

/// Sets a status through the domain's door.
pub async fn act(world: &mut World, dice: &mut Dice) -> Verdict {
    let status = RuntimeStatus::parse(STATUSES[dice.index(3)]).expect("a status");
    let Some(agent) = somebody(world, dice).await else {
        return Ok(());
    };
    let done = async {
        let cause = Cause::Request(Principal::Operator);
        let mut tx = world.db.begin(cause).await?;
        identity::act::set_status(&mut tx, AgentId(agent), status, Some("an order")).await?;
        Ok::<_, identity::Error>(tx.commit().await?)
    };
    match done.await {
        Ok(()) => {}
        // A final status, or a row that psql holds.
        Err(error) if error.kind() == Kind::Conflict => world.note(format!("    {error}")),
        Err(error) => return Err(format!("an act: {error}")),
    }
    Ok(())
}

/// Opens a transaction at psql, or ends the one that is open.
pub async fn psql(world: &mut World, dice: &mut Dice) -> Verdict {
    let failed = |error: sqlx::Error| format!("psql: {error}");
    let Some(open) = world.psql.take() else {
        if world.is_unindexed().await {
            return sql(world, dice).await;
        }
        let options = world.database.pool.connect_options();
        let mut open = PgConnection::connect_with(&options).await.map_err(failed)?;
        sqlx::raw_sql("BEGIN")
            .execute(&mut open)
            .await
            .map_err(failed)?;
        world.psql = Some(open);
        return sql(world, dice).await;
    };
    let ending = if dice.chance(75) {
        "COMMIT"
    } else {
        "ROLLBACK"
    };
    end(world, open, ending).await
}

/// Ends the open transaction, if there is one.
pub async fn leave(world: &mut World) -> Verdict {
    match world.psql.take() {
        Some(open) => end(world, open, "COMMIT").await,
        None => Ok(()),
    }
}

async fn end(world: &mut World, mut open: PgConnection, ending: &'static str) -> Verdict {
    let failed = |error: sqlx::Error| format!("psql: {error}");
    world.note(format!("  psql: {ending}"));
    let ended = sqlx::raw_sql(ending).execute(&mut open).await;
    ended.map_err(failed)?;
    open.close().await.map_err(failed)
}

/// One statement of plain SQL, as people write it.
pub async fn sql(world: &mut World, dice: &mut Dice) -> Verdict {
    let (status, n) = (STATUSES[dice.index(3)], dice.roll(3));
    let kind = dice.roll(15);
    let agents = "identity.agents";
    let capabilities = "identity.capability_vectors";
    let somebody = somebody(world, dice).await;
    let Some(agent) = somebody.filter(|_| kind < 13) else {
        return insert(world, dice).await;
    };
    let (text, refused) = match kind {
        0 | 1 => (
            format!("UPDATE {agents} SET runtime_status = '{status}' WHERE id = '{agent}' AND NOT status_final"),
            false,
        ),
        2 => (
            format!("UPDATE {agents} SET name = 'sql {n}', description = NULL, load = 'BUSY' WHERE id = '{agent}'"),
            false,
        ),
        3 => (
            format!("UPDATE {agents} SET category = 'c{n}' WHERE id = '{agent}'; UPDATE {agents} SET description = 'd{n}' WHERE id = '{agent}'"),
            false,
        ),
        4 => (format!("UPDATE {agents} SET name = name WHERE id = '{agent}'"), false),
        5 => (
            format!("UPDATE {capabilities} SET capability_value = '{n}' WHERE agent_id = '{agent}'"),
            false,
        ),
        6 => (
            format!("DELETE FROM {capabilities} WHERE capability_name = 'c{n}' AND agent_id = '{agent}'"),
            false,
        ),
        7 => (
            format!(
                "INSERT INTO {capabilities} (agent_id, capability_name, capability_value)
                 VALUES ('{agent}', 's{n}', '{{\"n\": {n}}}')
                 ON CONFLICT (agent_id, capability_name) DO NOTHING"
            ),
            false,
        ),
        8 => (format!("DELETE FROM {agents} WHERE id = '{agent}'"), false),
        // Those that came from a chain or a key, deleted by somebody before.
        9 | 10 => (
            "SELECT identity.restore_agent(s.id) FROM identity.subjects s
              WHERE (s.kind = 'key' OR EXISTS (SELECT FROM identity.tokens t WHERE t.agent_id = s.id))
                AND NOT EXISTS (SELECT FROM identity.agents a WHERE a.id = s.id)".to_owned(),
            false,
        ),
        11 => (
            format!("UPDATE {agents} SET runtime_status = '{status}' WHERE NOT status_final"),
            false,
        ),
        _ => (
            match n {
                0 => format!("UPDATE {agents} SET owner_address = '0x{:040x}' WHERE id = '{agent}'", 1),
                1 => format!("UPDATE {agents} SET id = '{}' WHERE id = '{agent}'", Uuid::nil()),
                _ => format!("INSERT INTO {agents} (did, name) VALUES ('did:key:z6Mk{n}', 'k')"),
            },
            true,
        ),
    };
    run(world, &text, refused).await
}

/// An agent that is on no chain; sometimes one that there was before.
async fn insert(world: &mut World, dice: &mut Dice) -> Verdict {
    let again = world.inserts > 0 && dice.chance(30);
    let number = if again {
        dice.roll(world.inserts)
    } else {
        world.inserts += 1;
        world.inserts - 1
    };
    let status = STATUSES[dice.index(3)];
    let text = format!(
        "INSERT INTO identity.agents (id, did, name, description, owner_address, runtime_status)
         VALUES ('{}', '{}', 'VEXEL {number}', 'by SQL', '0x{}', '{status}')
         ON CONFLICT DO NOTHING",
        Uuid::from_u128(0xfeed_0000 + u128::from(number)),
        inserted(number),
        hex::encode_upper(usual_owner(number)),
    );
    run(world, &text, false).await
}

/// A refusal aborts an open transaction, as it does at psql: there only what is allowed is said.
async fn run(world: &mut World, text: &str, refused: bool) -> Verdict {
    if refused && world.psql.is_some() {
        return Ok(());
    }
    world.note(format!("  {text}"));
    match world.sql(text).await {
        // Of an agent without a token it may be set.
        Ok(()) if refused && !text.contains("owner_address = ") => {
            Err(format!("it was not refused: {text}"))
        }
        Ok(()) => Ok(()),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("CH001") => {
            if refused {
                Ok(())
            } else {
                Err(format!("refused: {error}: {text}"))
            }
        }
        Err(error) => Err(format!("psql: {error}: {text}")),
    }
}
