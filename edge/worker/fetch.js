// Requests and responses of the Fetch standard: what Workers and Deno have.

/** Decides a request; then refuses it, or has it forwarded with its tag. */
export async function guard(gate, request, { peer, forward, waitUntil }) {
  const { url, method, headers, signal } = request;
  const { protocol, port, pathname, search, host } = new URL(url);
  const facts = {
    peer,
    port: Number(port) || (protocol === "https:" ? 443 : 80),
    path: pathname + search,
    method,
    host: headers.get("host") ?? host,
    accept: headers.get("accept"),
    contentType: headers.get("content-type"),
  };
  const { tag, refusal } = await gate.decide(facts, { waitUntil, signal });
  const response = refusal
    ? new Response(refusal.body || null, refusal)
    : await forward(withHeader(new Request(request), gate.requestHeader, tag));
  return gate.responseHeader ? withHeader(new Response(response.body, response), gate.responseHeader, tag) : response;
}

/** Writes or removes a header, whoever wrote it before. */
function withHeader(message, name, value) {
  if (value === undefined) message.headers.delete(name);
  else message.headers.set(name, value);
  return message;
}

/** A binding to what answers at this address, such as a gateway in front of Criminal IP. */
export function service(address) {
  return {
    fetch(request) {
      const { pathname, search } = new URL(request.url);
      return fetch(new Request(new URL(pathname + search, address), request));
    },
  };
}
