// A server that guards an application, in Node.
import http from "node:http";
import { guarded, service } from "../../portcullis/worker/node.js";
import { keyValueStore } from "./store.mjs";

const { config, memories, env, fake, origin, memory } = JSON.parse(process.argv[2]);

/** Forwards what arrives as it is: what the application sees is what the origin says that it saw. */
const app = (request, response) => {
  const { method, url, rawHeaders } = request;
  const forwarded = http.request(origin + url, { method, headers: rawHeaders }, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  request.on("end", () => forwarded.addTrailers(Object.entries(request.trailers)));
  request.pipe(forwarded);
};
const options = {
  peerHeader: config.peerHeader === null ? undefined : "cf-connecting-ip",
  env,
  bindings: { criminalip: service(fake) },
  ...(memories && { kv: keyValueStore(memory) }),
};
delete config.peerHeader;
const server = http.createServer(guarded(config, app, options));
server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: server.address().port })));
