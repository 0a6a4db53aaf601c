// Heads go on from the last one or are refused, whatever their keeper says.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { accounts, refusal, startChain } from './support/chain.mjs';
import { decodeLogs } from './support/registry.mjs';
import { consistency, hex, leaf, root } from './support/tree.mjs';

const [, alice, mallory] = accounts;
const MOST = 21;
const leaves = Array.from({ length: 1 << 10 }, (_, n) => leaf(Buffer.from(`entry ${n}`)));
const rootOf = (size) => hex(root(leaves.slice(0, size)));
const proof = (from, to) => (from === 0 ? [] : consistency(from, leaves.slice(0, to)).map(hex));
const name = (n) => `0x${n.toString(16).padStart(64, '0')}`;

let chain;
let audit;
let journals = 0;

before(async () => {
  chain = await startChain();
  audit = await chain.deploy('AuditAnchor');
});
after(() => chain.stop());

const anchor = (journal, size, top, path, from = alice) =>
  chain.send(audit, from, 'anchor', [journal, BigInt(size), top, path]);
const tried = (journal, size, top, path) => {
  const args = [journal, BigInt(size), top, path];
  return chain.client.simulateContract({ ...audit, account: alice, functionName: 'anchor', args });
};
const head = (journal, keeper = alice) => chain.read(audit, 'head', [keeper.address, journal]);

/** A journal whose head has `size` entries; 0: none yet. */
async function journalOf(size) {
  const journal = name(++journals);
  if (size > 0) await anchor(journal, size, rootOf(size), []);
  return journal;
}

const flipped = (hash) => hex(Buffer.from(hash.slice(2), 'hex').map((byte, at) => (at === 31 ? byte ^ 1 : byte)));

test('the log says whose journal it is, how long, and by which root', async () => {
  const journal = await journalOf(0);
  assert.deepEqual(await head(journal), { root: name(0), size: 0n, time: 0n });
  const said = { keeper: alice.address, journal, size: 3n, root: rootOf(3) };
  assert.deepEqual(decodeLogs(audit, await anchor(journal, 3, rootOf(3), [])), [['Anchored', said]]);
  assert.deepEqual(await head(journal), { root: rootOf(3), size: 3n, time: await chain.now() });
});

test('every pair of sizes is taken with its proof, and refused with any part of it changed', async () => {
  for (let first = 1; first < MOST; first++) {
    const journal = await journalOf(first);
    for (let second = first + 1; second <= MOST; second++) {
      const path = proof(first, second);
      const wrong = [
        [flipped(rootOf(second)), path],
        [rootOf(second), path.slice(1)],
        [rootOf(second), path.slice(0, -1)],
        [rootOf(second), [...path, name(7)]],
        [rootOf(second), path.map((hash, at) => (at === (first * second) % path.length ? flipped(hash) : hash))],
      ];
      for (const [top, told] of wrong) {
        assert.equal(await refusal(tried(journal, second, top, told)), 'Inconsistent', `${first} to ${second}`);
      }
      await tried(journal, second, rootOf(second), path);
    }
  }
});

test('a journal grows from head to head', async () => {
  const journal = await journalOf(0);
  let last = 0;
  for (const size of [1, 2, 3, 4, 7, 8, 15, 16, 17, 255, 256, 300, 1023, 1024]) {
    await anchor(journal, size, rootOf(size), proof(last, size));
    last = size;
  }
  assert.equal((await head(journal)).size, 1024n);
});

test('the published proof of a log of 15 entries is taken', async () => {
  // transparency-dev/tessera, testdata/log: from 7 entries to 15.
  const entries = 'one two three four five six seven eit nain ten ileven twelf threeten fourten fivten'.split(' ');
  const golden = entries.map((entry) => leaf(Buffer.from(entry)));
  const published = [
    '2Q0P5jSR+TdkwdXWyx+GbBWX0KZbNZkWzCjyTPSozsw=',
    'ThcgoV2DYcK+VCxBUDWAlNxmLy2r7dq7dK7+OlgQKWs=',
    'ycRkkNklus5eMVRUvkD1pK321vMrA+jjOiZKU8aOcY4=',
    'zY1lN35vrXYAPixXSd59LsU29xUJtuW4o2dNNg5Y2Co=',
    '5jLpqTgjsBDSEX6SgZiRnbTMdTuRd8bQ5tSsAOxe0Ks=',
  ].map((text) => hex(Buffer.from(text, 'base64')));
  const journal = name(++journals);
  await anchor(journal, 7, hex(root(golden.slice(0, 7))), []);
  const top = hex(Buffer.from('rKbDipCvhuX1GZ7g5BBe8sA6BbJ7ja/1nk427v383cs=', 'base64'));
  await anchor(journal, 15, top, published);
});

test('the same head again says that it still stands; another of its size is refused', async () => {
  const journal = await journalOf(5);
  const before = await head(journal);
  await chain.client.increaseTime({ seconds: 60 });
  await anchor(journal, 5, rootOf(5), []);
  const again = await head(journal);
  assert.deepEqual([again.size, again.root], [5n, rootOf(5)]);
  assert.ok(again.time >= before.time + 60n);
  assert.equal(await refusal(anchor(journal, 5, rootOf(6), [])), 'Inconsistent');
  assert.equal(await refusal(anchor(journal, 5, rootOf(5), [rootOf(5)])), 'Inconsistent');
});

test('a journal neither shrinks nor begins empty, nor with a proof of what nobody saw', async () => {
  const journal = await journalOf(5);
  assert.equal(await refusal(anchor(journal, 4, rootOf(4), [])), 'Rollback');
  assert.equal(await refusal(anchor(journal, 0, name(0), [])), 'EmptyHead');
  const none = await journalOf(0);
  assert.equal(await refusal(anchor(none, 0, name(0), [])), 'EmptyHead');
  assert.equal(await refusal(anchor(none, 5, rootOf(5), proof(3, 5))), 'Inconsistent');
});

test('journals of one name and two keepers are two journals', async () => {
  const journal = await journalOf(5);
  await anchor(journal, 2, rootOf(2), [], mallory);
  assert.equal((await head(journal)).size, 5n);
  assert.equal((await head(journal, mallory)).size, 2n);
});

test('what an anchor costs grows with the proof alone', async () => {
  const cost = async (journal, size, path) => {
    const args = [journal, BigInt(size), rootOf(size), path];
    return Number(await chain.client.estimateContractGas({ ...audit, account: alice, functionName: 'anchor', args }));
  };
  const journal = await journalOf(0);
  const first = await cost(journal, 3, []);
  await anchor(journal, 3, rootOf(3), []);
  const heartbeat = await cost(journal, 3, []);
  const next = await cost(journal, 1000, proof(3, 1000));
  assert.ok(first < 80_000 && heartbeat < 40_000 && next < 70_000, `${first}, ${heartbeat}, ${next}`);
});
