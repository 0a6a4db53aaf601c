import { ponder } from "ponder:registry";
import { agent, metadataSet, registered, transfer, uriUpdated } from "ponder:schema";
import { zeroAddress } from "viem";

ponder.on("Registry:Transfer", async ({ event, context }) => {
  const { from, to, tokenId: id } = event.args;
  const block = event.block.number;
  await context.db.insert(transfer).values({ block, log: event.log.logIndex, agent: id, from, to });
  if (from === zeroAddress) {
    await context.db.insert(agent).values({ id, owner: to, uri: "", block });
  } else {
    await context.db.update(agent, { id }).set({ owner: to, block });
  }
});

ponder.on("Registry:Registered", async ({ event, context }) => {
  const { agentId: id, agentURI: uri, owner } = event.args;
  const block = event.block.number;
  await context.db.insert(registered).values({ block, log: event.log.logIndex, agent: id, owner, uri });
  await context.db.update(agent, { id }).set({ owner, uri, block });
});

ponder.on("Registry:MetadataSet", async ({ event, context }) => {
  const { agentId: id, metadataKey: key, metadataValue: value } = event.args;
  const block = event.block.number;
  await context.db.insert(metadataSet).values({ block, log: event.log.logIndex, agent: id, key, value });
  await context.db.update(agent, { id }).set({ key, value, block });
});

ponder.on("Registry:URIUpdated", async ({ event, context }) => {
  const { agentId: id, newURI: uri, updatedBy: by } = event.args;
  const block = event.block.number;
  await context.db.insert(uriUpdated).values({ block, log: event.log.logIndex, agent: id, uri, by });
  await context.db.update(agent, { id }).set({ uri, block });
});
