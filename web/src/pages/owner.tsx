// The agents of one owner; for the connected account, what is his.

import { useState } from "preact/hooks";
import type { Agent, Page } from "../api";
import { useRead } from "../live";
import { useTitle } from "../route";
import { Alarm, Code, Nothing, Waiting } from "../parts/show";
import { AgentTable } from "../parts/table";
import { useWallet } from "../wallet";
import { isAddress, middle, sameAddress } from "../words";

const PAGE = 50;
const MOST = 200;

export function OwnerPage({ owner }: { owner: string }) {
  const { connected } = useWallet();
  const mine = sameAddress(connected?.account, owner);
  const [limit, setLimit] = useState(PAGE);
  useTitle(mine ? "My agents" : `Agents of ${middle(owner)}`);
  const path = isAddress(owner) ? `/v1/owners/${owner}/agents?limit=${limit}` : null;
  const { data, error } = useRead<Page<Agent>>(path, { minds: (change) => sameAddress(change.agent?.owner_address, owner) || change.changes.some(({ value }) => sameAddress(String(value), owner)) });
  if (path === null) return <Nothing title="This is no address" text="An address is 0x and 40 hex digits." />;
  return (
    <section>
      <h1>{mine ? "My agents" : "Agents of an owner"}</h1>
      <p>
        <Code text={owner} what="the address" whole />
      </p>
      {error ? <Alarm>{error.message}</Alarm> : null}
      {data === null && !error ? <Waiting what="agents" /> : null}
      {data && data.items.length > 0 ? <AgentTable agents={data.items} caption="Agents of this owner, newest first" withOwner={false} /> : null}
      {data && data.items.length === 0 ? <p class="empty">{mine ? "You own no agent here yet." : "This address owns no agent here."}</p> : null}
      {data?.next_cursor && limit < MOST ? (
        <p class="more">
          <button type="button" onClick={() => setLimit(Math.min(MOST, limit + PAGE))}>
            Older agents
          </button>
        </p>
      ) : null}
      {mine ? (
        <p class="buttons">
          <a class="button first" href="/register">
            Register an agent
          </a>
        </p>
      ) : null}
    </section>
  );
}
