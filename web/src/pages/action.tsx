// What an owner does with an agent: each on a page of its own, so that it can be linked and left.

import { agentPath, Problem, type Agent, type Sync } from "../api";
import { useRead } from "../live";
import { useTitle } from "../route";
import type { Props } from "../parts/owning";
import { Alarm, Note, Nothing, Owner, StatusMark, Waiting } from "../parts/show";
import { useWallet } from "../wallet";
import { placeOf, sameAddress, shortOf, titleOf } from "../words";
import { Edit } from "./edit";
import { Deregister, SetStatus } from "./standing";
import { SetWallet, Transfer } from "./transfer";

/** What an owner can only do with a token. */
const NEED_A_TOKEN = ["wallet"];

const TITLES: Record<string, [string, (props: Props) => preact.JSX.Element]> = {
  edit: ["Edit the registration file", Edit],
  status: ["Set the status", SetStatus],
  wallet: ["Set the agent's wallet", SetWallet],
  transfer: ["Transfer to another owner", Transfer],
  deregister: ["Deregister", Deregister],
};

export function ActionPage({ name, action }: { name: string; action: string }) {
  const found = TITLES[action];
  const { data: agent, error } = useRead<Agent>(agentPath(name));
  const { data: sync } = useRead<Sync>("/v1/sync");
  const { connected } = useWallet();
  useTitle(agent && found ? `${found[0]}: ${titleOf(agent)}` : (found?.[0] ?? ""));
  if (!found) return <Nothing title="There is no such page" text="The address leads nowhere here." />;
  if (error instanceof Problem && error.status === 404) return <Nothing title="No agent has this name" text={`Nothing here is called ${name}.`} />;
  if (!agent || !sync) return error ? <Alarm>{error.message}</Alarm> : <Waiting what="the agent" />;
  const chain = sync.chains.find((one) => one.chain !== null && one.chain === agent.chain && one.origin !== "replay") ?? null;
  const fits = chain !== null || (agent.chain === null && !NEED_A_TOKEN.includes(action));
  const [title, Body] = found;
  const stranger = connected && !sameAddress(connected.account, agent.owner_address);
  return (
    <section class={action === "edit" ? "" : "narrow"}>
      <p class="back">
        <a href={placeOf(agent)}>← {titleOf(agent)}</a>
      </p>
      <h1>{title}</h1>
      <p class="line">
        <StatusMark agent={agent} />
        <code>{shortOf(agent)}</code>
        <span class="soft">
          owned by <Owner address={agent.owner_address} />
        </span>
      </p>
      {stranger ? (
        <Note tone="warn">
          You speak as <code>{connected.account}</code>, who is not the owner. The contract refuses whom the owner did not allow to act for him.
        </Note>
      ) : null}
      {fits ? (
        <Body agent={agent} chain={chain} sync={sync} />
      ) : (
        <Note tone="warn">This instance has no node of the agent's chain, so nothing can be sent there from here.</Note>
      )}
    </section>
  );
}
