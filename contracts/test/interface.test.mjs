// The registry's ABI is that of the reference: nothing missing, nothing of our own.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toEventSelector, toFunctionSelector } from 'viem';
import { formatAbiItem } from 'viem/utils';
import { artifact, fixture } from './support/chain.mjs';

const reference = fixture('identity-registry-abi');

function signatures(contract, type, hash) {
  const items = artifact(contract).abi.filter((item) => item.type === type);
  return Object.fromEntries(items.map((item) => [formatAbiItem(item), hash(formatAbiItem(item))]));
}

test('functions and selectors equal the reference', () => {
  const selectors = signatures('IdentityRegistry', 'function', (signature) => toFunctionSelector(signature).slice(2));
  assert.deepEqual(selectors, reference.selectors);
});

test('events and topics equal the reference', () => {
  assert.deepEqual(signatures('IdentityRegistry', 'event', toEventSelector), reference.topics);
});

test('typed errors equal the reference', () => {
  assert.deepEqual(signatures('IdentityRegistry', 'error', toFunctionSelector), reference.errors);
});

test('events of AgentStatus are those of the model', () => {
  assert.deepEqual(Object.keys(signatures('AgentStatus', 'event', toEventSelector)), [
    'Heartbeat(address,uint256)',
    'StatusSet(address,uint256,uint8,string,address)',
  ]);
});
