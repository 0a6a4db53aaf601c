import { onchainTable, primaryKey } from "ponder";

/** The state of each agent, moved by all four events. */
export const agent = onchainTable("agent", (t) => ({
  id: t.bigint().primaryKey(),
  owner: t.hex().notNull(),
  uri: t.text().notNull(),
  key: t.text(),
  value: t.hex(),
  block: t.bigint().notNull(),
}));

export const registered = onchainTable(
  "registered",
  (t) => ({
    block: t.bigint().notNull(),
    log: t.integer().notNull(),
    agent: t.bigint().notNull(),
    owner: t.hex().notNull(),
    uri: t.text().notNull(),
  }),
  (table) => ({ pk: primaryKey({ columns: [table.block, table.log] }) }),
);

export const transfer = onchainTable(
  "transfer",
  (t) => ({
    block: t.bigint().notNull(),
    log: t.integer().notNull(),
    agent: t.bigint().notNull(),
    from: t.hex().notNull(),
    to: t.hex().notNull(),
  }),
  (table) => ({ pk: primaryKey({ columns: [table.block, table.log] }) }),
);

export const metadataSet = onchainTable(
  "metadata_set",
  (t) => ({
    block: t.bigint().notNull(),
    log: t.integer().notNull(),
    agent: t.bigint().notNull(),
    key: t.text().notNull(),
    value: t.hex().notNull(),
  }),
  (table) => ({ pk: primaryKey({ columns: [table.block, table.log] }) }),
);

export const uriUpdated = onchainTable(
  "uri_updated",
  (t) => ({
    block: t.bigint().notNull(),
    log: t.integer().notNull(),
    agent: t.bigint().notNull(),
    uri: t.text().notNull(),
    by: t.hex().notNull(),
  }),
  (table) => ({ pk: primaryKey({ columns: [table.block, table.log] }) }),
);
