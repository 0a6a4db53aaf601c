// The registration file (ERC-8004): what the form says, as JSON, and back.

const TYPE = "https://eips.ethereum.org/EIPS/eip-8004#registration-v1";
const OASF = "https://github.com/agntcy/oasf/";
const OASF_VERSION = "0.8.0";

type Fields = Record<string, unknown>;

export interface Service {
  name: string;
  endpoint: string;
  /** What else the file says of it; it stays. */
  rest: Fields;
}

/** What the form holds. */
export interface Draft {
  name: string;
  description: string;
  image: string;
  services: Service[];
  skills: string;
  domains: string;
  trust: string[];
  active: boolean;
  x402: boolean;
  /** The file that is edited: what the form does not know of it stays. */
  base: Fields;
}

export const TRUST: [string, string, string][] = [
  ["reputation", "Reputation", "Clients rate it on chain."],
  ["crypto-economic", "Crypto-economic", "Its work is validated with a stake."],
  ["tee-attestation", "TEE attestation", "It proves what code it runs."],
];

export const SERVICE_NAMES = ["A2A", "MCP", "web", "ENS", "DID", "email"];

export const emptyDraft = (): Draft => ({
  name: "",
  description: "",
  image: "",
  services: [{ name: "A2A", endpoint: "", rest: {} }],
  skills: "",
  domains: "",
  trust: [],
  active: true,
  x402: false,
  base: {},
});

const isFields = (value: unknown): value is Fields => typeof value === "object" && value !== null && !Array.isArray(value);
const text = (value: unknown) => (typeof value === "string" ? value : "");
const texts = (value: unknown) => (Array.isArray(value) ? value.filter((one): one is string => typeof one === "string") : []);
const listed = (value: string) =>
  value
    .split(/[,\n]/)
    .map((one) => one.trim())
    .filter(Boolean);

const isOasf = (service: Fields) => text(service.name).toUpperCase() === "OASF";

/** Whether the form can show a file whole: otherwise it is edited as JSON. */
export function fits(document: unknown): document is Fields {
  if (!isFields(document)) return false;
  const services = document.services ?? document.endpoints ?? [];
  return Array.isArray(services) && services.every(isFields);
}

/** A file as the form has it. */
export function read(document: Fields): Draft {
  const { services: named, endpoints, ...base } = document;
  const services = ((named ?? endpoints ?? []) as Fields[]).filter(isFields);
  const oasf = services.find(isOasf);
  return {
    name: text(document.name),
    description: text(document.description),
    image: text(document.image),
    services: services
      .filter((service) => service !== oasf)
      .map(({ name, endpoint, ...rest }) => ({ name: text(name), endpoint: text(endpoint), rest })),
    skills: texts(oasf?.skills).join(", "),
    domains: texts(oasf?.domains).join(", "),
    trust: texts(document.supportedTrust),
    active: document.active !== false,
    x402: document.x402Support === true,
    base: oasf ? { ...base, [OWN]: oasf } : base,
  };
}

/** Where the draft keeps the OASF service as the file had it; never written. */
const OWN = " oasf";

/** The file that the form describes. */
export function build(draft: Draft): Fields {
  const { [OWN]: before, ...base } = draft.base;
  const services: Fields[] = draft.services
    .filter((service) => service.endpoint.trim() !== "" || Object.keys(service.rest).length > 0)
    .map(({ name, endpoint, rest }) => ({ name: name.trim(), endpoint: endpoint.trim(), ...rest }));
  const [skills, domains] = [listed(draft.skills), listed(draft.domains)];
  if (skills.length > 0 || domains.length > 0) {
    const kept = isFields(before) ? before : { endpoint: OASF, version: OASF_VERSION };
    const { skills: _, domains: __, ...rest } = kept;
    services.push({ name: "OASF", ...rest, ...some("skills", skills), ...some("domains", domains) });
  }
  const { type: _type, name: _name, description: _text, image: _image, active: _active, x402Support: _pays, supportedTrust: _trust, ...rest } = base;
  return {
    type: TYPE,
    name: draft.name.trim(),
    description: draft.description.trim(),
    ...(draft.image.trim() === "" ? {} : { image: draft.image.trim() }),
    services,
    ...(draft.x402 || "x402Support" in base ? { x402Support: draft.x402 } : {}),
    active: draft.active,
    ...some("supportedTrust", draft.trust),
    ...rest,
  };
}

const some = (key: string, values: string[]) => (values.length > 0 ? { [key]: values } : {});

/** The file with the token that it describes, which lets others check the two against each other. */
export function naming(file: Fields, token: { chain: number; registry: string; agentId: string }): Fields {
  const agentRegistry = `eip155:${token.chain}:${token.registry}`;
  const number = Number(token.agentId);
  const agentId = Number.isSafeInteger(number) ? number : token.agentId;
  const there = Array.isArray(file.registrations) ? file.registrations : [];
  const same = (one: unknown) =>
    isFields(one) && text(one.agentRegistry).toLowerCase() === agentRegistry.toLowerCase() && String(one.agentId) === token.agentId;
  if (there.some(same)) return file;
  return { ...file, registrations: [...there, { agentId, agentRegistry }] };
}
