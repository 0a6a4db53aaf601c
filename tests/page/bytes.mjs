// How many bytes the first visit of the page takes on the wire, its answers' bodies as they are sent: one line of JSON.
//
//   CHANCERY_PAGE=http://... node bytes.mjs

import { open } from "./browser.mjs";

const { CHANCERY_PAGE: base } = process.env;
const { context, close } = await open();
const page = await context.newPage();
const wire = await context.newCDPSession(page);
await wire.send("Network.enable");
const urls = new Map();
const sizes = new Map();
wire.on("Network.responseReceived", ({ requestId, response }) => urls.set(requestId, new URL(response.url).pathname));
wire.on("Network.loadingFinished", ({ requestId, encodedDataLength }) => sizes.set(requestId, encodedDataLength));
await page.goto(`${base}/register`);
await page.getByRole("heading", { name: "Register an agent" }).waitFor();
await page.waitForLoadState("load");
const files = {};
for (const [id, path] of urls) if (!path.startsWith("/v1/") && sizes.has(id)) files[path] = sizes.get(id);
const page_bytes = Object.values(files).reduce((sum, size) => sum + size, 0);
console.log(JSON.stringify({ page_bytes, files }));
await close();
