import type { Config, Memories } from "./gate.js";

export { service, type CacheLike, type KeyValueStore, type Service } from "./gate.js";

/** What a Worker gets with a request. */
export interface Context {
  waitUntil(work: Promise<unknown>): void;
}

export interface WorkerOptions<Env> extends Memories {
  /** Brings a request that passes to its origin; `fetch` if left out. */
  forward?(request: Request, env: Env, context: Context): Response | Promise<Response>;
}

/**
 * What a Worker exports by default: a gate before the origin.
 * @throws {ConfigError} with every mistake, so that a wrong configuration is not deployed.
 */
export function worker<Env = Record<string, unknown>>(
  config: Config,
  options?: WorkerOptions<Env>,
): { fetch(request: Request, env: Env, context: Context): Promise<Response> };
