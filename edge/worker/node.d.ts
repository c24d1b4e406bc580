import type { IncomingMessage, ServerResponse } from "node:http";
import type { Config, GuardOptions } from "./gate.js";

export { service, type CacheLike, type KeyValueStore, type Service } from "./gate.js";

/**
 * Puts the gate before a listener of `node:http`. Without `peerHeader` the peer is whoever is connected.
 * @throws {ConfigError} with every mistake.
 */
export function guarded(
  config: Config,
  listener: (request: IncomingMessage, response: ServerResponse) => void,
  options?: GuardOptions,
): (request: IncomingMessage, response: ServerResponse) => Promise<void>;
