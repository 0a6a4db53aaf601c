// A statement about an agent, signed by its owner's wallet: it costs nothing, and stands in this office's journal.

import { useState } from "preact/hooks";
import type { Agent } from "../api";
import { go } from "../route";
import { say } from "../statement";
import type { Connected } from "../wallet";
import { placeOf } from "../words";
import { WithWallet } from "./send";
import { Alarm } from "./show";

interface Props {
  agent: Agent;
  action: string;
  content: () => Record<string, unknown>;
  label: string;
  blocked?: string | null;
}

export function Say(props: Props) {
  return <WithWallet>{(connected) => <SayAs key={connected.account} {...props} connected={connected} />}</WithWallet>;
}

function SayAs({ agent, action, content, label, blocked, connected }: Props & { connected: Connected }) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const sign = async (event: MouseEvent) => {
    const form = (event.currentTarget as HTMLButtonElement).form;
    event.preventDefault();
    if (form !== null && !form.reportValidity()) return;
    setBusy(true);
    setError(null);
    try {
      await say(agent.did, action, content(), connected);
      go(placeOf(agent));
    } catch (error) {
      setError((error as Error).message);
      setBusy(false);
    }
  };
  return (
    <div class="sign">
      {error ? <Alarm>{error}</Alarm> : null}
      <p class="buttons">
        <button type="submit" class="first" disabled={busy || Boolean(blocked)} onClick={sign}>
          {busy ? `Answer in ${connected.wallet.name}…` : `${label}: sign in ${connected.wallet.name}`}
        </button>
        <span class="soft">{blocked ?? "Costs nothing."}</span>
      </p>
    </div>
  );
}
