// A real Chromium, where there is one.
import { accessSync, constants, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { Program } from "./processes.mjs";

const isThere = (path) => {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
};

export const CHROMIUM = (process.env.PATH ?? "").split(delimiter).map((folder) => join(folder, "chromium")).find(isThere);

const FLAGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--remote-debugging-port=0",
];

/** Shows a page for as long as `what` takes, which gets the browser. */
export async function showing(page, what) {
  const profile = mkdtempSync(join(tmpdir(), "portcullis-browser-"));
  const program = new Program(CHROMIUM, [...FLAGS, `--user-data-dir=${profile}`, page]);
  try {
    return await what(program);
  } finally {
    await program.stop();
    rmSync(profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  }
}
