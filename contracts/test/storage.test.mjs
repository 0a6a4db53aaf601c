// Storage slots are those of the deployed registry: a proof of a slot there means what it means here.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { concat, encodeAbiParameters, keccak256, numberToHex, pad, stringToHex, toHex } from 'viem';
import { accounts, startChain } from './support/chain.mjs';
import { deployRegistry, registerAgent } from './support/registry.mjs';

const IDENTITY = 0xa040f782729de4970518741823ec1276cbcd41a0c7493f62d173341566a04e00n;
const ERC721 = 0x80bb2b638cc20bc4d0a60d66940f3ab4a00c1d7b313497ca82fb0b4ab0079300n;
const URI_STORAGE = 0x0542a41881ee128a365a727b282c86fa859579490b9bb45aab8503648c8e7900n;
const OWNABLE = 0x9016d09d72d40fdae2fd8ceac6b6234c7706214fd39c1cd1e609a0528c199300n;
const INITIALIZABLE = 0xf0c57e16840df040f15088dc2f81fe391c3923bec73e23a9662efc9c229c6a00n;
const IMPLEMENTATION = 0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbcn;

const [deployer, alice, bob, carol] = accounts;

let chain;
let registry;
let implementation;

before(async () => {
  chain = await startChain();
  ({ registry, implementation } = await deployRegistry(chain));
});
after(() => chain.stop());

const word = (value) => numberToHex(value, { size: 32 });
const slotOf = (hash) => BigInt(hash);
const ofNumber = (slot, key) => slotOf(keccak256(concat([word(key), word(slot)])));
const ofAddress = (slot, key) => slotOf(keccak256(concat([pad(key), word(slot)])));
const ofString = (slot, key) => slotOf(keccak256(concat([stringToHex(key), word(slot)])));

const at = (slot) => chain.client.getStorageAt({ address: registry.address, slot: word(slot) });
const send = (name, ...args) => chain.send(registry, alice, name, args);

/** Reads a Solidity `bytes` or `string` as an indexer does: short ones in place, long ones behind the slot's hash. */
async function bytesAt(slot) {
  const head = await at(slot);
  const last = Number(BigInt(head) & 0xffn);
  if (last % 2 === 0) return head.slice(0, 2 + last);

  const length = Number((BigInt(head) - 1n) / 2n);
  const start = slotOf(keccak256(word(slot)));
  const words = [];
  for (let i = 0; i * 32 < length; i++) words.push(await at(start + BigInt(i)));
  return concat(words).slice(0, 2 + 2 * length);
}

test('namespaces are those of ERC-7201', () => {
  const namespace = (id) => {
    const inner = BigInt(keccak256(toHex(id))) - 1n;
    return BigInt(keccak256(encodeAbiParameters([{ type: 'uint256' }], [inner]))) & ~0xffn;
  };
  assert.equal(namespace('erc8004.identity.registry'), IDENTITY);
  assert.equal(namespace('openzeppelin.storage.ERC721URIStorage'), URI_STORAGE);
});

test('the census: the number of agents', async () => {
  const before = BigInt(await at(IDENTITY));
  await registerAgent(chain, registry);
  assert.equal(BigInt(await at(IDENTITY)), before + 1n);
});

test('owner, balance and approvals', async () => {
  const id = await registerAgent(chain, registry);
  assert.equal(await at(ofNumber(ERC721 + 2n, id)), pad(alice.address).toLowerCase());
  const balance = await chain.read(registry, 'balanceOf', [alice.address]);
  assert.equal(BigInt(await at(ofAddress(ERC721 + 3n, alice.address))), balance);

  await send('approve', bob.address, id);
  assert.equal(await at(ofNumber(ERC721 + 4n, id)), pad(bob.address).toLowerCase());
  await send('setApprovalForAll', carol.address, true);
  const operators = ofAddress(ERC721 + 5n, alice.address);
  assert.equal(BigInt(await at(ofAddress(operators, carol.address))), 1n);
});

test('the URI, short and long', async () => {
  const id = await registerAgent(chain, registry);
  for (const uri of ['', 'ipfs://short', 'x'.repeat(31), 'x'.repeat(32), `data:,${'y'.repeat(500)}`]) {
    await send('setAgentURI', id, uri);
    assert.equal(await bytesAt(ofNumber(URI_STORAGE, id)), stringToHex(uri));
  }
});

test('the wallet and other metadata', async () => {
  const id = await registerAgent(chain, registry);
  const metadata = ofNumber(IDENTITY + 1n, id);
  const wallet = ofString(metadata, 'agentWallet');
  assert.equal(await bytesAt(wallet), alice.address.toLowerCase());

  const long = stringToHex('z'.repeat(77));
  await send('setMetadata', id, 'note', long);
  assert.equal(await bytesAt(ofString(metadata, 'note')), long);

  await send('transferFrom', alice.address, bob.address, id);
  assert.equal(await bytesAt(wallet), '0x');
});

test('owner, initialization and implementation of the proxy', async () => {
  assert.equal(await at(OWNABLE), pad(deployer.address).toLowerCase());
  assert.equal(BigInt(await at(INITIALIZABLE)), 2n);
  assert.equal(await at(IMPLEMENTATION), pad(implementation.address).toLowerCase());
});
