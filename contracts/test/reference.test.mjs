// Does again what was once done with the reference contract (fixtures/ORIGIN.md) and holds each log against the
// recorded one: same order, topics and data, same refusals, same state at the end.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { keccak256, pad, stringToHex } from 'viem';
import { accounts, artifact, fixture, refusal, startChain } from './support/chain.mjs';
import { decodeLogs, signConsent, ZERO } from './support/registry.mjs';

const recorded = fixture('identity-registry-run');
const [deployer, alice, bob, carol] = accounts;

const IMPLEMENTATION_SLOT = '0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc';
const OWNER_SLOT = '0x9016d09d72d40fdae2fd8ceac6b6234c7706214fd39c1cd1e609a0528c199300';

let chain;
let registry;
// Contracts that the run deployed elsewhere than we do: their address, and the recorded one.
let renamed = [];

before(async () => {
  chain = await startChain();
  registry = { abi: artifact('IdentityRegistry').abi, address: recorded.addresses.registry };
  await placeProxy();
});
after(() => chain.stop());

/** The proxy at its mainnet address, owned but not initialized, as the recorded run found it. */
async function placeProxy() {
  const implementation = await chain.deploy('IdentityRegistry');
  const { address } = registry;
  await chain.client.setCode({ address, bytecode: artifact('ERC1967Proxy').deployedBytecode });
  await chain.client.setStorageAt({ address, index: IMPLEMENTATION_SLOT, value: pad(implementation.address) });
  await chain.client.setStorageAt({ address, index: OWNER_SLOT, value: pad(deployer.address) });
}

async function deployAs(name, args, recordedAddress) {
  const contract = await chain.deploy(name, args);
  renamed.push([contract.address.slice(2).toLowerCase(), recordedAddress.slice(2).toLowerCase()]);
  return contract;
}

function asRecorded(hex) {
  return renamed.reduce((text, [ours, theirs]) => text.replaceAll(ours, theirs), hex.toLowerCase());
}

function recordedURI(step) {
  const logs = recorded.steps[step].logs.filter((log) => log.ev === 'Registered');
  return decodeLogs(registry, logs)[0][1].agentURI;
}

const signedBy = async (signer, newWallet, lifetime = 200n) => {
  const deadline = (await chain.now()) + lifetime;
  const consent = { agentId: 0n, newWallet, owner: alice.address, deadline };
  return [0n, newWallet, deadline, await signConsent(signer, registry, consent)];
};

const steps = {
  'init id': () => chain.send(registry, deployer, 'initialize'),
  'register()': () => chain.send(registry, alice, 'register'),
  'register(uri)': () => chain.send(registry, alice, 'register', [recordedURI('register(uri)')]),
  'register(uri,meta)': () =>
    chain.send(registry, alice, 'register', [
      recordedURI('register(uri,meta)'),
      [
        { metadataKey: 'agentName', metadataValue: stringToHex('bob') },
        { metadataKey: '', metadataValue: '0x' },
      ],
    ]),
  'register meta reserved': () =>
    chain.send(registry, alice, 'register', ['', [{ metadataKey: 'agentWallet', metadataValue: '0x' }]]),
  setMetadata: () => chain.send(registry, alice, 'setMetadata', [0n, 'foo', stringToHex('bar')]),
  'setMetadata nonexist': () => chain.send(registry, alice, 'setMetadata', [99n, 'foo', '0x']),
  'setAgentURI same': () => chain.send(registry, alice, 'setAgentURI', [0n, '']),
  'setAgentURI': () => chain.send(registry, alice, 'setAgentURI', [0n, 'https://example.com/a.json']),
  'setAgentWallet EOA': async () =>
    chain.send(registry, alice, 'setAgentWallet', await signedBy(bob, bob.address)),
  'setAgentWallet 1271': async () => {
    const wallet = await deployAs('ContractWallet', [carol.address], recorded.addresses.contractWallet);
    return chain.send(registry, alice, 'setAgentWallet', await signedBy(carol, wallet.address));
  },
  'setAgentWallet far': async () =>
    chain.send(registry, alice, 'setAgentWallet', await signedBy(bob, bob.address, 1000n)),
  unsetAgentWallet: () => chain.send(registry, alice, 'unsetAgentWallet', [0n]),
  approve: () => chain.send(registry, alice, 'approve', [carol.address, 0n]),
  setApprovalForAll: () => chain.send(registry, alice, 'setApprovalForAll', [carol.address, true]),
  'self transfer': () => chain.send(registry, alice, 'transferFrom', [alice.address, alice.address, 1n]),
  transfer: () => chain.send(registry, alice, 'transferFrom', [alice.address, bob.address, 0n]),
  'reentrant set before Registered': async () => {
    const minter = await deployAs('ReentrantMinter', [registry.address], recorded.addresses.earlyMinter);
    return chain.send(minter, deployer, 'registerOverEarlyURI', ['https://early.example', 'ipfs://final']);
  },
  'reentrant transfer in mint': async () => {
    const minter = await deployAs('ReentrantMinter', [registry.address], recorded.addresses.forwardingMinter);
    return chain.send(minter, deployer, 'registerAndForward', ['ipfs://final2', bob.address]);
  },
};

test('the run is the recorded run', async (context) => {
  assert.deepEqual(Object.keys(steps), Object.keys(recorded.steps));

  for (const [name, step] of Object.entries(steps)) {
    const expected = recorded.steps[name];
    await context.test(name, async () => {
      if (expected.revert) {
        const reason = expected.revert.match(/reason:\n(.*)/)?.[1] ?? 'ERC721NonexistentToken';
        assert.equal(await refusal(step()), reason);
        return;
      }
      const logs = await step();
      assert.deepEqual(
        logs.map(({ address, topics, data }) => ({ address, topics: topics.map(asRecorded), data: asRecorded(data) })),
        expected.logs.map(({ address, topics, data }) => ({ address, topics, data })),
      );
    });
  }
});

test('the state is the recorded state', async () => {
  const read = (name, ...args) => chain.read(registry, name, args);
  const state = {
    ver: await read('getVersion'),
    name: await read('name'),
    symbol: await read('symbol'),
    owner3: await read('ownerOf', 3n),
    uri3: await read('tokenURI', 3n),
    wallet3: await read('getAgentWallet', 3n),
    owner4: await read('ownerOf', 4n),
    uri4: await read('tokenURI', 4n),
    wallet4: await read('getAgentWallet', 4n),
    wallet0: await read('getAgentWallet', 0n),
    wallet1: await read('getAgentWallet', 1n),
    approved0: await read('getApproved', 0n),
    eip712: (await read('eip712Domain')).map((part) => (typeof part === 'bigint' ? String(part) : part)),
    walletNonexist: await read('getAgentWallet', 99n),
  };
  const lowerCase = (value) => asRecorded(JSON.stringify(value));
  assert.deepEqual(JSON.parse(lowerCase(state)), JSON.parse(JSON.stringify(recorded.reads).toLowerCase()));
  assert.equal(state.wallet4, ZERO);
});

test('the recorded topic of the wallet key is its hash', () => {
  const announced = recorded.steps['register()'].logs[2];
  assert.equal(announced.topics[2], keccak256(stringToHex('agentWallet')));
});
