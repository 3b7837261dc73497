/** `tallystick watch` as a process: lines for people and machines, exit codes, and how it ends. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect } from "chai";
import { startTallystick } from "../../scripts/demo/command.ts";
import { HttpProxy, jsonAnswer } from "../helpers/http-proxy.ts";
import { newPerson, type Person, withAgentOf } from "../helpers/people.ts";
import { until } from "../helpers/promises.ts";
import { joinSharedNet, type TestNet } from "../helpers/shared-net.ts";

describe("watching from the command line", function () {
  this.timeout(120_000);
  let net: TestNet;
  let person: Person;
  let id: string;
  let toChain: HttpProxy;
  let toProvider: HttpProxy;

  before(async () => {
    net = await joinSharedNet();
    toChain = await HttpProxy.start(net.deployment.rpcUrl);
    toProvider = await HttpProxy.start(net.provider.url);
    const providers = net.deployment.providers.map((each) => ({ ...each, url: toProvider.url }));
    const deploymentFile = join(net.dir, "watched.json");
    writeFileSync(deploymentFile, JSON.stringify({ ...net.deployment, rpcUrl: toChain.url, providers }));
    person = { ...(await newPerson(net, "watcher")), deploymentFile };
    writeFileSync(join(net.dir, "file"), "what is watched");
    const { dataSets } = await withAgentOf(net, person, (agent) => agent.put([join(net.dir, "file")]));
    id = dataSets[0]?.id ?? "";
  });
  after(async () => {
    await toChain?.stop();
    await toProvider?.stop();
    await net?.stop();
  });
  afterEach(() => {
    toChain.intercept = () => undefined;
    toProvider.intercept = () => undefined;
  });

  const objects = (stdout: string) =>
    stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));

  it("looks once, prints an object per line, and says with its exit code that all is well", async () => {
    const { exitCode, stdout, stderr } = await startTallystick(person, ["watch", "--once", "--audit", "1", "--json"])
      .ended;
    expect(exitCode, stderr).to.equal(0);
    const told = objects(stdout);
    expect(told.map(({ kind }) => kind)).to.include.members(["state", "audit"]);
    expect(told.find(({ kind }) => kind === "state")).to.include({ dataSet: id, status: "running" });
  });

  it("tells with its exit code that a provider does not answer, or does not prove", async () => {
    toProvider.intercept = async ({ path }) => (path.endsWith("/audit") ? jsonAnswer({}, 503) : undefined);
    const silent = await startTallystick(person, ["watch", "--once", "--audit", "1", "--json"]).ended;
    expect(silent.exitCode, silent.stderr).to.equal(5);
    expect(objects(silent.stdout).at(-1)).to.include({ kind: "failed", party: `provider ${toProvider.url}` });
    toProvider.intercept = async ({ path }) =>
      path.endsWith("/audit") ? jsonAnswer({ proof: `0x${"00".repeat(272)}` }) : undefined;
    const lying = await startTallystick(person, ["watch", "--once", "--audit", "1"]).ended;
    expect(lying.exitCode, lying.stdout + lying.stderr).to.equal(7);
    expect(lying.stdout).to.match(/ALARM data set 0x[0-9a-f]{8}: audit failed: /);
  });

  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    it(`goes on while the endpoint fails, and ends in order at ${signal}`, async () => {
      const running = startTallystick(person, ["watch", "--interval", "1", "--json"]);
      const told: Record<string, unknown>[] = [];
      if (running.process.stdout === null) throw new Error("no output");
      createInterface({ input: running.process.stdout }).on("line", (line) => told.push(JSON.parse(line)));
      const kinds = () => told.map(({ kind }) => kind);
      await until("the first look", () => kinds().includes("state"), 60);
      toChain.intercept = async () => jsonAnswer({ error: "down" }, 503);
      await until("the failure is told", () => kinds().includes("failed"), 60);
      toChain.intercept = () => undefined;
      await until("it works again", () => kinds().includes("works-again"), 60);
      // One more when it went down between reading the changes and reading the set.
      expect(kinds().filter((kind) => kind === "failed").length).to.be.within(1, 2);
      running.process.kill(signal);
      const { exitCode, stderr } = await running.ended;
      expect(exitCode, stderr).to.equal(0);
      expect(stderr).to.not.include("error");
    });
  }
});
