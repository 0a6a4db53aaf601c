// From a wish to a signed transaction: what it costs is seen before it is signed.

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { post, type Chain, type Unsigned } from "../api";
import { go } from "../route";
import { send, switchTo, useWallet, type Connected } from "../wallet";
import { count, ether, middle } from "../words";
import { Wallets } from "./frame";
import { Alarm, Facts } from "./show";

/** What is asked of the chain, as `/v1/transactions/prepare` takes it. */
export type Wish = { kind: string } & Record<string, unknown>;

/** Shows its children to who has connected a wallet, and the wallets to who has not. */
export function WithWallet({ children }: { children: (connected: Connected) => ComponentChildren }) {
  const { connected } = useWallet();
  if (connected) return <>{children(connected)}</>;
  return (
    <div class="card">
      <h2>Connect a wallet to go on</h2>
      <Wallets close={() => {}} />
    </div>
  );
}

/** A wish whose cost is shown, and then signed. `wish` gives null where something is still missing. */
export function Sign({
  chain,
  wish,
  label,
  blocked,
  changed,
}: {
  chain: Chain;
  wish: () => Promise<Wish | null> | Wish | null;
  label: string;
  blocked?: string | null;
  /** What the cost depends on: another value, another cost. */
  changed: string;
}) {
  return (
    <WithWallet>
      {(connected) => <Steps key={`${connected.account} ${changed}`} {...{ connected, chain, wish, label, blocked }} />}
    </WithWallet>
  );
}

function Steps({
  connected,
  chain,
  wish,
  label,
  blocked,
}: {
  connected: Connected;
  chain: Chain;
  wish: () => Promise<Wish | null> | Wish | null;
  label: string;
  blocked?: string | null;
}) {
  const [busy, setBusy] = useState<"" | "cost" | "sign">("");
  const [error, setError] = useState<string | null>(null);
  const [ready, setReady] = useState<Unsigned | null>(null);
  const next = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    // A button that is not ready takes no focus.
    if (ready && busy === "") next.current?.focus();
  }, [ready, busy]);

  const doing = async (what: "cost" | "sign", work: () => Promise<void>) => {
    setBusy(what);
    setError(null);
    try {
      await work();
    } catch (error) {
      setError((error as Error).message);
    } finally {
      setBusy("");
    }
  };
  const prepare = () =>
    doing("cost", async () => {
      const action = await wish();
      if (action === null) return;
      setReady(await post<Unsigned>("/v1/transactions/prepare", { from: connected.account, chain: chain.chain, action }));
    });
  const sign = (unsigned: Unsigned) =>
    doing("sign", async () => {
      await switchTo(connected.wallet, chain);
      const tx = await send(connected.wallet, unsigned);
      go(`/transactions/${unsigned.chain}/${tx}`);
    });

  return (
    <div class="sign">
      {error ? <Alarm>{error}</Alarm> : null}
      {ready === null ? (
        <p class="buttons">
          <button type="submit" class="first" disabled={busy !== "" || Boolean(blocked)} onClick={submitted(prepare)}>
            {busy === "cost" ? "Asking the chain…" : `${label}: see the cost`}
          </button>
          {blocked ? <span class="soft">{blocked}</span> : <span class="soft">Nothing is signed yet.</span>}
        </p>
      ) : (
        <div class="card">
          <Cost chain={chain} unsigned={ready} account={connected.account} />
          <p class="buttons">
            <button ref={next} type="button" class="first" disabled={busy !== ""} onClick={() => sign(ready)}>
              {busy === "sign" ? `Answer in ${connected.wallet.name}…` : `${label}: sign in ${connected.wallet.name}`}
            </button>
            <button type="button" disabled={busy !== ""} onClick={() => setReady(null)}>
              Back
            </button>
          </p>
        </div>
      )}
    </div>
  );
}

/** A form's own checks come first: the browser says what is missing. */
const submitted = (work: () => void) => (event: MouseEvent) => {
  const form = (event.currentTarget as HTMLButtonElement).form;
  event.preventDefault();
  if (form === null || form.reportValidity()) work();
};

function Cost({ chain, unsigned, account }: { chain: Chain; unsigned: Unsigned; account: string }) {
  const { gas, maxFeePerGas, to } = unsigned.transaction;
  const most = BigInt(gas) * BigInt(maxFeePerGas);
  return (
    <>
      <h2>What it costs</h2>
      <Facts
        rows={[
          ["At most", <strong>{ether(most)} ETH</strong>],
          ["Gas", `${count(Number(gas))}, at ${ether(BigInt(maxFeePerGas) * 10n ** 9n)} gwei at most`],
          ["Chain", `${chain.name} (${chain.chain})`],
          ["From", <code>{account}</code>],
          ["To", <code title={to}>{middle(to ?? "", 10, 8)}</code>],
        ]}
      />
    </>
  );
}
