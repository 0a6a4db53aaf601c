// What the tests of the registry share.

import { decodeEventLog, encodeFunctionData } from 'viem';
import { accounts } from './chain.mjs';

export const ZERO = '0x0000000000000000000000000000000000000000';

/** The registry behind its proxy, with both addresses. */
export async function deployRegistry(chain) {
  const implementation = await chain.deploy('IdentityRegistry');
  const initialize = encodeFunctionData({ abi: implementation.abi, functionName: 'initialize' });
  const { address } = await chain.deploy('ERC1967Proxy', [implementation.address, initialize]);
  return { registry: { abi: implementation.abi, address }, implementation };
}

/** A wallet's consent to be an agent's wallet, as EIP-712 typed data signed by `signer`. */
export function signConsent(signer, registry, consent) {
  return signer.signTypedData({
    domain: { name: 'ERC8004IdentityRegistry', version: '1', chainId: 1, verifyingContract: registry.address },
    types: {
      AgentWalletSet: [
        { name: 'agentId', type: 'uint256' },
        { name: 'newWallet', type: 'address' },
        { name: 'owner', type: 'address' },
        { name: 'deadline', type: 'uint256' },
      ],
    },
    primaryType: 'AgentWalletSet',
    message: consent,
  });
}

/** Registers an agent for `owner` and gives its id. */
export async function registerAgent(chain, registry, owner = accounts[1]) {
  const [mint] = await chain.send(registry, owner, 'register');
  return BigInt(mint.topics[3]);
}

/** Logs as [event name, arguments], in their order. */
export function decodeLogs(registry, logs) {
  return logs.map((log) => {
    const { eventName, args } = decodeEventLog({ abi: registry.abi, ...log });
    return [eventName, args];
  });
}

export function eventNames(registry, logs) {
  return decodeLogs(registry, logs).map(([name]) => name);
}
