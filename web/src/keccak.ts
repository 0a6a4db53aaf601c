// Keccak-256, for the checksum of addresses (EIP-55): EIP-4361 wants them in that form, and wallets give them in any.

const MASK = (1n << 64n) - 1n;
const RATE = 136;

const turn = (lane: bigint, by: number) => (by === 0 ? lane : ((lane << BigInt(by)) | (lane >> BigInt(64 - by))) & MASK);

/** Keccak-f[1600]; the state is 25 lanes, x first. */
function permute(a: bigint[]) {
  let register = 1;
  for (let round = 0; round < 24; round++) {
    const at = (index: number) => a[index] as bigint;
    const columns = [0, 1, 2, 3, 4].map((x) => at(x) ^ at(x + 5) ^ at(x + 10) ^ at(x + 15) ^ at(x + 20));
    for (let x = 0; x < 5; x++) {
      const mixed = (columns[(x + 4) % 5] as bigint) ^ turn(columns[(x + 1) % 5] as bigint, 1);
      for (let y = 0; y < 25; y += 5) a[x + y] = at(x + y) ^ mixed;
    }
    let [x, y, moved] = [1, 0, at(1)];
    for (let step = 0; step < 24; step++) {
      [x, y] = [y, (2 * x + 3 * y) % 5];
      const next = at(x + 5 * y);
      a[x + 5 * y] = turn(moved, (((step + 1) * (step + 2)) / 2) % 64);
      moved = next;
    }
    for (let row = 0; row < 25; row += 5) {
      const lanes = a.slice(row, row + 5);
      for (let column = 0; column < 5; column++) {
        const [one, two] = [lanes[(column + 1) % 5] as bigint, lanes[(column + 2) % 5] as bigint];
        a[row + column] = (lanes[column] as bigint) ^ (~one & MASK & two);
      }
    }
    for (let bit = 0; bit < 7; bit++) {
      if (register & 1) a[0] = at(0) ^ (1n << BigInt((1 << bit) - 1));
      register = register & 0x80 ? ((register << 1) ^ 0x171) & 0xff : register << 1;
    }
  }
}

export function keccak256(bytes: Uint8Array): Uint8Array {
  const padded = new Uint8Array((Math.floor(bytes.length / RATE) + 1) * RATE);
  padded.set(bytes);
  padded[bytes.length] = (padded[bytes.length] as number) | 1;
  padded[padded.length - 1] = (padded[padded.length - 1] as number) | 0x80;
  const state: bigint[] = Array<bigint>(25).fill(0n);
  const view = new DataView(padded.buffer);
  for (let block = 0; block < padded.length; block += RATE) {
    for (let lane = 0; lane < RATE / 8; lane++) state[lane] = (state[lane] as bigint) ^ view.getBigUint64(block + lane * 8, true);
    permute(state);
  }
  const digest = new DataView(new ArrayBuffer(32));
  for (let lane = 0; lane < 4; lane++) digest.setBigUint64(lane * 8, state[lane] as bigint, true);
  return new Uint8Array(digest.buffer);
}

/** An address as EIP-55 writes it. */
export function checksummed(address: string): string {
  const digits = address.slice(2).toLowerCase();
  const hash = keccak256(new TextEncoder().encode(digits));
  const cased = [...digits].map((digit, at) => {
    const byte = hash[at >> 1] as number;
    const nibble = at % 2 === 0 ? byte >> 4 : byte & 15;
    return nibble >= 8 ? digit.toUpperCase() : digit;
  });
  return `0x${cased.join("")}`;
}
