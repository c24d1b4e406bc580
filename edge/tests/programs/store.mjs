/** A key-value store as Workers have it, at this address. */
export const keyValueStore = (address) => ({
  async get(key) {
    const response = await fetch(`${address}/${encodeURIComponent(key)}`);
    const text = await response.text();
    return response.ok ? text : null;
  },
  async put(key, text, { expirationTtl }) {
    await fetch(`${address}/${encodeURIComponent(key)}?expiration_ttl=${expirationTtl}`, { method: "PUT", body: text });
  },
});
