/** The code of a finding, such as `anonymity.tor`; docs/decisions.md lists them all. */
export type FindingCode = string;

/** Criminal IP's levels: 20 (Safe), 40 (Low), 60 (Moderate), 80 (Dangerous), 100 (Critical). */
export type Level = 20 | 40 | 60 | 80 | 100;

/** Risk of traffic from the address and to it; `null` where unknown. */
export interface Levels {
  inbound: Level | null;
  outbound: Level | null;
}

/** A piece of evidence, and what in the report or the connection it rests on. */
export interface Finding {
  code: FindingCode;
  detail: string | null;
}

/** What a report says about an address. Plain data: it may be stored and judged later. */
export interface Assessment {
  outcome: "assessed";
  /** The address that the report names. */
  ip: string | null;
  /** When the report was read, in seconds since the start of 1970. */
  learned: number;
  /** How bad it is, whatever the policy. */
  class: "clean" | "suspicious" | "malicious";
  score: Levels;
  /** What the report shows now. */
  findings: Finding[];
  /** What the published pipeline would find in it. */
  published: Finding[];
  /** The number of the autonomous system. */
  asn: number | null;
  /** Two letters of ISO 3166-1. */
  country: string | null;
  /** How many values were not of the form that the API documents. */
  anomalies: number;
}

/** Why an answer is no report. */
export type FailureCode =
  | "no_credit"
  | "concurrency_refused"
  | "bad_key"
  | "invalid_address"
  | "rate_limited"
  | "server_error"
  | "malformed"
  | "unknown";

/** An answer that is no report. It says nothing about the address. */
export interface Failure {
  outcome: FailureCode;
  /** The same in words. */
  error: string;
}

/** What is known of a connection. What is left out is unknown, and never among what a rule names. */
export interface Connection {
  /** The address; that of the report if left out. */
  ip?: string;
  /** The destination port. */
  port?: number;
  /** A product that is said to listen there, such as `OpenSSH`. */
  product?: string;
  /** That of the configuration if left out. */
  direction?: "ingress" | "egress";
  /** Path and query of the request. */
  path?: string;
  method?: string;
  host?: string;
  /** The name of the route. */
  route?: string;
  /** The address of the client; on ingress that is the peer. */
  client?: string;
  /** The time of the connection; now if left out. */
  at?: Date | number;
}

/** A verdict and its reasons: the object that `portcullis check --json` prints. */
export interface Judgement {
  ip: string;
  port: number | null;
  /** Whether the verdict is other than `allow`; `null` where there is no verdict. */
  suspicious: boolean | null;
  verdict: "allow" | "tag" | "deny" | null;
  /** The rule that decided; `null` where none matched. */
  rule: string | null;
  profile: "pipeline" | "ingress" | "egress" | null;
  direction: "ingress" | "egress";
  score: Levels;
  findings: Finding[];
  outcome: "assessed" | FailureCode;
  /** Criminal IP's page about the address. */
  link: string;
}

/** A mistake in a configuration or a list. */
export interface Mistake {
  /** Where, such as `policy.rules[0].when.any[1]`. */
  path: string;
  /** What, as a stable code. */
  code: string;
  /** The value, and what would be right. */
  message: string;
}

/** All mistakes of a configuration or a list at once. */
export class ConfigError extends Error {
  constructor(mistakes: Mistake[]);
  readonly mistakes: Mistake[];
}

/** A configuration: the object, its JSON, or the bytes of that. docs/configuration.md describes it. */
export type Config = Record<string, unknown> | string | Uint8Array | ArrayBuffer;

/** The rules of a configuration. Only judging needs no key, so `api` may be left out. */
export class Policy {
  /** @throws {ConfigError} with every mistake. */
  constructor(config?: Config);

  /** Reads the answer of `/v1/asset/ip/report`. Never throws: whatever is no report is a failure. */
  assess(
    report: Uint8Array | ArrayBuffer | string,
    about?: { /** The status of HTTP, 200 if left out. */ status?: number; /** The time of the answer. */ at?: Date | number },
  ): Assessment | Failure;

  /**
   * Judges a connection by what was learned about its address. Lists are not asked: that is up to the caller.
   * @throws {TypeError} where one of them is not what it should be.
   */
  decide(assessment: Assessment | Failure, connection?: Connection): Judgement;
}

/** An entry of a list, as the configuration writes it. */
export interface ListEntry {
  cidr: string;
  owner?: string;
  reason?: string;
  /** When it stops counting, such as `2027-01-01T00:00:00Z`. */
  until?: string;
}

/** The entry that was found. */
export interface Match {
  cidr: string;
  owner: string | null;
  reason: string | null;
  /** In seconds since the start of 1970. */
  until: number | null;
}

/** A list of networks. Finding one takes about as long among a hundred thousand as among ten. */
export interface List {
  /**
   * The entry with the longest prefix around this address, among those that count at this time.
   * @throws {TypeError} where the address is none.
   */
  match(address: string, when?: { at?: Date | number }): Match | null;
  readonly size: number;
}

/**
 * Reads a list: its entries, or the JSON of them.
 * @throws {ConfigError} with every mistake.
 */
export function parseList(entries: ListEntry[] | string | Uint8Array | ArrayBuffer): List;

/**
 * Whether the address belongs to no special-purpose range: private, loopback, documentation and the like.
 * @throws {TypeError} where the address is none.
 */
export function isPublic(address: string): boolean;
