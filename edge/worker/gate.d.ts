import type { Config } from "../index.js";

/** A cache as browsers and Workers have it: what a gate needs of it. */
export interface CacheLike {
  match(address: string): Promise<Response | undefined>;
  put(address: string, response: Response): Promise<void>;
}

/** A key-value store as Workers have it: what a gate needs of it. */
export interface KeyValueStore {
  get(key: string): Promise<string | null>;
  put(key: string, value: string, options: { expirationTtl: number }): Promise<void>;
}

/** What answers requests, such as a service binding of a Worker. */
export interface Service {
  fetch(request: Request): Promise<Response>;
}

/** Memories that outlive the isolate, both optional: facts are kept there as long as their class lets them live. */
export interface Memories {
  /** The name of a cache, or a cache. */
  cache?: string | CacheLike;
  /** The name of a binding, or a store. */
  kv?: string | KeyValueStore;
}

/** How a server guards its handler. */
export interface GuardOptions extends Memories {
  /** The header in which a proxy in front says who the peer is, in lower case. Only for servers that nobody else reaches. */
  peerHeader?: string;
  /** The service that `api.cluster` names, if lookups are not to go to `api.authority` directly, and whatever else. */
  bindings?: Record<string, Service | KeyValueStore>;
  /** Where `api.key_env` is looked for. */
  env?: Record<string, string | undefined>;
  /** Where decisions are logged; the console if left out. */
  log?: Pick<Console, "info" | "warn">;
}

/** A binding to what answers at this address, such as a gateway in front of Criminal IP. */
export function service(address: string): Service;

export type { Config };
