// Who speaks to the instance: a session (EIP-4361) that the connected account began. Half of its token lies in a cookie
// that scripts do not see.

import { useEffect } from "preact/hooks";
import { get, half, keepHalf, post } from "./api";
import { checksummed } from "./keccak";
import { Shared } from "./shared";
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

const who = new Shared<Who | null>(null);
let asked = false;

/** Who it is; null until the instance said it. */
export function useSession(): Who | null {
  useEffect(() => {
    if (asked) return;
    asked = true;
    get<Who>("/v1/sessions/current").then(
      (said) => who.set(said),
      () => who.set(NOBODY),
    );
  }, []);
  return who.use();
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
  who.set(await get<Who>("/v1/sessions/current"));
}

export async function signOut() {
  who.set(await fetch("/v1/sessions/current", { method: "DELETE", credentials: "same-origin", headers: half() }).then(
    () => {
      keepHalf(null);
      return NOBODY;
    },
    () => who.get() ?? NOBODY,
  ));
}
