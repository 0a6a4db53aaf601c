// A fresh anvil per test file, and short words for what tests do with it.

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import {
  BaseError,
  ContractFunctionRevertedError,
  createTestClient,
  getAddress,
  http,
  publicActions,
  walletActions,
} from 'viem';
import { mnemonicToAccount } from 'viem/accounts';
import { mainnet } from 'viem/chains';

const packages = new URL('../../node_modules/@foundry-rs/', import.meta.url);
const platform = `${process.platform}-${process.arch === 'x64' ? 'amd64' : process.arch}`;
const anvil = fileURLToPath(new URL(`anvil-${platform}/bin/anvil`, packages));

// Keeps anvil until our end of its input closes: a run that is killed half-way leaves no anvil behind.
const keeper = '"$0" "$@" & exec >&-; read -r _; kill -9 $!; wait';

const mnemonic = 'test test test test test test test test test test test junk';

/** anvil's default accounts, which are able to sign here. */
export const accounts = [0, 1, 2, 3, 4].map((addressIndex) => mnemonicToAccount(mnemonic, { addressIndex }));

export function artifact(name) {
  return JSON.parse(readFileSync(new URL(`../../artifacts/${name}.json`, import.meta.url), 'utf8'));
}

export function fixture(name) {
  return JSON.parse(readFileSync(new URL(`../fixtures/${name}.json`, import.meta.url), 'utf8'));
}

/** Starts anvil on a free port. Ask the chain to `stop()` when the tests are over. */
export async function startChain() {
  const child = spawn('sh', ['-c', keeper, anvil, '--port', '0', '--chain-id', String(mainnet.id)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const url = await listeningUrl(child);
  const client = createTestClient({ chain: mainnet, mode: 'anvil', transport: http(url), pollingInterval: 20 })
    .extend(publicActions)
    .extend(walletActions);

  return {
    client,
    stop: () => child.stdin.end(),

    async deploy(name, args = [], from = accounts[0]) {
      const { abi, bytecode } = artifact(name);
      const hash = await client.deployContract({ abi, bytecode, args, account: from });
      const { contractAddress } = await client.waitForTransactionReceipt({ hash });
      return { abi, address: getAddress(contractAddress) };
    },

    /** Sends a transaction and gives its logs; a refusal throws with its reason. */
    async send(contract, from, functionName, args = []) {
      const { request } = await client.simulateContract({ ...contract, account: from, functionName, args });
      const hash = await client.writeContract(request);
      const receipt = await client.waitForTransactionReceipt({ hash });
      return receipt.logs;
    },

    read: (contract, functionName, args = []) => client.readContract({ ...contract, functionName, args }),

    async now() {
      return (await client.getBlock()).timestamp;
    },
  };
}

/** Why a call was refused: the reason or the name of the typed error. Fails if it was not refused. */
export async function refusal(call) {
  try {
    await call;
  } catch (error) {
    const revert = error instanceof BaseError && error.walk((e) => e instanceof ContractFunctionRevertedError);
    if (!revert) throw error;
    return revert.data?.errorName === 'Error' ? revert.reason : revert.data?.errorName;
  }
  throw new Error('the call was not refused');
}

function listeningUrl(child) {
  return new Promise((resolve, reject) => {
    let seen = '';
    child.once('error', reject);
    child.stdout.once('end', () => {
      child.stdin.end();
      reject(new Error(`anvil ended before it listened\n${seen}`));
    });
    child.stdout.on('data', (chunk) => {
      seen += chunk;
      const address = seen.match(/Listening on (\S+)/)?.[1];
      if (address) resolve(`http://${address}`);
    });
  });
}
