use std::iter::successors;

use super::*;
use crate::{proof::verify_inclusion, testing::db, tree::node_hash};
use sqlx::PgPool;

/// Leaves of the log: three levels of tiles, none of which is full at the right edge.
const SIZE: u64 = 10_000_000;

/// A log of ten million equal leaves, of which Postgres has nothing but the right edge and the tiles over the leaves
/// that are asked for: a proof that read anything else would not find it. Gives the hashes of perfect trees of such
/// leaves, by their levels.
async fn sparse(pool: &PgPool, asked: &[u64]) -> sqlx::Result<Vec<Hash>> {
    let leaf = [7; 32];
    let higher = |hash: &Hash| Some(node_hash(hash, hash));
    let perfect: Vec<Hash> = successors(Some(leaf), higher).take(25).collect();
    let full = |level: u8| size_at(SIZE, level + 1);
    let edges = [0_u8, 1].into_iter().flat_map(|level| {
        let first = full(level) - full(level) % TILE_WIDTH;
        (first..full(level)).map(move |n| (level, n))
    });
    let over = asked.iter().map(|index| (0, index / TILE_WIDTH));
    let tiles: BTreeSet<(u8, u64)> = edges.chain(over.filter(|tile| tile.1 < full(0))).collect();
    for (level, n) in tiles {
        let height = usize::from(level) * 8;
        sqlx::query("INSERT INTO journal.tiles (level, n, hashes, root) VALUES ($1, $2, $3, $4)")
            .bind(i16::from(level))
            .bind(sql(n))
            .bind(perfect[height].repeat(256))
            .bind(perfect[height + 8].to_vec())
            .execute(pool)
            .await?;
    }
    sqlx::query(
        "INSERT INTO journal.leaves (leaf_index, entry_seq, leaf_hash)
         SELECT n, n + 1, $3 FROM generate_series($1, $2) n",
    )
    .bind(sql(full(0) * TILE_WIDTH))
    .bind(sql(SIZE - 1))
    .bind(perfect[0].to_vec())
    .execute(pool)
    .await?;
    Ok(perfect)
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_proof_of_ten_million_entries_reads_five_tiles(pool: PgPool) -> anyhow::Result<()> {
    let asked = [
        0, 255, 131_072, 4_589_825, 9_961_472, 9_999_871, 9_999_872, 9_999_999,
    ];
    let perfect = sparse(&pool, &asked).await?;
    let peaks = peaks(0..SIZE);
    let hashes: Vec<Hash> = peaks
        .iter()
        .map(|node| perfect[usize::from(node.level)])
        .collect();
    let root = fold_peaks(&hashes);
    let db = db(pool);
    let mut conn = db.pool().acquire().await?;
    let mut most = 0;
    for index in asked {
        let ranges = inclusion_ranges(index, SIZE).expect("a leaf");
        let read = tiles_of(&mut conn, &nodes(&ranges), SIZE).await?;
        assert!(read.len() <= 5, "leaf {index}: {:?}", read.keys());
        most = most.max(read.len());
        let proof = inclusion_on(&mut conn, index, SIZE).await?;
        assert_eq!(
            verify_inclusion(&perfect[0], index, SIZE, &proof, &root),
            Ok(()),
            "leaf {index}"
        );
    }
    assert_eq!(most, 5);
    // Nor is there an entry that needs more.
    for index in (0..SIZE).step_by(4_999) {
        let ranges = inclusion_ranges(index, SIZE).expect("a leaf");
        let nodes = nodes(&ranges);
        let places: BTreeSet<_> = nodes.iter().flatten().map(|node| place(*node).0).collect();
        assert!(places.len() <= 5, "leaf {index}: {places:?}");
    }
    Ok(())
}
