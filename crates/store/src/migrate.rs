//! Migrations, up and down, and the two roles.
//!
//! Run by the owner role (`database.migrate_url`). The application's role may do everything in every
//! schema except change or delete what is in the journal; migrations that need finer rights say so.

use sqlx::{
    AssertSqlSafe, Connection, PgConnection, Row,
    migrate::{Migrate, Migration, MigrationType, Migrator},
};

use crate::{Error, Result};

/// Every migration, compiled in.
static MIGRATOR: Migrator = sqlx::migrate!("../../migrations");

/// The schemas that a person at `psql` need not spell out, first found first.
const SEARCH_PATH: &str = "public, identity, access, chain, content, journal, publish, store";

/// One migration as `migrate status` shows it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Status {
    /// The migration's number.
    pub version: i64,
    /// What it brings.
    pub description: String,
    /// Whether it is applied.
    pub applied: bool,
}

/// Applies what is missing, sets the database's `search_path` and the application role's rights.
///
/// `app_role` is created (without a password: the owner gives it one where the server wants it)
/// if it is missing and the owner may create roles.
pub async fn up(url: &str, app_role: &str) -> Result<Vec<Status>> {
    let mut conn = PgConnection::connect(url).await?;
    MIGRATOR
        .run(&mut conn)
        .await
        .map_err(|error| Error::Migration(error.to_string()))?;
    let database: String = sqlx::query("SELECT quote_ident(current_database())")
        .fetch_one(&mut conn)
        .await?
        .get(0);
    execute(
        &mut conn,
        format!("ALTER DATABASE {database} SET search_path = {SEARCH_PATH}"),
    )
    .await?;
    grant(&mut conn, app_role).await?;
    let status = status_on(&mut conn).await?;
    conn.close().await?;
    Ok(status)
}

/// Takes back every migration above `target`. The journal goes only with `drop_journal`: nothing
/// else can say what was said.
pub async fn down(url: &str, target: i64, drop_journal: bool) -> Result<Vec<Status>> {
    let mut conn = PgConnection::connect(url).await?;
    let journal = MIGRATOR
        .iter()
        .find(|migration| migration.description == "journal")
        .map_or(i64::MAX, |migration| migration.version);
    if target < journal && !drop_journal {
        return Err(Error::Migration(format!(
            "going down to {target} drops the journal, which nothing can bring back: \
             go down to {journal}, or say --drop-journal"
        )));
    }
    MIGRATOR
        .undo(&mut conn, target)
        .await
        .map_err(|error| Error::Migration(error.to_string()))?;
    let status = status_on(&mut conn).await?;
    conn.close().await?;
    Ok(status)
}

/// Which migrations are applied.
pub async fn status(url: &str) -> Result<Vec<Status>> {
    let mut conn = PgConnection::connect(url).await?;
    status_on(&mut conn).await
}

async fn status_on(conn: &mut PgConnection) -> Result<Vec<Status>> {
    conn.ensure_migrations_table("_sqlx_migrations")
        .await
        .map_err(|error| Error::Migration(error.to_string()))?;
    let applied: Vec<i64> = sqlx::query("SELECT version FROM _sqlx_migrations WHERE success")
        .fetch_all(&mut *conn)
        .await?
        .iter()
        .map(|row| row.get(0))
        .collect();
    let up = |migration: &&Migration| migration.migration_type == MigrationType::ReversibleUp;
    Ok(MIGRATOR
        .iter()
        .filter(up)
        .map(|migration| Status {
            version: migration.version,
            description: migration.description.to_string(),
            applied: applied.contains(&migration.version),
        })
        .collect())
}

async fn grant(conn: &mut PgConnection, role: &str) -> Result<()> {
    let row = sqlx::query(
        "SELECT quote_ident($1), EXISTS (SELECT FROM pg_roles WHERE rolname = $1), current_user = $1",
    )
    .bind(role)
    .fetch_one(&mut *conn)
    .await?;
    let (role, exists, is_owner): (String, bool, bool) = (row.get(0), row.get(1), row.get(2));
    if is_owner {
        // One role for both: allowed for trials, and the triggers still guard the journal.
        return Ok(());
    }
    if !exists {
        execute(conn, format!("CREATE ROLE {role} LOGIN")).await?;
    }
    let of_schema = |schema: &str| {
        let rights = if schema == "journal" {
            "SELECT, INSERT"
        } else {
            "SELECT, INSERT, UPDATE, DELETE"
        };
        format!(
            "GRANT USAGE ON SCHEMA {schema} TO {role};
             GRANT {rights} ON ALL TABLES IN SCHEMA {schema} TO {role};
             GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {role};"
        )
    };
    let mut statements: Vec<String> = [
        "store", "journal", "chain", "content", "identity", "publish", "access",
    ]
    .map(of_schema)
    .into();
    // The owner role executes what stands in the table: its functions alone write there.
    statements.push(format!(
        "REVOKE INSERT, UPDATE, DELETE ON store.deferred FROM {role};
         GRANT EXECUTE ON FUNCTION store.defer_indexes(), store.build_deferred(text) TO {role};"
    ));
    // What was seen is not rewritten; only whom it tells of is forgotten.
    statements.push(format!(
        "REVOKE UPDATE ON access.audit_logs FROM {role};
         GRANT UPDATE (ip_address, user_agent) ON access.audit_logs TO {role};"
    ));
    // All in one message, which is one transaction.
    execute(conn, statements.concat()).await?;
    Ok(())
}

async fn execute(conn: &mut PgConnection, statement: String) -> Result<()> {
    // Role and schema names cannot be parameters; they are quoted by Postgres itself or constants.
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(conn)
        .await?;
    Ok(())
}
