import type { Config, GuardOptions } from "./gate.js";

export { service, type CacheLike, type KeyValueStore, type Service } from "./gate.js";

/** What `Deno.serve` says about a connection. */
export interface Info {
  remoteAddr: { hostname?: string };
}

/**
 * Puts the gate before a handler of `Deno.serve`. Without `peerHeader` the peer is whoever is connected.
 * @throws {ConfigError} with every mistake.
 */
export function guarded<I extends Info>(
  config: Config,
  handler: (request: Request, info: I) => Response | Promise<Response>,
  options?: GuardOptions,
): (request: Request, info: I) => Promise<Response>;
