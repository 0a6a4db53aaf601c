// Builds web/dist, which is committed: `cargo build` needs no Node.
//
//   node build.mjs           writes dist/
//   node build.mjs --check   fails where dist/ is not what the sources give
//   node build.mjs --watch   writes it again after every change

import { readFile, readdir, mkdir, writeFile, rm } from "node:fs/promises";
import { context, build } from "esbuild";

const here = new URL(".", import.meta.url);
const dist = new URL("dist/", here);
const COPIED = ["index.html", "icon.svg"];
/** What is bundled is under these packages' licences, whose texts go along. */
const BUNDLED = ["preact", "uqr"];

const options = {
  absWorkingDir: here.pathname,
  entryPoints: { app: "src/main.tsx", style: "src/style/all.css" },
  outdir: "dist",
  bundle: true,
  minify: true,
  format: "esm",
  target: ["es2022", "safari16.4"],
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "none",
  charset: "utf8",
  logLevel: "warning",
};

/** Everything that dist/ holds, by name. */
async function made() {
  const { outputFiles } = await build({ ...options, write: false });
  const files = new Map(outputFiles.map((file) => [file.path.split("/").pop(), Buffer.from(file.contents)]));
  for (const name of COPIED) files.set(name, await readFile(new URL(`src/${name}`, here)));
  files.set("licences.txt", Buffer.from(await licences()));
  return files;
}

async function licences() {
  const texts = BUNDLED.map(async (name) => {
    const text = await readFile(new URL(`node_modules/${name}/LICENSE`, here), "utf8");
    return `${name}\n\n${text.trim()}\n`;
  });
  return (await Promise.all(texts)).join("\n----\n\n");
}

async function check(files) {
  const wrong = new Set(await readdir(dist));
  for (const [name, bytes] of files) {
    const there = await readFile(new URL(name, dist)).catch(() => null);
    if (there?.equals(bytes)) wrong.delete(name);
    else wrong.add(name);
  }
  if (wrong.size > 0) {
    console.error(`web/dist is not what web/src gives (${[...wrong].join(", ")}): run \`npm run build\` in web/`);
    process.exitCode = 1;
  }
}

async function write(files) {
  await rm(dist, { recursive: true, force: true });
  await mkdir(dist);
  for (const [name, bytes] of files) await writeFile(new URL(name, dist), bytes);
}

if (process.argv.includes("--check")) await check(await made());
else if (process.argv.includes("--watch")) await (await context(options)).watch();
else await write(await made());
