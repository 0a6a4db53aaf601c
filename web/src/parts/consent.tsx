// The new wallet's consent (EIP-712): signed by an account of a wallet here, or elsewhere and put in.

import { useState } from "preact/hooks";
import { signTyped, useWallet } from "../wallet";
import { sameAddress } from "../words";
import { Alarm, Copy, Note } from "./show";

/** A consent that was signed. */
export interface Given {
  wallet: string;
  deadline: number;
  signature: string;
}

interface Asked {
  deadline: number;
  typed_data: unknown;
}

export function Consent({ wallet, ask, given, give }: { wallet: string; ask: () => Promise<Asked>; given: boolean; give: (given: Given) => void }) {
  const { connected } = useWallet();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const [elsewhere, setElsewhere] = useState<Asked | null>(null);
  const here = connected?.accounts.some((account) => sameAddress(account, wallet)) ?? false;

  const doing = async (work: () => Promise<void>) => {
    setBusy(true);
    setError(null);
    try {
      await work();
    } catch (error) {
      setError((error as Error).message);
    } finally {
      setBusy(false);
    }
  };
  const sign = () =>
    doing(async () => {
      if (!connected) return;
      const asked = await ask();
      const signature = await signTyped(connected.wallet, wallet, asked.typed_data);
      give({ wallet, deadline: asked.deadline, signature });
    });

  if (given) return <Note tone="good">The new wallet agreed. Its consent holds for some minutes.</Note>;
  return (
    <div class="card">
      {error ? <Alarm>{error}</Alarm> : null}
      {here ? (
        <>
          <p>This account is in your wallet.</p>
          <button type="button" disabled={busy} onClick={sign}>
            {busy ? "Answer in your wallet…" : "Sign the consent with it"}
          </button>
        </>
      ) : (
        <>
          <p>
            This account is not among those that you connected. Connect it, or have this signed wherever it lives (EIP-712) and put the signature in.
          </p>
          {elsewhere === null ? (
            <button type="button" disabled={busy} onClick={() => doing(async () => setElsewhere(await ask()))}>
              Show what to sign
            </button>
          ) : (
            <>
              <div class="copyline">
                <pre class="file" tabIndex={0} aria-label="What to sign">
                  {JSON.stringify(elsewhere.typed_data, null, 2)}
                </pre>
                <Copy text={JSON.stringify(elsewhere.typed_data)} what="what to sign" />
              </div>
              <div class="field">
                <label for="f-signature">Its signature</label>
                <input
                  id="f-signature"
                  class="code"
                  placeholder="0x…"
                  autocomplete="off"
                  spellcheck={false}
                  onInput={(event) => {
                    const signature = event.currentTarget.value.trim();
                    if (/^0x([0-9a-fA-F]{2})+$/.test(signature)) give({ wallet, deadline: elsewhere.deadline, signature });
                  }}
                />
              </div>
            </>
          )}
        </>
      )}
    </div>
  );
}
