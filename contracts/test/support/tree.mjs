// The Merkle tree of RFC 6962, by the recursive definitions of its section 2.1: the oracle of the contract's loop.

import { createHash } from 'node:crypto';

const sha256 = (...parts) => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
};

/** The largest power of two that is smaller than `size`. */
function split(size) {
  let half = 1;
  while (half * 2 < size) half *= 2;
  return half;
}

export const leaf = (entry) => sha256(Buffer.of(0), entry);

/** Root of the tree with these leaf hashes. */
export function root(leaves) {
  if (leaves.length === 1) return leaves[0];
  const half = split(leaves.length);
  return sha256(Buffer.of(1), root(leaves.slice(0, half)), root(leaves.slice(half)));
}

/** The proof that the first `size` leaves, 1 or more, begin these. */
export function consistency(size, leaves, isWhole = true) {
  if (size === leaves.length) return isWhole ? [] : [root(leaves)];
  const half = split(leaves.length);
  const [left, right] = [leaves.slice(0, half), leaves.slice(half)];
  return size <= half
    ? [...consistency(size, left, isWhole), root(right)]
    : [...consistency(size - half, right, false), root(left)];
}

export const hex = (bytes) => `0x${Buffer.from(bytes).toString('hex')}`;
