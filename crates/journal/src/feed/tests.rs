use kernel::Limit;
use sqlx::{AssertSqlSafe, PgPool};

use super::*;
use crate::{NewEntry, testing::*};

fn span(after: u64, until: u64, limit: u32, newest: bool) -> Span {
    let limit = Limit::new(limit).expect("in range");
    Span {
        after,
        until,
        limit,
        newest,
    }
}

async fn leaves(db: &Db, wanted: &Wanted, span: Span) -> Vec<u64> {
    let found = read(db, wanted, &span).await.expect("reads");
    found.items.iter().map(|told| told.leaf_index).collect()
}

/// Leaves 0 to 5: agents 1, 2, an act, agents 1, 3, 1.
async fn sealed(pool: PgPool) -> Db {
    let db = db(pool);
    say(&db, [1, 2], "a").await;
    commit(&db, vec![NewEntry::act(vec![change("x", "psql")])]).await;
    say(&db, [1, 3, 1], "b").await;
    seal_all(&db, &sealer()).await;
    say(&db, [1], "not sealed").await;
    db
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_span_is_read_from_its_beginning_or_its_end(pool: PgPool) -> anyhow::Result<()> {
    let db = sealed(pool).await;
    assert_eq!(end(&db).await?, 6);
    let of = |agents: &[u64], kind| Wanted {
        agents: Some(agents.iter().map(|n| agent(*n).0).collect()),
        kind,
    };
    let everything = Wanted::default();
    let acts = Wanted {
        kind: Some(EntryKind::Act),
        ..Wanted::default()
    };
    let of_agents = Wanted {
        kind: Some(EntryKind::Agent),
        ..Wanted::default()
    };
    let many: Vec<u64> = (1..=MANY as u64 + 1).filter(|n| *n != 2).collect();
    for (wanted, span, expected) in [
        (&everything, span(0, 6, 9, false), vec![0, 1, 2, 3, 4, 5]),
        (&everything, span(0, 6, 2, false), vec![0, 1]),
        (&everything, span(0, 6, 2, true), vec![4, 5]),
        (&everything, span(4, 5, 9, true), vec![4]),
        (&everything, span(6, 6, 9, false), vec![]),
        (&of(&[1], None), span(0, 6, 2, false), vec![0, 3]),
        (&of(&[1], None), span(0, 6, 2, true), vec![3, 5]),
        (&of(&[1, 3], None), span(1, 5, 9, false), vec![3, 4]),
        (&of(&[], None), span(0, 6, 9, false), vec![]),
        (&of(&many, None), span(0, 6, 3, false), vec![0, 3, 4]),
        (&of(&many, None), span(0, 6, 3, true), vec![3, 4, 5]),
        (
            &of(&[1], Some(EntryKind::Retracted)),
            span(0, 6, 9, false),
            vec![],
        ),
        (&acts, span(0, 6, 9, false), vec![2]),
        (&of_agents, span(1, 6, 2, false), vec![1, 3]),
        (&of_agents, span(0, 6, 2, true), vec![4, 5]),
    ] {
        let found = leaves(&db, wanted, span).await;
        assert_eq!(found, expected, "{:?} {span:?}", wanted.kind);
    }
    Ok(())
}

/// With two entries a look: acts are rare, agent 1 has three entries of the six, and 2 has one.
#[sqlx::test(migrations = "../../migrations")]
async fn a_look_ends_and_the_next_goes_on_there(pool: PgPool) -> anyhow::Result<()> {
    let db = sealed(pool).await;
    let of = |agents: &[u64], kind| Wanted {
        agents: Some(agents.iter().map(|n| agent(*n).0).collect()),
        kind,
    };
    let acts = Wanted {
        agents: None,
        kind: Some(EntryKind::Act),
    };
    for (wanted, expected) in [
        (of(&[2], None), Way::Agents),
        (of(&[1], None), Way::Leaves),
        (of(&[1], Some(EntryKind::Act)), Way::Kind),
        (of(&[1], Some(EntryKind::Agent)), Way::Leaves),
        (acts.clone(), Way::Kind),
    ] {
        assert_eq!(way(&db, &wanted, 2).await?, expected, "{wanted:?}");
    }
    for (wanted, newest, looks) in [
        // Found by what it is: the end at once.
        (&of(&[2], None), false, vec![(vec![1], 6)]),
        (&acts, true, vec![(vec![2], 0)]),
        // Two leaves at a time, to the end.
        (
            &of(&[1], None),
            false,
            vec![(vec![0], 2), (vec![3], 4), (vec![5], 6)],
        ),
        (
            &of(&[1], None),
            true,
            vec![(vec![5], 4), (vec![3], 2), (vec![0], 0)],
        ),
        (&of(&[3, 1], None), true, vec![(vec![4, 5], 4)]),
    ] {
        let mut span = span(0, 6, 2, newest);
        for (leaves, reached) in looks {
            let found = find(&db, wanted, span, 2).await?;
            let places: Vec<u64> = found.items.iter().map(|told| told.leaf_index).collect();
            assert_eq!((places, found.reached), (leaves, reached));
            if newest {
                span.until = found.reached;
            } else {
                span.after = found.reached;
            }
        }
    }
    let mut spoken = agents(&db, &span(1, 5, 1, false)).await?;
    spoken.sort_unstable();
    let mut expected = [1, 2, 3].map(|n| agent(n).0);
    expected.sort_unstable();
    assert_eq!(spoken, expected);
    Ok(())
}

/// A disk changes a bit of a body: the feed tells of the entry without it, and of the others with what they say.
#[sqlx::test(migrations = "../../migrations")]
async fn an_altered_body_is_not_told_and_holds_up_nobody(pool: PgPool) -> anyhow::Result<()> {
    let db = sealed(pool).await;
    let everything = Wanted::default();
    let before = read(&db, &everything, &span(0, 6, 9, false)).await?.items;
    // The first byte says what kind of value follows; the other one belongs to a text, so that the body parses still.
    for byte in ["0", "position('name'::bytea IN body)"] {
        let mut tx = db.pool().begin().await?;
        let flip = format!(
            "UPDATE journal.entries SET body = set_byte(body, {byte}, get_byte(body, {byte}) # 1)
              WHERE seq = (SELECT entry_seq FROM journal.leaves WHERE leaf_index = 3)"
        );
        for statement in ["SET LOCAL session_replication_role = replica", &flip] {
            sqlx::query(AssertSqlSafe(statement))
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        let mut told = read(&db, &everything, &span(0, 6, 9, false)).await?.items;
        assert_eq!(told[3].entry, None, "{byte}");
        told[3].entry.clone_from(&before[3].entry);
        assert_eq!(told, before, "{byte}");
    }
    Ok(())
}
