// What stands around every page.

import { useState } from "preact/hooks";
import { usePulse } from "../live";
import { connect, disconnect, speakAs, useWallet, type Wallet } from "../wallet";
import { middle, sameAddress } from "../words";
import { Alarm, Dialog } from "./show";

const PULSES = {
  waiting: "Connecting…",
  live: "Live",
  lost: "No answer; trying again",
} as const;

export function Masthead({ path }: { path: string }) {
  const { connected } = useWallet();
  const links: [string, string][] = [
    ["/", "Agents"],
    ["/register", "Register"],
    ["/watches", "Watches"],
    ["/office", "Office"],
  ];
  if (connected) links.splice(2, 0, [`/owners/${connected.account}`, "Mine"]);
  return (
    <header class="masthead">
      <a class="brand" href="/" aria-label="Chancery, all agents">
        <svg class="seal" viewBox="0 0 32 32" aria-hidden="true">
          <circle cx="16" cy="16" r="15" />
          <circle class="ring" cx="16" cy="16" r="11.5" />
          <path d="M21 12.2a6.2 6.2 0 1 0 0 7.6" />
        </svg>
        <span>Chancery</span>
      </a>
      <nav aria-label="Pages">
        {links.map(([to, name]) => (
          <a key={to} href={to} aria-current={path === to ? "page" : undefined}>
            {name}
          </a>
        ))}
      </nav>
      <WalletButton />
    </header>
  );
}

export function Footer() {
  const pulse = usePulse();
  return (
    <footer>
      <p class="pulse" data-pulse={pulse} role="status">
        <span class="dot" aria-hidden="true" />
        {PULSES[pulse]}
      </p>
      <p>
        <a href="/docs/">API</a> · <a href="/openapi.json">OpenAPI</a> · <a href="/metrics">Metrics</a> ·{" "}
        <a href="/assets/licences.txt">Licences</a>
      </p>
      <p class="soft">This page asks this instance and nobody else. Your keys stay in your wallet.</p>
    </footer>
  );
}

export function WalletButton() {
  const { connected } = useWallet();
  const [open, setOpen] = useState(false);
  const close = () => setOpen(false);
  return (
    <div class="wallet">
      <button type="button" class={connected ? "" : "first"} aria-haspopup="dialog" onClick={() => setOpen(true)}>
        {connected ? (
          <>
            <Icon wallet={connected.wallet} />
            <code>{middle(connected.account)}</code>
          </>
        ) : (
          "Connect wallet"
        )}
      </button>
      <Dialog title={connected ? "Your wallet" : "Connect a wallet"} open={open} close={close}>
        {connected ? <Account close={close} /> : <Wallets close={close} />}
      </Dialog>
    </div>
  );
}

function Icon({ wallet }: { wallet: Wallet }) {
  return wallet.icon === "" ? <span class="icon" aria-hidden="true" /> : <img class="icon" src={wallet.icon} alt="" />;
}

/** The wallets to choose from. */
export function Wallets({ close }: { close: () => void }) {
  const { wallets } = useWallet();
  const [busy, setBusy] = useState<string | null>(null);
  const [error, setError] = useState<string | null>(null);
  const choose = async (wallet: Wallet) => {
    setBusy(wallet.uuid);
    setError(null);
    try {
      await connect(wallet);
      close();
    } catch (error) {
      setError((error as Error).message);
    } finally {
      setBusy(null);
    }
  };
  if (wallets.length === 0) {
    return (
      <>
        <p>No wallet was found in this browser.</p>
        <p class="soft">
          Any wallet extension that announces itself (EIP-6963) works, such as MetaMask, Rabby or Frame. Install one and reload this page.
        </p>
        <p class="soft">
          At a prompt no browser is needed: <code>chancery agent register --help</code>
        </p>
      </>
    );
  }
  return (
    <>
      {error ? <Alarm>{error}</Alarm> : null}
      <ul class="wallets">
        {wallets.map((wallet) => (
          <li key={wallet.uuid}>
            <button type="button" onClick={() => choose(wallet)} disabled={busy !== null}>
              <Icon wallet={wallet} />
              <span>{wallet.name}</span>
              <span class="soft">{busy === wallet.uuid ? "Answer there…" : ""}</span>
            </button>
          </li>
        ))}
      </ul>
      <p class="soft">You give this page your address, nothing else. Each signature is asked for one by one.</p>
    </>
  );
}

function Account({ close }: { close: () => void }) {
  const { connected } = useWallet();
  if (!connected) return null;
  return (
    <>
      <p>
        <Icon wallet={connected.wallet} /> {connected.wallet.name}
      </p>
      <fieldset class="accounts">
        <legend>{connected.accounts.length > 1 ? "Speak as" : "Account"}</legend>
        {connected.accounts.map((account) => (
          <label key={account}>
            <input
              type="radio"
              name="account"
              checked={sameAddress(account, connected.account)}
              onChange={() => speakAs(account)}
            />
            <code>{account}</code>
          </label>
        ))}
      </fieldset>
      <p class="buttons">
        <a class="button" href={`/owners/${connected.account}`} onClick={close}>
          My agents
        </a>
        <button
          type="button"
          onClick={() => {
            disconnect();
            close();
          }}
        >
          Disconnect
        </button>
      </p>
    </>
  );
}
