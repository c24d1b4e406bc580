// What is deployed as a Worker: the configuration, the memories by name, and the origin by default.
import { worker } from "./portcullis/worker/workerd.js";
import config from "./config.json";
import setup from "./setup.json";

export default worker(config, setup.memories ? { cache: "portcullis", kv: "FACTS" } : {});
