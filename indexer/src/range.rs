//! What is proven of which blocks. Ranges of a chain do not overlap, and neighbours that say the same are
//! one.

use std::collections::BTreeSet;

use kernel::B256;
use store::Tx;

use crate::{Result, level::Level, source::Proof};

/// Blocks with one proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// First block.
    pub from: i64,
    /// Last block.
    pub to: i64,
    /// What holds for all of them.
    pub proof: Proof,
    /// Who told their logs, without secrets; empty where the blocks themselves show them, or nobody knows.
    pub tellers: BTreeSet<String>,
}

impl Range {
    /// The part of it between two blocks. A cut end has no hash any more.
    fn part(&self, from: i64, to: i64) -> Option<Self> {
        let (from, to) = (from.max(self.from), to.min(self.to));
        let proof = Proof {
            level: self.proof.level,
            below: self.proof.below.filter(|_| from == self.from),
            top: self.proof.top.filter(|_| to == self.to),
        };
        let tellers = self.tellers.clone();
        (from <= to).then_some(Self {
            from,
            to,
            proof,
            tellers,
        })
    }

    /// Both as one, where they touch, say the same, and their ends meet.
    fn joined(&self, next: &Self) -> Option<Self> {
        let same = self.to + 1 == next.from
            && self.proof.level == next.proof.level
            && self.tellers == next.tellers
            && self.proof.top == next.proof.below;
        same.then(|| Self {
            from: self.from,
            to: next.to,
            proof: Proof {
                top: next.proof.top,
                ..self.proof
            },
            tellers: self.tellers.clone(),
        })
    }
}

/// Says what is proven of a range, whatever was said of its blocks before. The range is of the branch that is
/// stored: where it cuts another one, that one ends in the block that the range names as its parent.
pub async fn put(tx: &mut Tx, chain: u64, range: Range) -> Result<()> {
    let near = take(tx, chain, range.from - 1, range.to + 1).await?;
    let below = near.iter().filter_map(|near| {
        let mut part = near.part(i64::MIN, range.from - 1)?;
        if near.to >= range.from {
            part.proof.top = part.proof.below.and(range.proof.below);
        }
        Some(part)
    });
    let above = near.iter().filter_map(|near| {
        let mut part = near.part(range.to + 1, i64::MAX)?;
        if near.from <= range.to {
            part.proof.below = part.proof.top.and(range.proof.top);
        }
        Some(part)
    });
    let mut kept: Vec<Range> = Vec::new();
    for range in below.chain([range.clone()]).chain(above) {
        match kept.last().and_then(|last| last.joined(&range)) {
            Some(joined) => *kept.last_mut().expect("a last one was joined") = joined,
            None => kept.push(range),
        }
    }
    insert(tx, chain, &kept).await
}

/// Forgets what was said above a block, whose hash is `top` where it is known.
pub async fn cut_above(tx: &mut Tx, chain: u64, to: i64, top: Option<B256>) -> Result<()> {
    let cut = take(tx, chain, to + 1, i64::MAX).await?;
    let mut kept: Vec<Range> = cut
        .iter()
        .filter_map(|range| range.part(i64::MIN, to))
        .collect();
    for range in &mut kept {
        range.proof.top = range.proof.below.and(top);
    }
    insert(tx, chain, &kept).await
}

/// The highest range at or below `to` that is one provider's word alone, with the hash that the range
/// directly above names as its last block's.
pub async fn unproven(
    db: &store::Db,
    chain: u64,
    to: i64,
) -> Result<Option<(Range, Option<B256>)>> {
    let row = sqlx::query!(
        r#"SELECT r.from_block, least(r.to_block, $2) AS "to_block!", r.level, r.tellers, u.below_hash AS "above?"
             FROM chain.ranges r
             LEFT JOIN chain.ranges u ON u.chain_id = r.chain_id AND u.from_block = r.to_block + 1
                                     AND r.to_block <= $2
            WHERE r.chain_id = $1 AND r.from_block <= $2 AND r.level = 'reported'
            ORDER BY r.from_block DESC LIMIT 1"#,
        chain.cast_signed(),
        to,
    )
    .fetch_optional(db.pool())
    .await?;
    Ok(row.map(|row| {
        let range = Range {
            from: row.from_block,
            to: row.to_block,
            proof: Proof {
                level: Level::parse(&row.level),
                ..Proof::REPORTED
            },
            tellers: row.tellers.into_iter().collect(),
        };
        let above = row
            .above
            .and_then(|hash| B256::try_from(hash.as_slice()).ok());
        (range, above)
    }))
}

/// The least and the most that is said of any block of a range; of blocks of which nothing is said, one provider's
/// word.
pub async fn span(tx: &mut Tx, chain: u64, from: i64, to: i64) -> Result<(Level, Level)> {
    let rows = sqlx::query!(
        r#"SELECT level, sum(least(to_block, $3) - greatest(from_block, $2) + 1)::bigint AS "blocks!"
             FROM chain.ranges WHERE chain_id = $1 AND from_block <= $3 AND to_block >= $2
            GROUP BY level"#,
        chain.cast_signed(),
        from,
        to,
    )
    .fetch_all(tx.conn())
    .await?;
    let told: i64 = rows.iter().map(|row| row.blocks).sum();
    let levels = || rows.iter().map(|row| Level::parse(&row.level));
    let lowest = levels().min().filter(|_| told == to - from + 1);
    let least = Level::Reported;
    Ok((lowest.unwrap_or(least), levels().max().unwrap_or(least)))
}

/// Who told the logs of some blocks, both ends included, where that is known: first and last block of each part.
pub async fn tellers(
    tx: &mut Tx,
    chain: u64,
    from: i64,
    to: i64,
) -> Result<Vec<(i64, i64, Vec<String>)>> {
    let rows = sqlx::query!(
        "SELECT from_block, to_block, tellers FROM chain.ranges
          WHERE chain_id = $1 AND from_block <= $3 AND to_block >= $2 AND tellers <> '{}'
          ORDER BY from_block",
        chain.cast_signed(),
        from,
        to,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.from_block, row.to_block, row.tellers))
        .collect())
}

/// Deletes the ranges that touch some blocks, and gives them, ascending.
async fn take(tx: &mut Tx, chain: u64, from: i64, to: i64) -> Result<Vec<Range>> {
    let rows = sqlx::query!(
        "DELETE FROM chain.ranges
          WHERE chain_id = $1 AND from_block <= $3 AND to_block >= $2
         RETURNING from_block, to_block, level, below_hash, top_hash, tellers",
        chain.cast_signed(),
        from,
        to,
    )
    .fetch_all(tx.conn())
    .await?;
    let hash =
        |bytes: Option<Vec<u8>>| bytes.and_then(|bytes| B256::try_from(bytes.as_slice()).ok());
    let mut ranges: Vec<Range> = rows
        .into_iter()
        .map(|row| Range {
            from: row.from_block,
            to: row.to_block,
            proof: Proof {
                level: Level::parse(&row.level),
                below: hash(row.below_hash),
                top: hash(row.top_hash),
            },
            tellers: row.tellers.into_iter().collect(),
        })
        .collect();
    ranges.sort_unstable_by_key(|range| range.from);
    Ok(ranges)
}

async fn insert(tx: &mut Tx, chain: u64, ranges: &[Range]) -> Result<()> {
    for range in ranges {
        let Range {
            from,
            to,
            proof,
            tellers,
        } = range;
        let tellers: Vec<&str> = tellers.iter().map(String::as_str).collect();
        sqlx::query!(
            "INSERT INTO chain.ranges
                    (chain_id, from_block, to_block, level, below_hash, top_hash, tellers)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            chain.cast_signed(),
            from,
            to,
            proof.level.as_str(),
            proof.below.map(|hash| hash.to_vec()),
            proof.top.map(|hash| hash.to_vec()),
            &tellers as &[&str],
        )
        .execute(tx.conn())
        .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(from: i64, to: i64, level: Level, below: u8, top: u8) -> Range {
        let hash = |byte: u8| (byte > 0).then(|| B256::repeat_byte(byte));
        Range {
            from,
            to,
            proof: Proof {
                level,
                below: hash(below),
                top: hash(top),
            },
            tellers: BTreeSet::new(),
        }
    }

    #[test]
    fn neighbours_are_one_where_they_say_the_same_and_their_ends_meet() {
        let (proven, reported) = (Level::Proven, Level::Reported);
        let low = range(0, 4, proven, 1, 2);
        let joined = low.joined(&range(5, 9, proven, 2, 3));
        assert_eq!(joined, Some(range(0, 9, proven, 1, 3)));
        for other in [
            range(5, 9, proven, 7, 3),
            range(5, 9, proven, 0, 0),
            range(5, 9, Level::Bloom, 2, 3),
            range(6, 9, proven, 2, 3),
        ] {
            assert_eq!(low.joined(&other), None, "{other:?}");
        }
        let told = |from, to, tellers: &[&str]| Range {
            tellers: tellers.iter().map(ToString::to_string).collect(),
            ..range(from, to, reported, 0, 0)
        };
        for (one, other, is_joined) in [
            (&[][..], &[][..], true),
            (&["a"], &["a"], true),
            (&["a", "b"], &["b", "a"], true),
            (&["a"], &["b"], false),
            (&["a"], &[], false),
            (&["a"], &["a", "b"], false),
        ] {
            let joined = told(0, 4, one).joined(&told(5, 9, other));
            let expected = is_joined.then(|| told(0, 9, one));
            assert_eq!(joined, expected, "{one:?} {other:?}");
        }
    }

    #[test]
    fn a_cut_end_has_no_hash_any_more() {
        let whole = range(0, 9, Level::Proven, 1, 2);
        assert_eq!(whole.part(i64::MIN, i64::MAX), Some(whole.clone()));
        assert_eq!(whole.part(3, 20), Some(range(3, 9, Level::Proven, 0, 2)));
        assert_eq!(whole.part(10, 20), None);
    }
}
