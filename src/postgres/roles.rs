//! The roles and the database of the private cluster.

use sqlx::PgConnection;

use super::Error;

/// The cluster's superuser; only this file uses it.
pub const SUPERUSER: &str = "postgres";
/// Who owns the schema: migrations and people at psql.
pub const OWNER: &str = "chancery_owner";
/// Who the application is.
pub const APP: &str = "chancery_app";
/// The database.
pub const DATABASE: &str = "chancery";

/// Makes what is missing.
pub async fn ensure(conn: &mut PgConnection) -> Result<(), Error> {
    for (role, statement) in [
        (OWNER, "CREATE ROLE chancery_owner LOGIN"),
        (APP, "CREATE ROLE chancery_app LOGIN"),
    ] {
        if !exists(
            conn,
            "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)",
            role,
        )
        .await?
        {
            sqlx::raw_sql(statement)
                .execute(&mut *conn)
                .await
                .map_err(Error::Sql)?;
        }
    }
    if !exists(
        conn,
        "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)",
        DATABASE,
    )
    .await?
    {
        let statement = "CREATE DATABASE chancery OWNER chancery_owner";
        sqlx::raw_sql(statement)
            .execute(&mut *conn)
            .await
            .map_err(Error::Sql)?;
    }
    Ok(())
}

async fn exists(conn: &mut PgConnection, query: &'static str, name: &str) -> Result<bool, Error> {
    sqlx::query_scalar(query)
        .bind(name)
        .fetch_one(conn)
        .await
        .map_err(Error::Sql)
}
