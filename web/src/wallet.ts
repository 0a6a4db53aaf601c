// Wallets that announce themselves (EIP-6963), and what is asked of them (EIP-1193). Keys stay there.

import { useEffect, useState } from "preact/hooks";
import type { Chain, Unsigned } from "./api";
import { Shared } from "./shared";

interface Provider {
  request(question: { method: string; params?: unknown }): Promise<unknown>;
  on?(event: string, listener: (value: never) => void): void;
  removeListener?(event: string, listener: (value: never) => void): void;
}

/** A wallet in this browser. */
export interface Wallet {
  uuid: string;
  name: string;
  icon: string;
  rdns: string;
  provider: Provider;
}

/** The wallet that is connected, and who speaks through it. */
export interface Connected {
  wallet: Wallet;
  account: string;
  accounts: string[];
}

/** What a wallet refused, in words. */
export class WalletError extends Error {
  constructor(
    message: string,
    readonly declined = false,
  ) {
    super(message);
  }
}

interface State {
  wallets: Wallet[];
  connected: Connected | null;
}

const state = new Shared<State>({ wallets: [], connected: null });
/** Which wallet was connected here last. */
const REMEMBERED = "chancery-wallet";

function set(change: Partial<State>) {
  state.set({ ...state.get(), ...change });
}

export function useWallet(): State {
  return state.use();
}

/** The chain that the connected wallet is on; null until it says so. */
export function useChain(): number | null {
  const wallet = useWallet().connected?.wallet;
  const [chain, setChain] = useState<number | null>(null);
  useEffect(() => {
    setChain(null);
    if (wallet === undefined) return;
    let left = false;
    const take = (told: unknown) => {
      const id = Number(told);
      if (!left) setChain(Number.isSafeInteger(id) && id > 0 ? id : null);
    };
    ask<unknown>(wallet, "eth_chainId").then(take, () => {});
    wallet.provider.on?.("chainChanged", take);
    return () => {
      left = true;
      wallet.provider.removeListener?.("chainChanged", take);
    };
  }, [wallet]);
  return chain;
}

/** Asks for wallets; to be called once. */
export function discover() {
  addEventListener("eip6963:announceProvider", (event) => {
    const detail = (event as CustomEvent<{ info: Omit<Wallet, "provider">; provider: Provider }>).detail;
    const info = detail?.info;
    if (!info || typeof info.uuid !== "string" || typeof info.name !== "string" || !detail.provider?.request) return;
    if (state.get().wallets.some((wallet) => wallet.uuid === info.uuid)) return;
    // The standard wants a data: URI; another one would tell somebody else that we are here.
    const icon = typeof info.icon === "string" && info.icon.startsWith("data:image/") ? info.icon : "";
    const wallet: Wallet = { uuid: info.uuid, name: info.name.slice(0, 60), icon, rdns: String(info.rdns ?? ""), provider: detail.provider };
    set({ wallets: [...state.get().wallets, wallet] });
    if (recall() === wallet.rdns && state.get().connected === null) void reconnect(wallet);
  });
  dispatchEvent(new Event("eip6963:requestProvider"));
}

function recall(): string | null {
  try {
    return localStorage.getItem(REMEMBERED);
  } catch {
    return null;
  }
}

function remember(rdns: string | null) {
  try {
    if (rdns === null) localStorage.removeItem(REMEMBERED);
    else localStorage.setItem(REMEMBERED, rdns);
  } catch {
    // Storage is off: the wallet is asked anew after a reload.
  }
}

const isAccounts = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((one) => typeof one === "string" && /^0x[0-9a-fA-F]{40}$/.test(one));

async function ask<T>(wallet: Wallet, method: string, params?: unknown): Promise<T> {
  try {
    return (await wallet.provider.request({ method, params })) as T;
  } catch (error) {
    const { code, message } = (error ?? {}) as { code?: number; message?: string };
    if (code === 4001) throw new WalletError(`You declined in ${wallet.name}. Nothing was signed.`, true);
    if (code === -32002) throw new WalletError(`${wallet.name} is waiting for you already: open it and answer there.`);
    throw Object.assign(new WalletError(`${wallet.name}: ${message ?? "it failed without a word"}`), { code });
  }
}

function adopt(wallet: Wallet, accounts: string[], account = accounts[0]) {
  set({ connected: account === undefined ? null : { wallet, account, accounts } });
}

let watched: Wallet | null = null;

function watch(wallet: Wallet) {
  watched?.provider.removeListener?.("accountsChanged", changed as never);
  watched = wallet;
  wallet.provider.on?.("accountsChanged", changed as never);
}

function changed(accounts: unknown) {
  if (watched === null || !isAccounts(accounts)) return;
  if (accounts.length === 0) disconnect();
  else adopt(watched, accounts);
}

async function reconnect(wallet: Wallet) {
  const accounts = await ask<unknown>(wallet, "eth_accounts").catch(() => []);
  if (!isAccounts(accounts) || accounts.length === 0) return;
  watch(wallet);
  adopt(wallet, accounts);
}

export async function connect(wallet: Wallet) {
  const accounts = await ask<unknown>(wallet, "eth_requestAccounts");
  if (!isAccounts(accounts) || accounts.length === 0) throw new WalletError(`${wallet.name} gave no account.`);
  remember(wallet.rdns);
  watch(wallet);
  adopt(wallet, accounts);
}

export function disconnect() {
  remember(null);
  watched?.provider.removeListener?.("accountsChanged", changed as never);
  watched = null;
  set({ connected: null });
}

/** Speaks as another of its accounts. */
export function speakAs(account: string) {
  const { connected } = state.get();
  if (connected) adopt(connected.wallet, connected.accounts, account);
}

/** Brings the wallet to a chain; one that it does not know is offered to it where we started that chain. */
export async function switchTo(wallet: Wallet, chain: Chain) {
  const chainId = `0x${(chain.chain ?? 0).toString(16)}`;
  const current = await ask<unknown>(wallet, "eth_chainId");
  if (typeof current === "string" && BigInt(current) === BigInt(chainId)) return;
  try {
    await ask(wallet, "wallet_switchEthereumChain", [{ chainId }]);
  } catch (error) {
    const node = chain.origin === "started" ? chain.providers[0]?.place : undefined;
    if ((error as { code?: number }).code !== 4902 || node === undefined) throw error;
    const nativeCurrency = { name: "Ether", symbol: "ETH", decimals: 18 };
    await ask(wallet, "wallet_addEthereumChain", [{ chainId, chainName: `Chancery ${chain.name}`, rpcUrls: [node], nativeCurrency }]);
  }
}

/** Has the wallet sign and send; the nonce is its own affair. */
export async function send(wallet: Wallet, unsigned: Unsigned): Promise<string> {
  const { nonce: _, ...transaction } = unsigned.transaction;
  const hash = await ask<unknown>(wallet, "eth_sendTransaction", [transaction]);
  if (typeof hash !== "string" || !/^0x[0-9a-fA-F]{64}$/.test(hash)) throw new WalletError(`${wallet.name} gave no transaction.`);
  return hash;
}

/** Has an account sign what it can read (EIP-712). */
export async function signTyped(wallet: Wallet, account: string, typed: unknown): Promise<string> {
  const signature = await ask<unknown>(wallet, "eth_signTypedData_v4", [account, JSON.stringify(typed)]);
  if (typeof signature !== "string" || !signature.startsWith("0x")) throw new WalletError(`${wallet.name} gave no signature.`);
  return signature;
}

/** Has an account sign a text (EIP-191). */
export async function signText(wallet: Wallet, account: string, text: string): Promise<string> {
  const hex = [...new TextEncoder().encode(text)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return ask<string>(wallet, "personal_sign", [`0x${hex}`, account]);
}
