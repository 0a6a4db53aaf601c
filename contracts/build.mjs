// Compiles src/ to artifacts/, which is committed: whoever runs Chancery needs no Solidity compiler.
//
//   node build.mjs           writes the artifacts
//   node build.mjs --check   compares them with what src/ gives, exit code 1 when they differ
//
// The output depends on sources, package versions and settings alone, never on machine or folder.

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import solc from 'solc';

const here = new URL('./', import.meta.url);
const artifacts = new URL('artifacts/', here);

// Where each contract that gets an artifact is defined.
const contracts = {
  AgentStatus: 'src/AgentStatus.sol',
  AuditAnchor: 'src/AuditAnchor.sol',
  ContractWallet: 'src/test/ContractWallet.sol',
  ContractWalletFactory: 'src/test/ContractWalletFactory.sol',
  ERC1967Proxy: '@openzeppelin/contracts/proxy/ERC1967/ERC1967Proxy.sol',
  IdentityRegistry: 'src/IdentityRegistry.sol',
  PredeployCheck: 'src/PredeployCheck.sol',
  ReentrantMinter: 'src/test/ReentrantMinter.sol',
  VexelStandIn: 'src/test/VexelStandIn.sol',
};

const settings = {
  evmVersion: 'cancun',
  optimizer: { enabled: true, runs: 200 },
  // Without the hash of the metadata, bytecode changes only when the code does.
  metadata: { bytecodeHash: 'none' },
  outputSelection: { '*': { '*': ['abi', 'evm.bytecode.object', 'evm.deployedBytecode.object'] } },
};

function readSource(path) {
  const folder = path.startsWith('@') ? 'node_modules/' : '';
  return readFileSync(new URL(folder + path, here), 'utf8');
}

function importSource(path) {
  try {
    return { contents: readSource(path) };
  } catch (error) {
    return { error: `cannot read ${path}: ${error.code}` };
  }
}

function compile() {
  const sources = {};
  for (const path of Object.values(contracts)) sources[path] = { content: readSource(path) };

  const input = { language: 'Solidity', sources, settings };
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: importSource }));

  const messages = output.errors ?? [];
  for (const message of messages) console.error(message.formattedMessage);
  if (messages.some((message) => message.severity === 'error')) process.exit(1);
  return output.contracts;
}

function artifact(contractName, compiled) {
  const { abi, evm } = compiled[contracts[contractName]][contractName];
  return {
    contractName,
    compiler: `solc ${solc.version()}`,
    evmVersion: settings.evmVersion,
    optimizerRuns: settings.optimizer.runs,
    abi,
    bytecode: `0x${evm.bytecode.object}`,
    deployedBytecode: `0x${evm.deployedBytecode.object}`,
  };
}

function committed(file) {
  try {
    return readFileSync(new URL(file, artifacts), 'utf8');
  } catch {
    return null;
  }
}

function build() {
  const compiled = compile();
  const files = new Map();
  for (const name of Object.keys(contracts)) {
    files.set(`${name}.json`, `${JSON.stringify(artifact(name, compiled), null, 1)}\n`);
  }
  return files;
}

function write(files) {
  mkdirSync(artifacts, { recursive: true });
  for (const [file, text] of files) {
    writeFileSync(new URL(file, artifacts), text);
    console.log(`wrote artifacts/${file}`);
  }
}

function check(files) {
  const problems = [];
  for (const [file, text] of files) {
    const old = committed(file);
    if (old === null) problems.push(`artifacts/${file} is missing`);
    else if (old !== text) problems.push(`artifacts/${file} differs from what src/ gives`);
  }
  for (const file of existsSync(artifacts) ? readdirSync(artifacts) : []) {
    if (!files.has(file)) problems.push(`artifacts/${file} belongs to no contract`);
  }
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) {
    console.error('run: node build.mjs');
    process.exit(1);
  }
  console.log(`${files.size} artifacts are what src/ gives`);
}

const files = build();
if (process.argv.includes('--check')) check(files);
else write(files);
