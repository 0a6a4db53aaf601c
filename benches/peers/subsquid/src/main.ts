import { EvmBatchProcessor } from "@subsquid/evm-processor";
import { TypeormDatabase } from "@subsquid/typeorm-store";
import { In } from "typeorm";
import * as abi from "./abi";
import { Agent, MetadataSet, Registered, Transfer, UriUpdated } from "./model";

const REGISTRY = "0x8004a169fb4a3325136eb29fa0ceb6d2e539a432";
const NOBODY = "0x0000000000000000000000000000000000000000";

const processor = new EvmBatchProcessor()
  .setRpcEndpoint(process.env.RPC_URL)
  .setFinalityConfirmation(64)
  .setBlockRange({ from: 0, to: Number(process.env.END_BLOCK) })
  .setFields({ log: { topics: true, data: true } })
  .addLog({
    address: [REGISTRY],
    topic0: [abi.Registered, abi.Transfer, abi.MetadataSet, abi.UriUpdated].map((e) => e.topic),
  });

processor.run(new TypeormDatabase(), async ({ blocks, store }) => {
  const registered: Registered[] = [];
  const transfers: Transfer[] = [];
  const metadata: MetadataSet[] = [];
  const uris: UriUpdated[] = [];
  // What each event does to its agent, in order.
  const changes: { agent: string; change: Partial<Agent> }[] = [];

  for (const { header, logs } of blocks) {
    const block = header.height;
    for (const log of logs) {
      const id = log.id;
      switch (log.topics[0]) {
        case abi.Transfer.topic: {
          const { from, to, tokenId } = abi.Transfer.decode(log);
          const agent = tokenId.toString();
          transfers.push(new Transfer({ id, block, agent, from, to }));
          const blank = from === NOBODY ? { uri: "" } : {};
          changes.push({ agent, change: { ...blank, owner: to, block } });
          break;
        }
        case abi.Registered.topic: {
          const { agentId, agentURI: uri, owner } = abi.Registered.decode(log);
          const agent = agentId.toString();
          registered.push(new Registered({ id, block, agent, owner, uri }));
          changes.push({ agent, change: { owner, uri, block } });
          break;
        }
        case abi.MetadataSet.topic: {
          const { agentId, metadataKey: key, metadataValue: value } = abi.MetadataSet.decode(log);
          const agent = agentId.toString();
          metadata.push(new MetadataSet({ id, block, agent, key, value }));
          changes.push({ agent, change: { key, value, block } });
          break;
        }
        case abi.UriUpdated.topic: {
          const { agentId, newURI: uri, updatedBy: by } = abi.UriUpdated.decode(log);
          const agent = agentId.toString();
          uris.push(new UriUpdated({ id, block, agent, uri, by }));
          changes.push({ agent, change: { uri, block } });
          break;
        }
      }
    }
  }

  const touched = [...new Set(changes.map(({ agent }) => agent))];
  const known = await store.findBy(Agent, { id: In(touched) });
  const agents = new Map(known.map((agent) => [agent.id, agent]));
  for (const { agent: id, change } of changes) {
    const agent = agents.get(id) ?? new Agent({ id });
    agents.set(id, Object.assign(agent, change));
  }
  await store.upsert([...agents.values()]);
  await store.insert(registered);
  await store.insert(transfers);
  await store.insert(metadata);
  await store.insert(uris);
});
