// What the account watches, and what happened to it.

import { useState } from "preact/hooks";
import { get, half, post, type Change, type Page } from "../api";
import { useRead } from "../live";
import { signIn, signOut, useSession, type Who } from "../session";
import { useTitle } from "../route";
import { WithWallet } from "../parts/send";
import { Alarm, Waiting } from "../parts/show";
import { ChangeLine } from "./agents";
import type { Connected } from "../wallet";
import { middle } from "../words";

interface Watch {
  name: string;
  target: string;
  owner: string | null;
  agent: string | null;
}

/** The one that the page keeps; a prompt may have more. */
const NAME = "mine";

export function WatchesPage() {
  useTitle("Watches");
  const who = useSession();
  return (
    <section>
      <h1>Watches</h1>
      <p class="soft">Owners and agents whose changes you want to hear of: transfers, approvals, wallets, keys, endpoints, files, claims, status, new agents, and what a reorg takes back.</p>
      {who === null ? <Waiting what="who you are" /> : who.kind === "anonymous" ? <SignIn /> : <Watches who={who} />}
    </section>
  );
}

function SignIn() {
  return <WithWallet>{(connected) => <SignInAs connected={connected} />}</WithWallet>;
}

function SignInAs({ connected }: { connected: Connected }) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const sign = async () => {
    setBusy(true);
    setError(null);
    try {
      await signIn(connected);
    } catch (error) {
      setError((error as Error).message);
    } finally {
      setBusy(false);
    }
  };
  return (
    <div class="card">
      <h2>Say who you are</h2>
      <p>A watch belongs to an account. You sign one message; it costs nothing and changes nothing.</p>
      {error ? <Alarm>{error}</Alarm> : null}
      <p class="buttons">
        <button type="button" class="first" disabled={busy} onClick={sign}>
          {busy ? `Answer in ${connected.wallet.name}…` : `Sign in with ${connected.wallet.name}`}
        </button>
        <code>{middle(connected.account)}</code>
      </p>
    </div>
  );
}

function Watches({ who }: { who: Who }) {
  const list = useRead<Page<Watch>>(`/v1/watches?name=${NAME}&limit=200`);
  const items = list.data?.items ?? [];
  const alerts = useRead<{ items: Change[] }>(items.length > 0 ? `/v1/changes?level=head&watch=${NAME}&after=newest&limit=30` : null, {
    minds: () => true,
    rest: 5_000,
  });
  const [text, setText] = useState("");
  const [error, setError] = useState<string | null>(null);
  const doing = async (work: () => Promise<unknown>) => {
    setError(null);
    try {
      await work();
      list.reload();
      // What is watched now may have changed before.
      alerts.reload();
    } catch (error) {
      setError((error as Error).message);
    }
  };
  const add = (event: Event) => {
    event.preventDefault();
    const target = text.trim();
    if (target !== "") void doing(() => post("/v1/watches", { target, name: NAME }).then(() => setText("")));
  };
  return (
    <>
      <p class="line">
        <span>
          Signed in as <code>{who.id ?? who.kind}</code>
        </span>
        <button type="button" class="link" onClick={() => void signOut()}>
          Sign out
        </button>
      </p>
      <form class="filters adding" onSubmit={add}>
        <label class="hidden" for="f-target">
          An owner's address, a DID, or an agent
        </label>
        <input
          id="f-target"
          placeholder="0x…, did:…, or 8453:17"
          autocomplete="off"
          spellcheck={false}
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
        />
        <button type="submit">Watch</button>
      </form>
      {error ? <Alarm>{error}</Alarm> : null}
      {list.data && items.length === 0 ? <p class="empty">You watch nobody yet.</p> : null}
      <ul class="plain watched">
        {items.map((watch) => (
          <li key={watch.target}>
            <a class="code" href={watch.owner ? `/owners/${watch.owner}` : watch.agent ? `/agents/${watch.agent}` : "/"}>
              <code>{watch.target}</code>
            </a>
            <button
              type="button"
              class="quiet"
              aria-label={`Stop watching ${watch.target}`}
              onClick={() => void doing(() => remove(watch.target))}
            >
              ✕
            </button>
          </li>
        ))}
      </ul>
      {items.length > 0 ? (
        <>
          <h2>What happened</h2>
          {alerts.data && alerts.data.items.length === 0 ? <p class="empty">Nothing has changed in the last days.</p> : null}
          <ol class="changes" aria-live="polite">
            {[...(alerts.data?.items ?? [])].reverse().map((item) => (
              <ChangeLine key={item.cursor} item={item} />
            ))}
          </ol>
        </>
      ) : null}
    </>
  );
}

async function remove(target: string) {
  const path = `/v1/watches/${NAME}?target=${encodeURIComponent(target)}`;
  const response = await fetch(path, { method: "DELETE", credentials: "same-origin", headers: half() });
  if (!response.ok) throw new Error("the watch was not removed");
  await get("/v1/sessions/current");
}
