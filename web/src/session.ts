// Who speaks to the instance: a session (EIP-4361) that the connected account began. Half of its token lies in a cookie
// that scripts do not see.

import { useEffect, useState } from "preact/hooks";
import { get, half, keepHalf, post } from "./api";
import { checksummed } from "./keccak";
import { signText, type Connected } from "./wallet";

/** Whom the instance takes the caller for. */
export interface Who {
  kind: "operator" | "account" | "key" | "anonymous";
  id: string | null;
  expires_at: string | null;
}

interface Challenge {
  nonce: string;
  expires_at: string;
  domain: string;
  uri: string;
  statement: string;
}

const NOBODY: Who = { kind: "anonymous", id: null, expires_at: null };

let who: Who | null = null;
let asked = false;
const listeners = new Set<() => void>();

function set(next: Who) {
  who = next;
  for (const listener of listeners) listener();
}

/** Who it is; null until the instance said it. */
export function useSession(): Who | null {
  const [, again] = useState(0);
  useEffect(() => {
    const listener = () => again((n) => n + 1);
    listeners.add(listener);
    if (!asked) {
      asked = true;
      get<Who>("/v1/sessions/current").then(set, () => set(NOBODY));
    }
    return () => void listeners.delete(listener);
  }, []);
  return who;
}

/** The message that the wallet shows: the grammar of EIP-4361, line by line. */
function message(challenge: Challenge, address: string, chain: number): string {
  return [
    `${challenge.domain} wants you to sign in with your Ethereum account:`,
    address,
    "",
    challenge.statement,
    "",
    `URI: ${challenge.uri}`,
    "Version: 1",
    `Chain ID: ${chain}`,
    `Nonce: ${challenge.nonce}`,
    `Issued At: ${new Date().toISOString()}`,
  ].join("\n");
}

/** Signs in as the connected account. */
export async function signIn({ wallet, account }: Connected) {
  const challenge = await post<Challenge>("/v1/sessions/nonce", {});
  const chain = Number(await wallet.provider.request({ method: "eth_chainId" }));
  const text = message(challenge, checksummed(account), chain);
  const signature = await signText(wallet, account, text);
  const opened = await post<{ half: string }>("/v1/sessions", { message: text, signature });
  keepHalf(opened.half);
  set(await get<Who>("/v1/sessions/current"));
}

export async function signOut() {
  set(await fetch("/v1/sessions/current", { method: "DELETE", credentials: "same-origin", headers: half() }).then(
    () => {
      keepHalf(null);
      return NOBODY;
    },
    () => who ?? NOBODY,
  ));
}
