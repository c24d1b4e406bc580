// A Worker as its authors write it, for whose bundlers the package has no condition of its own.
import { worker } from "portcullis/worker";

export default worker({ api: { cluster: "criminalip", key_env: "CRIMINALIP_API_KEY" } }, { cache: "portcullis", kv: "FACTS" });
