/** A whole network with each source of randomness that is recorded: a put, proven epochs, and public audits of them. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import type { DataSetReport } from "../../offchain/agent/data-sets/lane-report.ts";
import { tallystick } from "../../scripts/demo/command.ts";
import { type LocalNet, SMALL_COMMITTEE, startLocalNet } from "../helpers/local-net.ts";
import { agentOf, newPerson, type Person } from "../helpers/people.ts";
import { until } from "../helpers/promises.ts";
import { pseudoRandomBytes } from "../helpers/pseudo-random.ts";

const EPOCH_BLOCKS = 30;
const EPOCHS = 2;

for (const randomness of ["prevrandao", "drand"] as const) {
  describe(`a network whose challenges follow from ${randomness}`, () => {
    let net: LocalNet;
    let alice: Person;

    before(async () => {
      // A block every second: rounds of drand are published in their own time.
      net = await startLocalNet({ ...SMALL_COMMITTEE, epochBlocks: EPOCH_BLOCKS, blockTimeSeconds: 1, randomness });
      alice = await newPerson(net, "alice");
    });
    after(() => net?.stop());

    it("proves epochs that anybody audits", async () => {
      expect(net.deployment.randomness?.kind).to.equal(randomness);
      const file = join(net.dir, "file");
      writeFileSync(file, pseudoRandomBytes(randomness, 300_000));
      const agent = await agentOf(net, alice);
      try {
        const [set] = (await agent.put([file])).dataSets as [DataSetReport];
        const id = set.id ?? "";
        await until(
          `${EPOCHS} epochs are proven`,
          async () => (await agent.dataSets.show(id)).provenEpochs >= EPOCHS,
          EPOCH_BLOCKS * (EPOCHS + 2),
          () => net.provider.process.logTail(),
        );
        expect((await agent.dataSets.show(id)).missedEpochs).to.equal(0);
        const { exitCode, document, stderr } = await tallystick(alice, ["audit", id, "--public"]);
        expect(exitCode, stderr).to.equal(0);
        const [audit] = document.audits as Record<string, unknown>[];
        expect(audit).to.include({ mode: "public", id, slices: set.slices });
        expect(net.provider.process.logTail()).to.contain("randomness recorded");
      } finally {
        await agent.close();
      }
    });
  });
}
