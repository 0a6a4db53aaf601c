// Who may speak for an agent, and what the logs then say.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { accounts, refusal, startChain } from './support/chain.mjs';
import { decodeLogs, deployRegistry, registerAgent, signConsent, ZERO } from './support/registry.mjs';

const ACTIVE = 0;
const SLEEP = 1;
const TERMINATED = 2;

const [, alice, bob, carol, mallory] = accounts;

let chain;
let registry;
let status;

before(async () => {
  chain = await startChain();
  ({ registry } = await deployRegistry(chain));
  status = await chain.deploy('AgentStatus');
});
after(() => chain.stop());

const setStatus = (from, id, code, reason = '', of = registry.address) =>
  chain.send(status, from, 'setStatus', [of, id, code, reason]);
const heartbeat = (from, id, of = registry.address) => chain.send(status, from, 'heartbeat', [of, id]);

async function nameWallet(id, wallet) {
  const deadline = (await chain.now()) + 200n;
  const consent = { agentId: id, newWallet: wallet.address, owner: alice.address, deadline };
  const signature = await signConsent(wallet, registry, consent);
  await chain.send(registry, alice, 'setAgentWallet', [id, wallet.address, deadline, signature]);
}

test('the log says of whom, what, why and by whom', async () => {
  const id = await registerAgent(chain, registry);
  const logs = decodeLogs(status, await setStatus(alice, id, SLEEP, 'on holiday'));
  const said = { registry: registry.address, agentId: id, status: SLEEP, reason: 'on holiday', speaker: alice.address };
  assert.deepEqual(logs, [['StatusSet', said]]);

  const beat = decodeLogs(status, await heartbeat(alice, id));
  assert.deepEqual(beat, [['Heartbeat', { registry: registry.address, agentId: id }]]);
});

test('owner, approved address, operator and wallet may speak, others may not', async () => {
  const id = await registerAgent(chain, registry);
  for (const stranger of [bob, carol, mallory]) {
    assert.equal(await refusal(setStatus(stranger, id, ACTIVE)), 'MayNotSpeak');
    assert.equal(await refusal(heartbeat(stranger, id)), 'MayNotSpeak');
  }

  await chain.send(registry, alice, 'approve', [bob.address, id]);
  await chain.send(registry, alice, 'setApprovalForAll', [carol.address, true]);
  await nameWallet(id, mallory);
  for (const speaker of [alice, bob, carol, mallory]) {
    await setStatus(speaker, id, ACTIVE);
    await heartbeat(speaker, id);
  }
  await chain.send(registry, alice, 'setApprovalForAll', [carol.address, false]);
});

test('a sale takes the voice from seller and wallet', async () => {
  const id = await registerAgent(chain, registry);
  await nameWallet(id, mallory);
  await chain.send(registry, alice, 'transferFrom', [alice.address, bob.address, id]);
  assert.equal(await refusal(setStatus(alice, id, TERMINATED)), 'MayNotSpeak');
  assert.equal(await refusal(setStatus(mallory, id, TERMINATED)), 'MayNotSpeak');
  await setStatus(bob, id, TERMINATED);
});

test('nobody speaks for an unknown agent, or for one of something that is no registry', async () => {
  assert.equal(await refusal(setStatus(alice, 999n, ACTIVE)), 'MayNotSpeak');
  assert.equal(await refusal(heartbeat(alice, 999n)), 'MayNotSpeak');
  assert.equal(await refusal(heartbeat(alice, 0n, alice.address)), 'MayNotSpeak');
  assert.equal(await refusal(heartbeat(alice, 0n, status.address)), 'MayNotSpeak');
});

test('the zero address does not speak for an agent without a wallet', async () => {
  const id = await registerAgent(chain, registry);
  await chain.send(registry, alice, 'unsetAgentWallet', [id]);
  const call = { ...status, account: ZERO, functionName: 'heartbeat', args: [registry.address, id] };
  assert.equal(await refusal(chain.client.simulateContract(call)), 'MayNotSpeak');
});

test('there are three codes', async () => {
  const id = await registerAgent(chain, registry);
  for (const code of [ACTIVE, SLEEP, TERMINATED, ACTIVE]) await setStatus(alice, id, code);
  assert.equal(await refusal(setStatus(alice, id, 3)), 'UnknownStatus');
  assert.equal(await refusal(setStatus(alice, id, 255)), 'UnknownStatus');
});

test('a reason has at most 1,024 bytes', async () => {
  const id = await registerAgent(chain, registry);
  await setStatus(alice, id, SLEEP, 'é'.repeat(512));
  assert.equal(await refusal(setStatus(alice, id, SLEEP, 'x'.repeat(1025))), 'ReasonTooLong');
});
