// As `squid-typeorm-migration generate` makes it of src/model.ts, shortened.
module.exports = class Tables1700000000000 {
  name = "Tables1700000000000";

  async up(db) {
    const text = (...names) => names.map((name) => `"${name}" text NOT NULL`).join(", ");
    const event = (...names) =>
      `(id character varying PRIMARY KEY, block integer NOT NULL, ${text("agent", ...names)})`;
    await db.query(
      `CREATE TABLE agent (id character varying PRIMARY KEY, ${text("owner", "uri")}, key text, value text, block integer NOT NULL)`,
    );
    await db.query(`CREATE TABLE registered ${event("owner", "uri")}`);
    await db.query(`CREATE TABLE transfer ${event("from", "to")}`);
    await db.query(`CREATE TABLE metadata_set ${event("key", "value")}`);
    await db.query(`CREATE TABLE uri_updated ${event("uri", "by")}`);
  }

  async down(db) {
    await db.query(`DROP TABLE agent, registered, transfer, metadata_set, uri_updated`);
  }
};
