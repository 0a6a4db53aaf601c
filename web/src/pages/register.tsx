// Registering: a form, the file that it makes, what it costs, a signature.

import { useState } from "preact/hooks";
import type { Chain, Checked, Sync } from "../api";
import { useRead } from "../live";
import { build, emptyDraft, type Draft } from "../registration";
import { go, useRoute, useTitle } from "../route";
import { Gasless } from "./gasless";
import { Already, Form, Preview, useCheck } from "../parts/form";
import { Alarm, Note, Waiting } from "../parts/show";
import { Sign } from "../parts/send";
import { usual, Where, uriOf, type Place } from "../parts/place";
import { useWallet } from "../wallet";

/** Chains on which somebody can register through this instance. */
const open = (chain: Chain) => chain.chain !== null && chain.contracts.identity.length > 0 && chain.origin !== "replay";

export function RegisterPage() {
  useTitle("Register an agent");
  const { data: sync, error } = useRead<Sync>("/v1/sync");
  const chains = sync?.chains.filter(open) ?? [];
  const { query } = useRoute();
  const gasless = query.get("way") === "statement";
  return (
    <>
      <section class="lead">
        <h1>Register an agent</h1>
        <fieldset class="ways">
          <legend class="hidden">How</legend>
          <label class="check">
            <input type="radio" name="how" checked={!gasless} onChange={() => go("/register", true)} />
            <span>
              On a chain <span class="hint">You get a token of the ERC-8004 identity registry that names a registration file. Costs gas.</span>
            </span>
          </label>
          <label class="check">
            <input type="radio" name="how" checked={gasless} onChange={() => go("/register?way=statement", true)} />
            <span>
              Without gas <span class="hint">The agent gets a key, and its record stands in this office's journal, signed.</span>
            </span>
          </label>
        </fieldset>
      </section>
      {error ? <Alarm>{error.message}</Alarm> : null}
      {sync === null && !error ? <Waiting what="the chains" /> : null}
      {gasless ? <Gasless /> : null}
      {sync && !gasless && chains.length === 0 ? (
        <Note tone="warn">No chain here takes registrations: none has a registry and a node. The office page says how far each is.</Note>
      ) : null}
      {sync && !gasless && chains.length > 0 ? <Register chains={chains} sync={sync} /> : null}
    </>
  );
}

function Register({ chains, sync }: { chains: Chain[]; sync: Sync }) {
  const { connected } = useWallet();
  const [draft, setDraft] = useState<Draft>(emptyDraft);
  const [chosen, setChosen] = useState(0);
  const [place, setPlace] = useState<Place>(() => usual(sync));
  const [agreed, setAgreed] = useState(false);
  const chain = chains[chosen] ?? (chains[0] as Chain);
  const text = JSON.stringify(build(draft));
  const check = useCheck(text, connected?.account, chain.chain ?? undefined);
  return (
    <form class="columns" onSubmit={(event) => event.preventDefault()}>
      <div>
        <Form draft={draft} change={setDraft} />
        <Where place={place} change={setPlace} text={text} />
        {chains.length > 1 ? (
          <div class="field">
            <label for="f-chain">Chain</label>
            <select id="f-chain" value={chosen} onChange={(event) => setChosen(Number(event.currentTarget.value))}>
              {chains.map((one, at) => (
                <option key={one.chain} value={at}>
                  {one.name} ({one.chain})
                </option>
              ))}
            </select>
          </div>
        ) : null}
      </div>
      <div class="beside">
        <Preview text={text} checked={check.checked} error={check.error} begun={draft.name !== "" || draft.description !== ""} />
        <Already checked={check.checked} agreed={agreed} agree={setAgreed} />
        <Sign
          chain={chain}
          label="Register"
          blocked={reason(check.checked, check.isFresh, agreed)}
          changed={`${text} ${chain.chain} ${place.way} ${place.url} ${place.unpinned}`}
          wish={async () => ({ kind: "register", uri: await uriOf(place, text, check.checked, setPlace) })}
        />
      </div>
    </form>
  );
}

/** Why it cannot go on yet. */
function reason(checked: Checked | null, isFresh: boolean, agreed: boolean): string | null {
  if (!checked || !isFresh) return "The file is being checked…";
  if (checked.state === "malformed") return "The file cannot be read.";
  if (checked.already.length > 0 && !agreed) return "Say above whether it is another one.";
  return null;
}
