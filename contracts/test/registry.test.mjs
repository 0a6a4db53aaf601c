// The registry's rules beyond the recorded run: who may do what, consent of wallets, the early URI, upgrades.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { pad, stringToHex } from 'viem';
import { accounts, refusal, startChain } from './support/chain.mjs';
import { decodeLogs, deployRegistry, eventNames, registerAgent, signConsent, ZERO } from './support/registry.mjs';

const [deployer, alice, bob, carol, mallory] = accounts;

let chain;
let registry;
let implementation;

before(async () => {
  chain = await startChain();
  ({ registry, implementation } = await deployRegistry(chain));
});
after(() => chain.stop());

const send = (from, name, ...args) => chain.send(registry, from, name, args);
const read = (name, ...args) => chain.read(registry, name, args);

test('the deployer owns a fresh proxy, which is initialized once', async () => {
  assert.equal(await read('owner'), deployer.address);
  assert.equal(await refusal(send(deployer, 'initialize')), 'InvalidInitialization');
});

test('the bare implementation cannot be initialized', async () => {
  assert.equal(await refusal(chain.send(implementation, deployer, 'initialize')), 'InvalidInitialization');
});

test('only the owner upgrades', async () => {
  const { address } = await chain.deploy('IdentityRegistry');
  assert.equal(await refusal(send(mallory, 'upgradeToAndCall', address, '0x')), 'OwnableUnauthorizedAccount');
  assert.deepEqual(eventNames(registry, await send(deployer, 'upgradeToAndCall', address, '0x')), ['Upgraded']);
});

test('it says which interfaces it has', async () => {
  const interfaces = { erc721: '0x80ac58cd', metadata: '0x5b5e139f', erc4906: '0x49064906' };
  for (const id of Object.values(interfaces)) assert.equal(await read('supportsInterface', id), true);
  const enumerable = '0x780e9d63';
  assert.equal(await read('supportsInterface', enumerable), false);
});

test('owner, approved address and operator may write, others may not', async () => {
  const id = await registerAgent(chain, registry);
  await send(alice, 'approve', bob.address, id);
  await send(alice, 'setApprovalForAll', carol.address, true);

  for (const speaker of [alice, bob, carol]) {
    await send(speaker, 'setAgentURI', id, 'https://a.example');
    await send(speaker, 'setMetadata', id, 'k', '0x01');
    await send(speaker, 'unsetAgentWallet', id);
    assert.equal(await read('isAuthorizedOrOwner', speaker.address, id), true);
  }
  assert.equal(await refusal(send(mallory, 'setAgentURI', id, '')), 'Not authorized');
  assert.equal(await refusal(send(mallory, 'setMetadata', id, 'k', '0x')), 'Not authorized');
  assert.equal(await refusal(send(mallory, 'unsetAgentWallet', id)), 'Not authorized');
  assert.equal(await refusal(send(mallory, 'setAgentWallet', id, bob.address, 0n, '0x')), 'Not authorized');
  assert.equal(await read('isAuthorizedOrOwner', mallory.address, id), false);

  await send(alice, 'setApprovalForAll', carol.address, false);
});

test('a transfer ends the approval without a log of it', async () => {
  const id = await registerAgent(chain, registry);
  await send(alice, 'approve', bob.address, id);
  const logs = await send(bob, 'transferFrom', alice.address, carol.address, id);
  assert.deepEqual(eventNames(registry, logs), ['MetadataSet', 'Transfer']);
  assert.equal(await read('getApproved', id), ZERO);
  assert.equal(await refusal(send(bob, 'setAgentURI', id, '')), 'Not authorized');
});

test('the wallet key is reserved, on both ways in', async () => {
  const id = await registerAgent(chain, registry);
  assert.equal(await refusal(send(alice, 'setMetadata', id, 'agentWallet', '0x01')), 'reserved key');
  const entry = { metadataKey: 'agentWallet', metadataValue: '0x01' };
  assert.equal(await refusal(send(alice, 'register', 'ipfs://x', [entry])), 'reserved key');
});

test('unknown agents have no wallet, no metadata and no owner', async () => {
  assert.equal(await read('getAgentWallet', 999n), ZERO);
  assert.equal(await read('getMetadata', 999n, 'agentWallet'), '0x');
  assert.equal(await refusal(read('ownerOf', 999n)), 'ERC721NonexistentToken');
  assert.equal(await refusal(read('isAuthorizedOrOwner', alice.address, 999n)), 'ERC721NonexistentToken');
  assert.equal(await refusal(send(alice, 'setAgentURI', 999n, '')), 'ERC721NonexistentToken');
});

test('metadata is read back as it was written, long or empty', async () => {
  const id = await registerAgent(chain, registry);
  const long = stringToHex('x'.repeat(100));
  await send(alice, 'setMetadata', id, 'k', long);
  assert.equal(await read('getMetadata', id, 'k'), long);
  await send(alice, 'setMetadata', id, 'k', '0x');
  assert.equal(await read('getMetadata', id, 'k'), '0x');
});

async function consent(id, newWallet, { signer, owner = alice.address, lifetime = 200n }) {
  const deadline = (await chain.now()) + lifetime;
  const signature = await signConsent(signer, registry, { agentId: id, newWallet, owner, deadline });
  return [id, newWallet, deadline, signature];
}

test('a wallet is named with its own consent', async () => {
  const id = await registerAgent(chain, registry);
  const logs = await send(alice, 'setAgentWallet', ...(await consent(id, bob.address, { signer: bob })));
  assert.equal(await read('getAgentWallet', id), bob.address);
  assert.deepEqual(decodeLogs(registry, logs)[0][1].metadataValue, bob.address.toLowerCase());

  await send(alice, 'unsetAgentWallet', id);
  assert.equal(await read('getAgentWallet', id), ZERO);
});

test('a wallet that is a contract consents by ERC-1271', async () => {
  const id = await registerAgent(chain, registry);
  const wallet = await chain.deploy('ContractWallet', [carol.address]);
  await send(alice, 'setAgentWallet', ...(await consent(id, wallet.address, { signer: carol })));
  assert.equal(await read('getAgentWallet', id), wallet.address);

  const refused = consent(id, wallet.address, { signer: mallory });
  assert.equal(await refusal(send(alice, 'setAgentWallet', ...(await refused))), 'invalid wallet sig');
});

test('an account with delegated code still consents with its key', async () => {
  const id = await registerAgent(chain, registry);
  const delegate = await chain.deploy('ContractWallet', [carol.address]);
  const code = `0xef0100${delegate.address.slice(2)}`;
  await chain.client.setCode({ address: mallory.address, bytecode: code });
  await send(alice, 'setAgentWallet', ...(await consent(id, mallory.address, { signer: mallory })));
  assert.equal(await read('getAgentWallet', id), mallory.address);
  await chain.client.setCode({ address: mallory.address, bytecode: '0x' });
});

test('a consent by another, for another owner or for nobody is none', async () => {
  const id = await registerAgent(chain, registry);
  const attempt = async (wallet, terms) =>
    refusal(send(alice, 'setAgentWallet', ...(await consent(id, wallet, terms))));

  assert.equal(await attempt(bob.address, { signer: mallory }), 'invalid wallet sig');
  assert.equal(await attempt(bob.address, { signer: bob, owner: carol.address }), 'invalid wallet sig');
  assert.equal(await attempt(ZERO, { signer: bob }), 'bad wallet');
});

test('a consent lives from now to five minutes from now', async () => {
  const id = await registerAgent(chain, registry);
  // Asked of a block with a time of our own, so that both ends are hit to the second.
  const attempt = async (lifetime) => {
    const timestamp = (await chain.now()) + 100n;
    const deadline = timestamp + lifetime;
    const terms = { agentId: id, newWallet: bob.address, owner: alice.address, deadline };
    const signature = await signConsent(bob, registry, terms);
    await chain.client.setNextBlockTimestamp({ timestamp });
    await chain.client.mine({ blocks: 1 });
    const args = [id, bob.address, deadline, signature];
    return chain.client.simulateContract({ ...registry, account: alice, functionName: 'setAgentWallet', args });
  };

  assert.equal(await refusal(attempt(-1n)), 'expired');
  assert.equal(await refusal(attempt(301n)), 'deadline too far');
  await attempt(0n);
  await attempt(300n);
});

test('a URI set during the mint stays when register() has none', async () => {
  const minter = await chain.deploy('ReentrantMinter', [registry.address]);
  const logs = await chain.send(minter, deployer, 'registerWithEarlyURI', ['https://early']);
  assert.deepEqual(eventNames(registry, logs), [
    'Transfer',
    'MetadataUpdate',
    'URIUpdated',
    'Registered',
    'MetadataSet',
  ]);
  const [, registered] = decodeLogs(registry, logs)[3];
  assert.equal(registered.agentURI, '');
  assert.equal(await read('tokenURI', registered.agentId), 'https://early');
});

test('a contract that takes no tokens cannot register', async () => {
  const wallet = await chain.deploy('ContractWallet', [alice.address]);
  await chain.client.impersonateAccount({ address: wallet.address });
  assert.equal(await refusal(send(wallet.address, 'register')), 'ERC721InvalidReceiver');
});

test('ids start at 0 and have no gaps', async () => {
  const { registry: fresh } = await deployRegistry(chain);
  for (const id of [0n, 1n, 2n]) assert.equal(await registerAgent(chain, fresh), id);
  const minted = await chain.send(fresh, alice, 'register', ['ipfs://x']);
  assert.equal(minted[0].topics[3], pad('0x3'));
});
