// A server that guards an application, in Deno.
import { guarded, service } from "../../portcullis/worker/deno.js";
import { keyValueStore } from "./store.mjs";

const { config, memories, env, fake, origin, memory } = JSON.parse(Deno.args[0]);
const app = (request) => {
  const { pathname, search } = new URL(request.url);
  return fetch(new Request(origin + pathname + search, request));
};
const options = {
  peerHeader: config.peerHeader === null ? undefined : "cf-connecting-ip",
  env,
  bindings: { criminalip: service(fake) },
  ...(memories && { kv: keyValueStore(memory) }),
};
delete config.peerHeader;
const handler = guarded(config, app, options);
Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: ({ port }) => console.log(JSON.stringify({ port })) }, handler);
