// Statements: what an agent's key and its owner's wallet sign about it, kept by this office without gas.

import { post } from "./api";
import { checksummed } from "./keccak";
import { signTyped, type Connected } from "./wallet";

interface Unsigned {
  statement: Record<string, unknown>;
  key_text: string;
  typed_data: unknown;
}

/** What became of a statement. */
export interface Recorded {
  agent: string;
  entry: { cid: string; state: string } | null;
}

/** An agent's own key, made in this browser. */
export interface AgentKey {
  did: string;
  /** 32 bytes that make the key again, as 0x-hex: whoever has them is the agent. */
  secret: string;
  sign: (text: string) => Promise<string>;
}

const ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

function base58(bytes: Uint8Array): string {
  let number = bytes.reduce((sum, byte) => sum * 256n + BigInt(byte), 0n);
  let text = "";
  while (number > 0n) {
    text = ALPHABET.charAt(Number(number % 58n)) + text;
    number /= 58n;
  }
  return "1".repeat(bytes.findIndex((byte) => byte !== 0)) + text;
}

const hex = (bytes: Uint8Array) => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/** Where PKCS #8 keeps the 32 bytes of an Ed25519 key (RFC 8410): at its end. */
const SEED = 32;

/** Makes a key. Browsers have Ed25519 on https and on this machine alone. */
export async function makeKey(): Promise<AgentKey> {
  if (!globalThis.crypto?.subtle) throw new Error("This browser makes keys on https or on this machine alone. At a prompt: chancery agent register --help");
  const pair = (await crypto.subtle.generateKey({ name: "Ed25519" }, true, ["sign", "verify"])) as CryptoKeyPair;
  const open = new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey));
  const whole = new Uint8Array(await crypto.subtle.exportKey("pkcs8", pair.privateKey));
  const did = `did:key:z${base58(Uint8Array.from([0xed, 0x01, ...open]))}`;
  const sign = async (text: string) => hex(new Uint8Array(await crypto.subtle.sign("Ed25519", pair.privateKey, new TextEncoder().encode(text))));
  return { did, secret: `0x${hex(whole.slice(-SEED))}`, sign };
}

const accountId = ({ account }: Connected, chain: number) => `eip155:${chain}:${account.toLowerCase()}`;

/** The account in the form that people compare. */
export const shown = (account: string) => checksummed(account);

async function chainOf({ wallet }: Connected): Promise<number> {
  return Number(await wallet.provider.request({ method: "eth_chainId" }));
}

/** Has the key, and the owner's wallet where one is connected, sign the founding of an agent. */
export async function register(key: AgentKey, content: Record<string, unknown>, owner: Connected | null): Promise<Recorded> {
  const account = owner ? accountId(owner, await chainOf(owner)) : null;
  const unsigned = await post<Unsigned>("/v1/statements/prepare", { action: "register", agent: key.did, content, ...(account ? { account } : {}) });
  const signatures = [{ by: key.did, signature: await key.sign(unsigned.key_text) }];
  if (owner && account) signatures.push({ by: account, signature: await signTyped(owner.wallet, owner.account, unsigned.typed_data) });
  return post<Recorded>("/v1/agents", { statement: unsigned.statement, signatures });
}

/** Has the owner's wallet sign something about an agent. */
export async function say(agent: string, action: string, content: Record<string, unknown>, owner: Connected): Promise<Recorded> {
  const account = accountId(owner, await chainOf(owner));
  const unsigned = await post<Unsigned>("/v1/statements/prepare", { action, agent, content, account });
  const signature = await signTyped(owner.wallet, owner.account, unsigned.typed_data);
  const path = `/v1/agents/${encodeURIComponent(agent)}/statements`;
  return post<Recorded>(path, { statement: unsigned.statement, signatures: [{ by: account, signature }] });
}
