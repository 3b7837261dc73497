/** The third daemon with a part that fails as libraries do: the address of the RPC endpoint is in its error. */

import { runProgram } from "../../offchain/daemon/command-line.ts";
import { counterProgram } from "./third-daemon.ts";

await runProgram({
  ...counterProgram,
  build: async (base) => {
    const work = await counterProgram.build(base);
    const { rpcUrl } = base.chain.deployment;
    const run = async () => {
      throw new Error(`GET ${rpcUrl} failed`, { cause: new Error(`no answer from ${rpcUrl}`) });
    };
    return { ...work, background: [...(work.background ?? []), { name: "foreign part", run }] };
  },
});
