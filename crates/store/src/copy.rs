//! Rows in the binary format of COPY: the way in for thousands of rows at once. Values are put in the order
//! of the statement's columns; Postgres reads them without parsing text.
//!
//! The compiler does not check a COPY's columns against the schema; a value of another type than its column
//! is refused when it is read, so that every statement needs a test that runs it.

use chrono::{DateTime, Utc};
use kernel::U256;
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{Error, Result, Tx};

/// What the format begins with: its signature, no flags, no extension.
const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What it ends with.
const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();
/// The length of a NULL.
const NULL: [u8; 4] = (-1_i32).to_be_bytes();
/// Microseconds from 1970 to 2000, where Postgres counts from.
const EPOCH: i64 = 946_684_800_000_000;
/// Bytes of one message: the rest waits here and not in the connection's buffer.
const PIECE: usize = 64 * 1024;
/// Postgres' own numbers of the types that arrays have.
const BYTEA: i32 = 17;
const TEXT: i32 = 25;
const JSONB: i32 = 3802;

/// Rows that wait to be copied into one table.
#[derive(Debug, Clone)]
pub struct Rows {
    bytes: Vec<u8>,
    columns: i16,
    count: usize,
}

/// Where a value stands that is told later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Later(usize);

impl Rows {
    /// No rows yet, of a statement with so many columns.
    pub fn new(columns: i16) -> Self {
        Self {
            bytes: HEADER.to_vec(),
            columns,
            count: 0,
        }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Begins a row; as many values follow as there are columns.
    pub fn row(&mut self) -> &mut Self {
        self.count += 1;
        self.bytes.extend_from_slice(&self.columns.to_be_bytes());
        self
    }

    /// NULL, of any type.
    pub fn null(&mut self) -> &mut Self {
        self.bytes.extend_from_slice(&NULL);
        self
    }

    /// A `bytea`.
    pub fn bytea(&mut self, bytes: &[u8]) -> &mut Self {
        self.length(bytes.len());
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// A `text`, `varchar` or label of an enum.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.bytea(text.as_bytes())
    }

    /// A `boolean`.
    pub fn boolean(&mut self, value: bool) -> &mut Self {
        self.bytea(&[u8::from(value)])
    }

    /// A `smallint`.
    pub fn smallint(&mut self, value: i16) -> &mut Self {
        self.bytea(&value.to_be_bytes())
    }

    /// An `integer`.
    pub fn integer(&mut self, value: i32) -> &mut Self {
        self.bytea(&value.to_be_bytes())
    }

    /// A `bigint`.
    pub fn bigint(&mut self, value: i64) -> &mut Self {
        self.bytea(&value.to_be_bytes())
    }

    /// A `bigint` that is told later, by [`Rows::tell`].
    pub fn bigint_later(&mut self) -> Later {
        self.bigint(0);
        Later(self.bytes.len() - 8)
    }

    /// Tells a value that was left open.
    pub fn tell(&mut self, later: Later, value: i64) {
        self.bytes[later.0..later.0 + 8].copy_from_slice(&value.to_be_bytes());
    }

    /// A `double precision`.
    pub fn double(&mut self, value: f64) -> &mut Self {
        self.bytea(&value.to_be_bytes())
    }

    /// A `uuid`.
    pub fn uuid(&mut self, value: Uuid) -> &mut Self {
        self.bytea(value.as_bytes())
    }

    /// A `timestamptz`.
    pub fn time(&mut self, value: DateTime<Utc>) -> &mut Self {
        self.bigint(value.timestamp_micros() - EPOCH)
    }

    /// A `jsonb`. Errors where the value has no JSON.
    pub fn jsonb(&mut self, value: &impl Serialize) -> Result<&mut Self> {
        let start = self.begin();
        // The version of the format.
        self.bytes.push(1);
        serde_json::to_writer(&mut self.bytes, value)
            .map_err(|error| Error::Encoding(error.to_string()))?;
        Ok(self.end(start))
    }

    /// A `numeric`: digits to the base of 10,000, the highest first.
    pub fn numeric(&mut self, mut value: U256) -> &mut Self {
        let base = U256::from(10_000);
        let mut digits: Vec<u16> = Vec::new();
        while !value.is_zero() {
            let (rest, digit) = value.div_rem(base);
            digits.push(digit.to());
            value = rest;
        }
        let count = u16::try_from(digits.len()).unwrap_or(u16::MAX);
        self.length(8 + 2 * digits.len());
        // Digits, weight of the first one, sign and scale: a positive integer.
        for word in [count, count.wrapping_sub(1), 0, 0] {
            self.bytes.extend_from_slice(&word.to_be_bytes());
        }
        for digit in digits.iter().rev() {
            self.bytes.extend_from_slice(&digit.to_be_bytes());
        }
        self
    }

    /// A `bytea[]` of one dimension.
    pub fn bytea_array<'a>(&mut self, items: impl ExactSizeIterator<Item = &'a [u8]>) -> &mut Self {
        let start = self.begin_array(BYTEA, items.len());
        for item in items {
            self.bytea(item);
        }
        self.end(start)
    }

    /// A `text[]` of one dimension.
    pub fn text_array<'a>(&mut self, items: impl ExactSizeIterator<Item = &'a str>) -> &mut Self {
        let start = self.begin_array(TEXT, items.len());
        for item in items {
            self.text(item);
        }
        self.end(start)
    }

    /// A `jsonb[]` of one dimension. Errors where a value has no JSON.
    pub fn jsonb_array<'a, T: Serialize + 'a>(
        &mut self,
        items: impl ExactSizeIterator<Item = &'a T>,
    ) -> Result<&mut Self> {
        let start = self.begin_array(JSONB, items.len());
        for item in items {
            self.jsonb(item)?;
        }
        Ok(self.end(start))
    }

    /// The value where there is one, else NULL.
    pub fn maybe<T>(
        &mut self,
        value: Option<T>,
        put: impl FnOnce(&mut Self, T) -> &mut Self,
    ) -> &mut Self {
        match value {
            Some(value) => put(self, value),
            None => self.null(),
        }
    }

    /// Copies the rows by `statement`, a `COPY ... FROM STDIN (FORMAT binary)` into columns of these types, and
    /// leaves none here. Nothing is sent where there are none.
    pub async fn copy(&mut self, tx: &mut Tx, statement: &'static str) -> Result<(), sqlx::Error> {
        if self.is_empty() {
            return Ok(());
        }
        self.bytes.extend_from_slice(&TRAILER);
        tx.set_copying(true);
        let sent = self.send(tx.conn(), statement).await;
        tx.set_copying(false);
        sent?;
        self.bytes.truncate(HEADER.len());
        self.count = 0;
        Ok(())
    }

    async fn send(
        &self,
        conn: &mut PgConnection,
        statement: &'static str,
    ) -> Result<(), sqlx::Error> {
        let mut copy = conn.copy_in_raw(statement).await?;
        for piece in self.bytes.chunks(PIECE) {
            copy.send(piece).await?;
        }
        copy.finish().await?;
        Ok(())
    }

    fn begin_array(&mut self, of: i32, count: usize) -> usize {
        let start = self.begin();
        let dimensions = i32::from(count > 0);
        for word in [dimensions, 0, of] {
            self.bytes.extend_from_slice(&word.to_be_bytes());
        }
        if count > 0 {
            self.bytes.extend_from_slice(&wire_length(count));
            // Where the places begin.
            self.bytes.extend_from_slice(&1_i32.to_be_bytes());
        }
        start
    }

    /// Begins a value whose length is known at its [`Rows::end`].
    fn begin(&mut self) -> usize {
        self.length(0);
        self.bytes.len()
    }

    fn end(&mut self, start: usize) -> &mut Self {
        let length = wire_length(self.bytes.len() - start);
        self.bytes[start - 4..start].copy_from_slice(&length);
        self
    }

    fn length(&mut self, bytes: usize) {
        self.bytes.extend_from_slice(&wire_length(bytes));
    }
}

/// A length as it stands before a value. A value of more than 2 GiB is none of ours, and Postgres refuses it.
fn wire_length(bytes: usize) -> [u8; 4] {
    i32::try_from(bytes).unwrap_or(i32::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use sqlx::Row as _;

    use super::*;
    use crate::{Cause, Clock, Db};

    #[sqlx::test(migrations = false)]
    async fn values_arrive_as_they_are(pool: sqlx::PgPool) -> anyhow::Result<()> {
        let db = Db::from_pool(pool, Clock::System);
        let mut tx = db.begin(Cause::Job("test")).await?;
        sqlx::raw_sql(
            "CREATE TYPE public.mood AS ENUM ('sad', 'glad');
             CREATE TABLE public.all_types (
                a bytea, b text, c boolean, d smallint, e integer, f bigint, g double precision, h uuid,
                i timestamptz, j jsonb, k numeric(78, 0), l bytea[], m public.mood, n text[], o jsonb[])",
        )
        .execute(tx.conn())
        .await?;
        let time = DateTime::parse_from_rfc3339("1969-07-20T20:17:40.000001Z")?.to_utc();
        let numbers = [
            U256::ZERO,
            U256::from(1),
            U256::from(9_999),
            U256::from(10_000),
            U256::from(120_000_000),
            U256::MAX,
        ];
        let mut rows = Rows::new(15);
        for number in numbers {
            rows.row()
                .bytea(b"\0\xff")
                .text("ä")
                .boolean(true)
                .smallint(-2)
                .integer(i32::MIN);
            let later = rows.bigint_later();
            rows.double(0.5)
                .uuid(Uuid::from_u128(7))
                .time(time)
                .jsonb(&json!({ "a": [1, null] }))?
                .numeric(number)
                .bytea_array([&b"x"[..], b""].into_iter())
                .text("glad")
                .text_array(["ä", ""].into_iter())
                .jsonb_array([json!(null), json!({ "b": "," })].iter())?;
            rows.tell(later, i64::MAX);
        }
        rows.row();
        for _ in 0..11 {
            rows.null();
        }
        rows.bytea_array([].into_iter())
            .maybe(None::<&str>, Rows::text)
            .text_array([].into_iter())
            .jsonb_array::<Value>([].iter())?;
        assert_eq!(rows.len(), 7);
        rows.copy(&mut tx, "COPY public.all_types FROM STDIN (FORMAT binary)")
            .await?;
        assert!(rows.is_empty());
        rows.copy(&mut tx, "COPY public.nothing FROM STDIN (FORMAT binary)")
            .await?;
        let found = sqlx::query("SELECT row_to_json(t)::text, k::text FROM public.all_types t")
            .fetch_all(tx.conn())
            .await?;
        assert_eq!(found.len(), 7);
        for (row, number) in found.iter().zip(numbers) {
            let text: String = row.get(0);
            let expected = format!(
                r#"{{"a":"\\x00ff","b":"ä","c":true,"d":-2,"e":-2147483648,"f":9223372036854775807,"g":0.5,"h":"00000000-0000-0000-0000-000000000007","i":"1969-07-20T20:17:40.000001+00:00","j":{{"a": [1, null]}},"k":{number},"l":["\\x78","\\x"],"m":"glad","n":["ä",""],"o":[null,{{"b": ","}}]}}"#
            );
            assert_eq!(text, expected);
            assert_eq!(row.get::<String, _>(1), number.to_string());
        }
        let nulls: String = found[6].get(0);
        assert_eq!(nulls.matches("null").count(), 12);
        assert!(nulls.contains(r#""l":[],"m":null,"n":[],"o":[]"#));
        Ok(())
    }

    #[sqlx::test(migrations = false)]
    async fn a_refused_row_ends_the_transaction_and_not_the_connection(
        pool: sqlx::PgPool,
    ) -> anyhow::Result<()> {
        let db = Db::from_pool(pool, Clock::System);
        let mut tx = db.begin(Cause::Job("test")).await?;
        sqlx::raw_sql("CREATE TABLE public.t (a integer PRIMARY KEY)")
            .execute(tx.conn())
            .await?;
        let mut rows = Rows::new(1);
        for _ in 0..100_000 {
            rows.row().integer(1);
        }
        let error = rows
            .copy(&mut tx, "COPY public.t FROM STDIN (FORMAT binary)")
            .await;
        let error = error.expect_err("a key twice");
        let constraint = error
            .as_database_error()
            .and_then(|error| error.constraint());
        assert_eq!(constraint, Some("t_pkey"));
        tx.rollback().await?;
        let mut tx = db.begin(Cause::Job("test")).await?;
        sqlx::raw_sql("SELECT 1").execute(tx.conn()).await?;
        Ok(())
    }
    /// As a request's handler is when its client hangs up.
    #[sqlx::test(migrations = false)]
    async fn who_is_dropped_while_copying_leaves_nothing_to_the_next(
        pool: sqlx::PgPool,
    ) -> anyhow::Result<()> {
        let one = sqlx::postgres::PgPoolOptions::new().max_connections(1);
        let options = (*pool.connect_options()).clone();
        let db = Db::from_pool(one.connect_with(options).await?, Clock::System);
        let mut watched = pool.acquire().await?;
        sqlx::raw_sql(
            "CREATE TABLE public.t (a integer);
             CREATE FUNCTION public.wait() RETURNS trigger LANGUAGE plpgsql AS
                 'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NEW; END';
             CREATE TRIGGER waits BEFORE INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION public.wait();
             SELECT pg_advisory_lock(1)",
        )
        .execute(&mut *watched)
        .await?;
        let copying = {
            let db = db.clone();
            tokio::spawn(async move {
                let mut tx = db.begin(Cause::Job("test")).await.expect("begins");
                let mut rows = Rows::new(1);
                rows.row().integer(1);
                rows.copy(&mut tx, "COPY public.t FROM STDIN (FORMAT binary)")
                    .await
            })
        };
        let waits =
            "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))";
        while !sqlx::query_scalar::<_, bool>(waits)
            .fetch_one(&mut *watched)
            .await?
        {}
        copying.abort();
        assert!(copying.await.expect_err("aborted").is_cancelled());
        sqlx::raw_sql("SELECT pg_advisory_unlock_all()")
            .execute(&mut *watched)
            .await?;
        let mut tx = db.begin(Cause::Job("test")).await?;
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM public.t")
            .fetch_one(tx.conn())
            .await?;
        assert_eq!(count, 0);
        tx.commit().await?;
        db.close().await;
        Ok(())
    }
}
